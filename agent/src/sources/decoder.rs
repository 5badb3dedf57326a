//! Bytes of a board link into frames the core understands: checked, unpacked, owned.

use tidegate_protocol::{
    BootId, ChannelDecl,
    frame::{Deframer, FrameError, Hello, Lost, MAX_FRAME, Readings, Up, encoded_len},
};

use crate::core::BoardFrame;

const STUFFED: usize = encoded_len(MAX_FRAME);

/// One link's decoder. A frame that fails its checks becomes [`BoardFrame::Bad`] and stops nothing.
#[derive(Default)]
pub struct Decoder {
    deframer: Box<Deframer<STUFFED>>,
    /// Each channel's decimal scale, from the link's Hello; none before it.
    scales: Option<Vec<u8>>,
}

impl Decoder {
    /// All frames that end in `bytes`. `fresh` gives a boot to a board that may need one.
    pub fn push(&mut self, bytes: &[u8], mut fresh: impl FnMut() -> BootId) -> Vec<BoardFrame> {
        let mut frames = Vec::new();
        let scales = &mut self.scales;
        self.deframer.up(bytes, |up| frames.extend(frame(up, scales, &mut fresh)));
        frames
    }
}

fn frame(
    up: Result<Up<'_>, FrameError>,
    scales: &mut Option<Vec<u8>>,
    fresh: &mut impl FnMut() -> BootId,
) -> Option<BoardFrame> {
    Some(match up {
        Err(error) => BoardFrame::Bad(error),
        Ok(Up::Hello(hello)) => {
            *scales = Some(hello.channels.iter().map(|channel| channel.scale).collect());
            introduced(&hello, fresh())
        }
        Ok(_) if scales.is_none() => BoardFrame::Unidentified,
        Ok(Up::Readings(readings)) => unpacked(&readings, scales.as_deref().unwrap_or_default()),
        Ok(Up::Heartbeat(heartbeat)) => BoardFrame::Heartbeat(heartbeat),
        Ok(Up::Lost(Lost { range, reason, floor, next })) => {
            BoardFrame::Lost { range, reason, floor: floor.0, next: next.0 }
        }
        // Nobody here sends settings, so nobody waits for their results.
        Ok(Up::SettingsResult(_)) => return None,
    })
}

fn introduced(hello: &Hello<'_>, fresh: BootId) -> BoardFrame {
    let channels = hello.channels.iter().map(|channel| ChannelDecl {
        name: channel.name,
        unit: channel.unit.to_owned(),
        kind: channel.kind,
        scale: channel.scale,
    });
    BoardFrame::Hello {
        device: hello.device,
        tag: hello.tag.to_owned(),
        firmware: hello.firmware.to_owned(),
        boot: hello.boot,
        fresh,
        floor: hello.floor.0,
        next: hello.next.0,
        channels: channels.collect(),
    }
}

fn unpacked(readings: &Readings<'_>, scales: &[u8]) -> BoardFrame {
    let mut unpacked = Vec::new();
    match readings.unpack_into(scales, &mut unpacked) {
        Ok(()) => BoardFrame::Readings { floor: readings.floor.0, next: readings.next.0, readings: unpacked },
        Err(error) => BoardFrame::Bad(error),
    }
}
