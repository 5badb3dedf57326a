//! One open link to a board, whatever carries it.

use std::{
    future::Future,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidegate_protocol::{
    WIRE_VERSION,
    frame::{FrameError, keyed::MAX_KEYED_DOWN_FRAME},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc::{Receiver, Sender},
    time::{Instant, timeout, timeout_at},
};

use super::{
    decoder::Decoder,
    guard::{DeviceKeys, Guard},
};
use crate::{
    clock::ShellClock,
    core::{BoardFrame, Event, LinkFrom, LinkId},
    links::{Links, ToBoard},
    random,
};

/// What is read at once. Frames are unpacked only when the core's channel has a place for them, so a link that waits
/// holds no more than this.
const READ_BYTES: usize = 4 * 1024;
/// Boards speak every few seconds.
pub const SILENCE: Duration = Duration::from_secs(60);
/// A board that does not take a frame for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every board link needs of the agent.
#[derive(Clone)]
pub struct BoardLinks {
    pub links: Links,
    pub events: Sender<Event>,
    pub clock: ShellClock,
    pub keys: DeviceKeys,
    /// A link on which no frame could be read for this long is dead, or in the hands of somebody who only holds it open.
    pub silence: Duration,
}

/// What came on a link, or on all links of a line.
#[derive(Debug, Default)]
pub struct LinkCounts {
    bytes: AtomicU64,
    frames: AtomicU64,
    bad: AtomicU64,
}

impl LinkCounts {
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those that could be read.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize, frames: usize, bad: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.bad.fetch_add(bad as u64, Ordering::Relaxed);
    }
}

/// Why a link ended.
#[derive(Debug)]
pub enum LinkEnd {
    /// Nothing that could be read came for too long.
    Silent,
    /// The board does not take what is sent to it.
    Stuck,
    /// The far end hung up.
    Closed,
    Broken(io::Error),
    /// The agent wants it so.
    Ended,
}

impl BoardLinks {
    /// Serves one link until it ends, or `until` does.
    pub async fn serve(
        &self,
        from: LinkFrom,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        counts: &LinkCounts,
        until: impl Future<Output = ()>,
    ) -> LinkEnd {
        let (link, frames) = self.links.open();
        let guard = Guard::new(self.keys.clone());
        let host = from.host.clone();
        if self.events.send(Event::LinkOpened { link, from }).await.is_err() {
            return LinkEnd::Ended;
        }
        // Either end of the link ends both: half a link is of no use to a board.
        let end = tokio::select! {
            end = self.read(link, &host, guard.clone(), reader, counts) => end,
            end = write(writer, guard, frames) => end,
            () = until => LinkEnd::Ended,
        };
        self.links.close(link);
        let _ending = self.events.send(Event::LinkClosed(link)).await;
        end
    }

    async fn read(
        &self,
        link: LinkId,
        host: &str,
        guard: Guard,
        mut reader: impl AsyncRead + Unpin,
        counts: &LinkCounts,
    ) -> LinkEnd {
        let mut decoder = Decoder::guarded(guard);
        let mut buffer = vec![0; READ_BYTES];
        let mut other_version = None;
        let mut silent_at = Instant::now() + self.silence;
        loop {
            let len = match timeout_at(silent_at, reader.read(&mut buffer)).await {
                Ok(Ok(len @ 1..)) => len,
                Ok(Ok(0)) => return LinkEnd::Closed,
                Ok(Err(error)) => return LinkEnd::Broken(error),
                Err(_) => return LinkEnd::Silent,
            };
            // The frames may wait for their place; what anchors a board's clock is when they were here.
            let arrived = self.clock.at();
            let Ok(place) = self.events.reserve().await else { return LinkEnd::Ended };
            let frames = decoder.push(buffer.get(..len).unwrap_or_default(), random::boot);
            if let Some(challenge) = decoder.take_challenge() {
                self.links.send(link, ToBoard::Challenge(challenge));
            }
            let bad = frames.iter().filter(|frame| matches!(frame, BoardFrame::Bad(_))).count();
            counts.add(len, frames.len() - bad, bad);
            if frames.len() > bad {
                silent_at = Instant::now() + self.silence;
            }
            if bad > 0 {
                tracing::debug!(link = link.0, bad, "frames that cannot be read");
            }
            if let Some(version) = frames.iter().find_map(version_not_read)
                && other_version.replace(version) != Some(version)
            {
                tracing::error!(
                    link = link.0,
                    host,
                    "the board speaks wire version {version}, and this agent reads version {WIRE_VERSION}: update the older of the \
                     two; the board keeps what it has"
                );
            }
            if !frames.is_empty() {
                place.send(Event::Board { link, arrived, frames });
            }
        }
    }
}

const fn version_not_read(frame: &BoardFrame) -> Option<u8> {
    match frame {
        BoardFrame::Bad(FrameError::Version(version)) => Some(*version),
        _ => None,
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, guard: Guard, mut frames: Receiver<ToBoard>) -> LinkEnd {
    let mut buffer = [0; MAX_KEYED_DOWN_FRAME];
    while let Some(frame) = frames.recv().await {
        let encoded = match frame {
            ToBoard::Frame(frame) => guard.encode(&frame, &mut buffer),
            ToBoard::Challenge(challenge) => challenge.encode(&mut buffer),
        };
        let len = match encoded {
            Ok(len) => len,
            Err(error) => {
                tracing::error!(%error, "a frame to a board cannot be encoded");
                continue;
            }
        };
        let bytes = buffer.get(..len).unwrap_or_default();
        let sent = async {
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        match timeout(WRITE_TIMEOUT, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return LinkEnd::Broken(error),
            Err(_) => return LinkEnd::Stuck,
        }
    }
    LinkEnd::Ended
}

#[cfg(test)]
mod tests {
    use tokio::{io::duplex, sync::mpsc::channel};

    use super::*;

    /// Reaching it is a failure.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn who_says_nothing_that_can_be_read_holds_no_link() {
        let (events, mut told) = channel(16);
        let silence = Duration::from_millis(50);
        let (links, clock) = (Links::default(), ShellClock::start());
        let boards = BoardLinks { links, events, clock, keys: DeviceKeys::default(), silence };
        for garbage in [&b""[..], &[7; 10], &[7, 0]] {
            let (near, mut far) = duplex(64);
            let (reader, writer) = tokio::io::split(near);
            let from = LinkFrom { host: "10.0.0.1".to_owned(), is_local: false };
            let counts = LinkCounts::default();
            let serving = boards.serve(from, reader, writer, &counts, std::future::pending());
            // As fast as it is read, for as long as the link is there.
            let talking = async {
                while !garbage.is_empty() && far.write_all(garbage).await.is_ok() {
                    tokio::task::yield_now().await;
                }
                std::future::pending::<()>().await
            };
            let hearing = async { while told.recv().await.is_some() {} };
            let end = tokio::select! {
                end = timeout(PATIENCE, serving) => end.expect("it ends"),
                () = talking => unreachable!("it goes on"),
                () = hearing => unreachable!("links are open"),
            };
            assert!(matches!(end, LinkEnd::Silent), "{garbage:?}: {end:?}");
            assert!((counts.bad() > 0) == garbage.contains(&0), "{garbage:?}");
        }
    }
}
