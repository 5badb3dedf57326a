//! A server's certificate and whom it believes: the files in force, and their renewal while it runs.
//!
//! What is wrong in new files changes nothing: those of before stay in force, which whoever keeps up is told. Files are
//! replaced one after the other, so they are read once they have stayed the same from one look to the next.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{
    files::{FileError, Fingerprint},
    server::{ServerFiles, ServerTls},
};

/// From when on a certificate's end is worth a warning.
pub const WARN_BEFORE_S: i64 = 14 * 86_400;

#[derive(Debug)]
pub struct Credentials {
    files: ServerFiles,
    reload_interval: Duration,
    judge_interval: Duration,
    /// Of the files before they were read at the start.
    first_seen: Fingerprint,
    in_force: watch::Sender<Arc<ServerTls>>,
    /// One after the other, so that the last to be read is what counts.
    reloading: Mutex<()>,
}

impl Credentials {
    /// `judge_interval`: how often those who watch look again though no file changed.
    pub fn load(
        files: &ServerFiles,
        reload_interval: Duration,
        judge_interval: Duration,
    ) -> Result<Self, FileError> {
        let first_seen = Fingerprint::of(&files.paths());
        let loaded = files.load()?;
        Ok(Self {
            files: files.clone(),
            reload_interval,
            judge_interval,
            first_seen,
            in_force: watch::Sender::new(Arc::new(loaded)),
            reloading: Mutex::new(()),
        })
    }

    /// What is in force now, and each time that it changes or is to be looked at again.
    pub fn watch(&self) -> watch::Receiver<Arc<ServerTls>> {
        self.in_force.subscribe()
    }

    pub fn now(&self) -> Arc<ServerTls> {
        Arc::clone(&self.in_force.borrow())
    }

    /// Reads the files again. What is wrong with them is said, and those of before stay in force.
    pub async fn reload(&self) -> Result<Arc<ServerTls>, String> {
        let _one_at_a_time = self.reloading.lock().await;
        let files = self.files.clone();
        match tokio::task::spawn_blocking(move || files.load()).await {
            Ok(Ok(loaded)) => {
                let loaded = Arc::new(loaded);
                self.in_force.send_replace(Arc::clone(&loaded));
                Ok(loaded)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Looks after the files until `end` resolves; `told` hears what came of each time that they were read again.
    pub async fn keep_up(
        &self,
        end: impl Future<Output = ()>,
        told: impl Fn(Result<Arc<ServerTls>, String>),
    ) {
        let mut end = pin!(end);
        let paths = self.files.paths();
        let mut ticks = interval(self.reload_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut read, mut seen) = (self.first_seen.clone(), self.first_seen.clone());
        let mut judging = interval(self.judge_interval);
        judging.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = judging.tick() => {
                    self.in_force.send_modify(|_unchanged| {});
                    continue;
                }
                () = &mut end => return,
            }
            let looked_at = paths.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || Fingerprint::of(&looked_at)).await else {
                continue;
            };
            let is_settled = now == seen;
            if is_settled && now != read {
                told(self.reload().await);
                read.clone_from(&now);
            }
            seen = now;
        }
    }
}
