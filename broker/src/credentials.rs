//! What the log and the metrics say of the broker's certificate, and of its renewal while it runs.

use std::sync::Arc;

use tidegate_trust::certificate::date;
use tidegate_trust::renewal::{Credentials, WARN_BEFORE_S};
use tidegate_trust::{FileError, ServerTls};

use crate::broker::Broker;
use crate::config::Tls;

pub fn load(tls: &Tls) -> Result<Credentials, FileError> {
    let credentials = Credentials::load(&tls.files, tls.reload_interval, tls.judge_interval)?;
    tell(&credentials.now());
    Ok(credentials)
}

/// Reads the files again; without TLS there is nothing to read.
pub async fn reload(broker: &Broker) {
    match &broker.credentials {
        Some(credentials) => told(broker, credentials.reload().await),
        None => tracing::info!("there is nothing to read again: the broker speaks no TLS"),
    }
}

/// Looks after the files until the broker shuts down.
pub async fn keep_up(broker: &Broker) {
    match &broker.credentials {
        Some(credentials) => {
            credentials.keep_up(broker.shutdown.wait(), |reloaded| told(broker, reloaded)).await;
        }
        None => broker.shutdown.wait().await,
    }
}

fn told(broker: &Broker, reloaded: Result<Arc<ServerTls>, String>) {
    match reloaded {
        Ok(loaded) => {
            tell(&loaded);
            broker.metrics.certificate_reloads.inc();
        }
        Err(error) => {
            broker.metrics.certificate_reload_failures.inc();
            tracing::error!(
                error,
                "the new certificates, key or revocation lists are wrong; those of before stay in force"
            );
        }
    }
}

fn tell(loaded: &ServerTls) {
    let until = date(loaded.certificate.not_after);
    if loaded.certificate.seconds_left() < WARN_BEFORE_S {
        tracing::warn!(until, "the broker's certificate ends soon: renew it");
    } else {
        tracing::info!(until, "the broker's certificate is in force");
    }
}
