//! One open link to a board, whatever carries it.

use std::time::Duration;

use tidegate_protocol::frame::{Down, MAX_DOWN_FRAME, encode_down};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc::{Receiver, Sender},
    time::timeout,
};

use super::decoder::Decoder;
use crate::{
    clock::ShellClock,
    core::{BoardFrame, Event, LinkId},
    links::Links,
    random,
};

/// What is read at once. Frames are unpacked only when the core's channel has a place for them, so a link that waits
/// holds no more than this.
const READ_BYTES: usize = 4 * 1024;
/// Boards speak every few seconds; a link silent for this long is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// A board that does not take a frame for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every board link needs of the agent.
#[derive(Clone)]
pub struct BoardLinks {
    pub links: Links,
    pub events: Sender<Event>,
    pub clock: ShellClock,
}

impl BoardLinks {
    /// Serves one link to its end.
    pub async fn serve(&self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) {
        let (link, frames) = self.links.open();
        // Either end of the link ends both: half a link is of no use to a board.
        tokio::select! {
            () = self.read(link, reader) => {}
            () = write(writer, frames) => {}
        }
        self.links.close(link);
        let _ending = self.events.send(Event::LinkClosed(link)).await;
    }

    async fn read(&self, link: LinkId, mut reader: impl AsyncRead + Unpin) {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(Ok(len @ 1..)) = timeout(SILENCE, reader.read(&mut buffer)).await {
            // The frames may wait for their place; what anchors a board's clock is when they were here.
            let arrived = self.clock.at();
            let Ok(place) = self.events.reserve().await else { return };
            let frames = decoder.push(buffer.get(..len).unwrap_or_default(), random::boot);
            let bad = frames.iter().filter(|frame| matches!(frame, BoardFrame::Bad(_))).count();
            if bad > 0 {
                tracing::debug!(link = link.0, bad, "frames that cannot be read");
            }
            if !frames.is_empty() {
                place.send(Event::Board { link, arrived, frames });
            }
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut frames: Receiver<Down>) {
    let mut buffer = [0; MAX_DOWN_FRAME];
    while let Some(frame) = frames.recv().await {
        let len = match encode_down(&frame, &mut buffer) {
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
        if !matches!(timeout(WRITE_TIMEOUT, sent).await, Ok(Ok(()))) {
            return;
        }
    }
}
