//! One line, from when it appears until it goes: opened, served, and opened again when it breaks.

use std::time::Duration;

use tidegate_service::Shutdown;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_serial::{ClearBuffer, SerialPort};

use super::{
    entry::SerialSettings,
    hearing::{Hearing, Verdict},
    lines::SerialLines,
    opening::{OpenError, OpenLine, open},
    scan::Found,
    uart::Uart,
};
use crate::core::LinkFrom;
use crate::sources::board_link::{BoardLinks, LinkCounts, LinkEnd};

const REOPEN: Duration = Duration::from_secs(1);
/// How often it is asked what came.
const HEARING: Duration = Duration::from_secs(1);

pub(super) struct Line {
    pub found: Found,
    pub settings: SerialSettings,
    pub boards: BoardLinks,
    pub lines: SerialLines,
    /// Triggered when its name is gone.
    pub gone: Shutdown,
}

impl Line {
    /// Serves the line until it is gone.
    pub async fn run(self) {
        let counts = self.lines.begin(&self.found, &self.settings, self.boards.clock.at());
        let (mut failure, mut broken) = (None, None);
        while !self.gone.is_triggered() {
            match self.open().await {
                Ok(mut port) => {
                    failure = None;
                    self.opened(broken.take());
                    broken = self.serve(&mut port, &counts).await;
                }
                Err(error) => {
                    // Said once, not every second, and not at all of a line that is about to be known as gone.
                    if error != OpenError::Absent && failure.as_ref() != Some(&error) {
                        tracing::warn!(path = %self.path(), "the serial line cannot be opened: {error}");
                    }
                    self.lines.failed(&self.found.path, error.to_string(), self.boards.clock.at());
                    failure = Some(error);
                }
            }
            tokio::select! {
                () = sleep(REOPEN) => {}
                () = self.gone.wait() => {}
            }
        }
        self.lines.gone(&self.found.path, self.boards.clock.at());
        tracing::warn!(path = %self.path(), "serial line unplugged; it is served again when it comes back");
    }

    /// What broke is told only now: when a board is unplugged, its line breaks a moment before its name goes.
    fn opened(&self, broken: Option<String>) {
        let (path, device, baud) = (self.path(), self.found.device.display(), self.settings.baud);
        match broken {
            None => tracing::info!(%path, %device, baud, "serial line open"),
            Some(reason) => {
                tracing::warn!(%path, %device, baud, "serial line broke ({reason}) and is open again")
            }
        }
        self.lines.opened(&self.found.path, self.boards.clock.at());
    }

    fn path(&self) -> impl std::fmt::Display {
        self.found.path.display()
    }

    /// A driver may take its time; other lines do not wait for it.
    async fn open(&self) -> Result<OpenLine, OpenError> {
        let (found, settings) = (self.found.clone(), self.settings.clone());
        let opened = tokio::task::spawn_blocking(move || open(&found, &settings)).await;
        opened.unwrap_or_else(|panicked| Err(OpenError::Refused(panicked.to_string())))
    }

    /// Why the line broke; none if it is gone.
    async fn serve(&self, port: &mut OpenLine, counts: &LinkCounts) -> Option<String> {
        let uart = Uart::of(&port.0);
        let broken = tokio::select! {
            broken = self.links(port, counts) => broken,
            () = self.watch(counts, uart) => None,
        };
        if let Some(reason) = &broken {
            let problem = format!("it broke: {reason}");
            self.lines.broke(&self.found.path, problem, self.boards.clock.at());
        }
        broken
    }

    /// One link after the other on the open line: a board that is silent or takes nothing ends its link and not the line,
    /// since closing would drop DTR, which resets many boards.
    async fn links(&self, port: &mut OpenLine, counts: &LinkCounts) -> Option<String> {
        let mut stuck = false;
        loop {
            let (reader, writer) = tokio::io::split(&mut port.0);
            let from = LinkFrom { host: self.path().to_string(), is_local: true };
            match self.boards.serve(from, reader, writer, counts, self.gone.wait()).await {
                LinkEnd::Silent => {}
                LinkEnd::Stuck => {
                    if !std::mem::replace(&mut stuck, true) {
                        tracing::warn!(path = %self.path(), "the board on the serial line takes nothing");
                    }
                    if let Err(error) = port.0.clear(ClearBuffer::Output) {
                        return Some(error.to_string());
                    }
                }
                LinkEnd::Broken(error) => return Some(error.to_string()),
                LinkEnd::Closed => return Some("the device hung up".to_owned()),
                LinkEnd::Ended => return None,
            }
        }
    }

    /// Never ends.
    async fn watch(&self, counts: &LinkCounts, mut uart: Option<Uart>) {
        let mut hearing = Hearing::new(self.boards.clock.at(), counts.bytes(), counts.frames());
        let mut ticks = interval(HEARING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(uart) = &mut uart {
                self.lines.uart(&uart.since());
            }
            let now = self.boards.clock.at();
            // Frames first: what is counted as bytes by then is not without them.
            let (frames, bytes) = (counts.frames(), counts.bytes());
            if let Some(verdict) = hearing.at(now, bytes, frames) {
                let problem = self.problem(&verdict);
                match &problem {
                    Some(problem) => tracing::warn!(path = %self.path(), "serial line: {problem}"),
                    None => tracing::info!(path = %self.path(), "frames come on the serial line"),
                }
                self.lines.heard(&self.found.path, problem, now);
            }
        }
    }

    fn problem(&self, verdict: &Verdict) -> Option<String> {
        let baud = self.settings.baud;
        match verdict {
            Verdict::FramesAgain => None,
            Verdict::Silence { seconds } => {
                Some(format!("nothing came for {seconds} s: does the board run?"))
            }
            Verdict::Noise { bytes, seconds } => Some(format!(
                "{bytes} bytes and no frame in {seconds} s at {baud} baud: is the baud rate right?"
            )),
        }
    }
}
