//! The broker's certificate, and whom it believes: the files in force, and their renewal while it runs.
//!
//! What is wrong in new files changes nothing: those of before stay in force, which is logged and counted. Files are
//! replaced one after the other, so they are read once they have stayed the same from one look to the next.

use std::sync::Arc;
use std::time::Duration;

use tidegate_trust::certificate::date;
use tidegate_trust::files::Fingerprint;
use tidegate_trust::{FileError, ServerFiles, ServerTls};
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;
use crate::config::Tls;

/// From when on the log warns of a certificate's end.
const WARN_BEFORE_S: i64 = 14 * 86_400;

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
    pub fn load(tls: &Tls) -> Result<Self, FileError> {
        let first_seen = Fingerprint::of(&tls.files.paths());
        let loaded = tls.files.load()?;
        tell(&loaded);
        Ok(Self {
            files: tls.files.clone(),
            reload_interval: tls.reload_interval,
            judge_interval: tls.judge_interval,
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
}

/// Reads the files again; without TLS there is nothing to read.
pub async fn reload(broker: &Broker) {
    let Some(credentials) = &broker.credentials else {
        tracing::info!("there is nothing to read again: the broker speaks no TLS");
        return;
    };
    let _one_at_a_time = credentials.reloading.lock().await;
    let files = credentials.files.clone();
    match tokio::task::spawn_blocking(move || files.load()).await {
        Ok(Ok(loaded)) => {
            tell(&loaded);
            credentials.in_force.send_replace(Arc::new(loaded));
            broker.metrics.certificate_reloads.inc();
        }
        Ok(Err(error)) => kept(broker, &error.to_string()),
        Err(error) => kept(broker, &error.to_string()),
    }
}

fn kept(broker: &Broker, error: &str) {
    broker.metrics.certificate_reload_failures.inc();
    tracing::error!(
        error,
        "the new certificates, key or revocation lists are wrong; those of before stay in force"
    );
}

fn tell(loaded: &ServerTls) {
    let until = date(loaded.certificate.not_after);
    if loaded.certificate.seconds_left() < WARN_BEFORE_S {
        tracing::warn!(until, "the broker's certificate ends soon: renew it");
    } else {
        tracing::info!(until, "the broker's certificate is in force");
    }
}

/// Looks after the files until the broker shuts down.
pub async fn keep_up(broker: &Broker) {
    let Some(credentials) = &broker.credentials else { return broker.shutdown.wait().await };
    let paths = credentials.files.paths();
    let mut ticks = interval(credentials.reload_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut read, mut seen) = (credentials.first_seen.clone(), credentials.first_seen.clone());
    let mut judging = interval(credentials.judge_interval);
    judging.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = judging.tick() => {
                credentials.in_force.send_modify(|_unchanged| {});
                continue;
            }
            () = broker.shutdown.wait() => return,
        }
        let looked_at = paths.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || Fingerprint::of(&looked_at)).await else {
            continue;
        };
        let is_settled = now == seen;
        if is_settled && now != read {
            reload(broker).await;
            read.clone_from(&now);
        }
        seen = now;
    }
}
