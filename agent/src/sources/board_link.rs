//! One open link to a board, whatever carries it.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
/// Versions that are not read are said at most so often in [`SAID_FOR`], of all links together.
const MAX_SAID: usize = 64;
/// So long is what was said of a host not said again.
const SAID_FOR: Duration = Duration::from_secs(3_600);

/// What every board link needs of the agent.
#[derive(Clone)]
pub struct BoardLinks {
    pub links: Links,
    pub events: Sender<Event>,
    pub clock: ShellClock,
    pub keys: DeviceKeys,
    /// A link on which no frame could be read for this long is dead, or in the hands of somebody who only holds it open.
    pub silence: Duration,
    pub other_versions: OtherVersions,
}

/// Versions of the wire that came and are not read here, by the host or line. Whoever reaches the agent can send any of them as
/// often as they like, on as many links: what goes to the log of it is bounded.
#[derive(Clone, Debug, Default)]
pub struct OtherVersions(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    versions: BTreeSet<(String, u8)>,
    since: Option<Instant>,
}

impl OtherVersions {
    /// Whether it is to be said.
    fn is_news(&self, now: Instant, host: &str, version: u8) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Said { versions, since } = &mut *said;
        if now.duration_since(*since.get_or_insert(now)) >= SAID_FOR {
            versions.clear();
            *since = Some(now);
        }
        versions.len() < MAX_SAID && versions.insert((host.to_owned(), version))
    }
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
                && self.other_versions.is_news(Instant::now(), host, version)
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
    use tidegate_service::testing::LoggedErrors;
    use tokio::{io::duplex, sync::mpsc::channel};

    use super::*;

    /// Reaching it is a failure.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn who_says_nothing_that_can_be_read_holds_no_link() {
        let (events, mut told) = channel(16);
        let silence = Duration::from_millis(50);
        let (links, clock) = (Links::default(), ShellClock::start());
        let (keys, other_versions) = (DeviceKeys::default(), OtherVersions::default());
        let boards = BoardLinks { links, events, clock, keys, silence, other_versions };
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

    /// What stays the same in every version: stuffing, the first byte, and the checksum.
    fn frame_of(version: u8) -> Vec<u8> {
        let signed = |body: u8| {
            let crc = [version, body].iter().fold(u32::MAX, |crc, byte| {
                let shift = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
                (0..8).fold(crc ^ u32::from(*byte), shift)
            });
            [&[version, body][..], &(!crc).to_le_bytes()].concat()
        };
        let raw = (1..=u8::MAX).map(signed).find(|raw| !raw.contains(&0)).expect("one without a zero");
        [&[raw.len() as u8 + 1], raw.as_slice(), &[0]].concat()
    }

    #[tokio::test]
    async fn what_strangers_say_of_versions_fills_no_log() {
        let (events, mut told) = channel(16);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        let (links, clock) = (Links::default(), ShellClock::start());
        let (keys, other_versions) = (DeviceKeys::default(), OtherVersions::default());
        let boards = BoardLinks { links, events, clock, keys, silence: PATIENCE, other_versions };
        let speak = async |boards: &BoardLinks, host: &str| {
            let frames: Vec<u8> = [2, 3].repeat(20).into_iter().flat_map(frame_of).collect();
            let from = LinkFrom { host: host.to_owned(), is_local: false };
            let counts = LinkCounts::default();
            // A few bytes at a time: what comes at once is said at once.
            let (near, mut far) = duplex(8);
            let (reader, writer) = tokio::io::split(near);
            let talking = async {
                far.write_all(&frames).await.expect("it is read");
                drop(far);
            };
            let serving = boards.serve(from, reader, writer, &counts, std::future::pending());
            let (end, ()) = tokio::join!(serving, talking);
            assert!(matches!(end, LinkEnd::Closed), "{end:?}");
            assert_eq!(counts.bad(), 40, "each is counted");
        };
        // Unheard at first.
        speak(&BoardLinks { other_versions: OtherVersions::default(), ..boards.clone() }, "10.0.0.1").await;
        let said = LoggedErrors::listen();
        speak(&boards, "10.0.0.1").await;
        assert_eq!(said.count(), 2, "each of two versions, and not each frame");
        speak(&boards, "10.0.0.1").await;
        assert_eq!(said.count(), 2, "nor on each link");
        speak(&boards, "10.0.0.2").await;
        assert_eq!(said.count(), 4, "another host is another board");
        for host in 0..MAX_SAID {
            speak(&boards, &format!("10.0.1.{host}")).await;
        }
        assert_eq!(said.count(), MAX_SAID, "and they are bounded");
    }

    #[tokio::test]
    async fn what_was_said_of_a_host_is_said_again_after_a_while() {
        let (said, now) = (OtherVersions::default(), Instant::now());
        assert!(said.is_news(now, "10.0.0.1", 2));
        assert!(!said.is_news(now + SAID_FOR - Duration::from_secs(1), "10.0.0.1", 2));
        assert!(said.is_news(now + SAID_FOR, "10.0.0.1", 2));
        assert!(!said.is_news(now + SAID_FOR, "10.0.0.1", 2));
    }
}
