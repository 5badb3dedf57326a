//! Looks when the certificate ends that the broker is shown, and tells the core, which raises alarms. The file is read as it is,
//! so that a renewed one ends them.

use std::time::Duration;

use tidegate_service::Shutdown;
use tidegate_trust::ClientFiles;
use tokio::{sync::mpsc, time::sleep};

use crate::core::{Event, system::Certified};

/// Days are counted: an hour more or less does not matter.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// Until the ingest stops.
pub async fn run(files: Option<ClientFiles>, core: mpsc::Sender<Event>, stopping: Shutdown) {
    loop {
        let files = files.clone();
        let read = move || files.and_then(|files| files.certificate_expiry());
        let expires_unix_s = tokio::task::spawn_blocking(read).await.ok().flatten();
        let event = Event::CertificateShown { whose: Certified::Ingest, expires_unix_s };
        if core.send(event).await.is_err() {
            return;
        }
        tokio::select! {
            () = stopping.wait() => return,
            () = sleep(LOOK_AGAIN) => {}
        }
    }
}
