//! Waiting for what another process will do. The bound is generous: it decides when a test has failed, never whether
//! it passes.

use std::{
    future::Future,
    time::{Duration, Instant},
};

pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for and the last `Err`.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) if Instant::now() > deadline => panic!("waited {PATIENCE:?} for {what}: {why}"),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
