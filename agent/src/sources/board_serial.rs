//! A board on a serial line. The line may vanish (USB) and come back; it is opened again without end.

use std::{path::PathBuf, time::Duration};

use tidegate_service::Shutdown;
use tokio_serial::SerialPortBuilderExt;

use super::board_link::BoardLinks;

const REOPEN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct SerialSettings {
    pub path: PathBuf,
    pub baud: u32,
}

/// Serves the line until stopped.
pub async fn run(settings: SerialSettings, boards: BoardLinks, stop: Shutdown) {
    let mut failed = false;
    loop {
        let opened = tokio_serial::new(settings.path.to_string_lossy(), settings.baud).open_native_async();
        match opened {
            Ok(line) => {
                tracing::info!(path = %settings.path.display(), baud = settings.baud, "serial line open");
                failed = false;
                let (reader, writer) = tokio::io::split(line);
                tokio::select! {
                    () = boards.serve(reader, writer) => {}
                    () = stop.wait() => return,
                }
                tracing::warn!(path = %settings.path.display(), "serial line silent or gone; opening it again");
            }
            // Said once, not every second.
            Err(error) if !failed => {
                failed = true;
                tracing::warn!(path = %settings.path.display(), %error, "the serial line cannot be opened; trying on");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(REOPEN) => {}
            () = stop.wait() => return,
        }
    }
}
