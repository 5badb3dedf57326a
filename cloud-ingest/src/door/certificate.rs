//! The HTTP listener's certificate: what the log says of it, and of its renewal while the ingest runs.

use std::sync::Arc;

use tidegate_service::Shutdown;
use tidegate_trust::{
    FileError, ServerTls,
    certificate::date,
    renewal::{Credentials, WARN_BEFORE_S},
};

use crate::config::HttpTls;

/// Clients have no certificates, so nothing is judged anew when no file changed.
const JUDGE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(3_600);

pub fn load(tls: &HttpTls) -> Result<Credentials, FileError> {
    let credentials = Credentials::load(&tls.files, tls.reload_interval, JUDGE_INTERVAL)?;
    tell(&credentials.now());
    Ok(credentials)
}

pub async fn keep_up(credentials: Arc<Credentials>, stopping: Shutdown) {
    credentials.keep_up(stopping.wait(), told).await;
}

/// What came of reading the files again.
pub fn told(reloaded: Result<Arc<ServerTls>, String>) {
    match reloaded {
        Ok(loaded) => tell(&loaded),
        Err(error) => {
            tracing::error!(error, "the new HTTP certificate or key is wrong; those of before stay in force");
        }
    }
}

fn tell(loaded: &ServerTls) {
    let until = date(loaded.certificate.not_after);
    if loaded.certificate.seconds_left() < WARN_BEFORE_S {
        tracing::warn!(until, "the HTTP certificate ends soon: renew it");
    } else {
        tracing::info!(until, "the HTTP certificate is in force");
    }
}
