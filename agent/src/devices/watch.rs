//! The list of devices while the agent runs.

use std::{path::PathBuf, time::Duration};

use tidegate_service::Shutdown;
use tidegate_trust::files::Fingerprint;
use tokio::{
    sync::mpsc::Sender,
    time::{MissedTickBehavior, interval},
};

use super::{DeviceList, DevicesError};
use crate::{core::Event, sources::guard::DeviceKeys};

const LOOK: Duration = Duration::from_secs(1);

/// Takes over what the file says whenever it is another. `seen` is what it was when it was read last.
pub(crate) async fn watch(
    path: PathBuf,
    mut seen: Fingerprint,
    keys: DeviceKeys,
    events: Sender<Event>,
    stop: Shutdown,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = looks.tick() => {}
        }
        let looked = path.clone();
        let before = seen.clone();
        let read = tokio::task::spawn_blocking(move || {
            let now = Fingerprint::of(std::slice::from_ref(&looked));
            (now != before).then(|| (now, exists_and_reads(&looked)))
        });
        let Ok(Some((now, list))) = read.await else { continue };
        seen = now;
        match list {
            Ok(list) => {
                tracing::info!(path = %path.display(), devices = list.permits().len(), "the list of devices is taken over");
                // Keys first: a board that is asked to come again is not to come under its old one.
                keys.replace(list.keys());
                if events.send(Event::Permits(list.permits())).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!("the list of devices stays as it was: {error}");
            }
        }
    }
}

/// A list that is gone while the agent runs is a mistake: without it a device with a key would be taken in clear.
fn exists_and_reads(path: &std::path::Path) -> Result<DeviceList, DevicesError> {
    std::fs::metadata(path).map_err(|error| tidegate_trust::FileError::Unreadable {
        which: tidegate_trust::files::Which::Key,
        path: path.to_owned(),
        error,
    })?;
    DeviceList::load(path)
}
