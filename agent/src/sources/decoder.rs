//! Bytes of a board link into frames the core understands: checked, unpacked, owned.

use tidegate_protocol::{
    BootId, BootTag, ChannelDecl, DeviceId,
    frame::{
        Deframer, FrameError, Hello, Lost, Readings, Standing, Up, encoded_len,
        keyed::{Challenge, MAX_KEYED_FRAME, Nonce, decode_up_body},
    },
};

use super::guard::{Guard, Heard};
use crate::core::BoardFrame;

const STUFFED: usize = encoded_len(MAX_KEYED_FRAME);

/// One link's decoder. A frame that fails its checks becomes [`BoardFrame::Bad`] and stops nothing.
#[derive(Default)]
pub struct Decoder {
    deframer: Box<Deframer<STUFFED>>,
    scales: Scales,
    guard: Guard,
    /// To be sent before anything else.
    challenge: Option<Challenge>,
}

/// Each channel's decimal scale, as the Hellos of a link say.
#[derive(Default)]
struct Scales {
    /// The device under whose key the Hello came.
    under: Option<DeviceId>,
    /// None before the first Hello.
    present: Option<Vec<u8>>,
    /// Of a boot before, whose firmware may have had other channels.
    former: Option<(BootTag, Vec<u8>)>,
}

impl Scales {
    fn learn(&mut self, hello: &Hello<'_>) {
        let scales = hello.channels.iter().map(|channel| channel.scale).collect();
        match (hello.standing, hello.boot) {
            (Standing::Former, Some(boot)) => self.former = Some((boot.tag(), scales)),
            _ => self.present = Some(scales),
        }
    }

    fn of(&self, boot: BootTag) -> &[u8] {
        match &self.former {
            Some((former, scales)) if *former == boot => scales,
            _ => self.present.as_deref().unwrap_or_default(),
        }
    }
}

impl Decoder {
    /// One that knows keys; what is sent on the link goes through the same guard.
    pub fn guarded(guard: Guard) -> Self {
        Self { guard, ..Self::default() }
    }

    /// All frames that end in `bytes`. `fresh` gives random bits: a boot to a board that may need one, nonces.
    pub fn push(&mut self, mut bytes: &[u8], mut fresh: impl FnMut() -> BootId) -> Vec<BoardFrame> {
        let mut frames = Vec::new();
        let Self { deframer, scales, guard, challenge } = self;
        while !bytes.is_empty() {
            let deframed = deframer.push(bytes);
            bytes = bytes.get(deframed.used..).unwrap_or_default();
            let Some(stuffed) = deframed.frame else { continue };
            let heard = stuffed.and_then(|stuffed| guard.hear(stuffed, || nonce(&mut fresh)));
            match heard {
                Ok(heard) => {
                    if let Heard::Call { answer, .. } = &heard {
                        *challenge = Some(*answer);
                    }
                    frames.extend(came(heard, scales, &mut fresh));
                }
                // Nobody has heard of this session: the agent is another than the one that its board came to it with.
                Err(FrameError::NoSession) => {
                    frames.extend([BoardFrame::Bad(FrameError::NoSession), BoardFrame::Unidentified]);
                }
                Err(error) => frames.push(BoardFrame::Bad(error)),
            }
        }
        frames
    }

    /// The answer to the last Call, once.
    pub const fn take_challenge(&mut self) -> Option<Challenge> {
        self.challenge.take()
    }
}

fn nonce(fresh: &mut impl FnMut() -> BootId) -> Nonce {
    let (low, high) = (fresh().0, fresh().0);
    Nonce((u128::from(low) | u128::from(high) << 64).to_le_bytes())
}

fn came(heard: Heard<'_>, scales: &mut Scales, fresh: &mut impl FnMut() -> BootId) -> Option<BoardFrame> {
    let held = heard.held();
    match heard {
        Heard::Frame { body, under } => Some(frame(decode_up_body(body), under, scales, fresh)),
        Heard::Call { .. } | Heard::Unanswerable(_) => {
            held.map(|(device, held)| BoardFrame::Called { device, held })
        }
    }
}

fn frame(
    up: Result<Up<'_>, FrameError>,
    under: Option<DeviceId>,
    scales: &mut Scales,
    fresh: &mut impl FnMut() -> BootId,
) -> BoardFrame {
    // Those of the device whose Hello came under the same key, or of one whose Hello came in clear.
    if scales.under != under && !matches!(up, Ok(Up::Hello(_)) | Err(_)) {
        return BoardFrame::Unidentified;
    }
    match up {
        Err(error) => BoardFrame::Bad(error),
        // A device speaks for itself alone.
        Ok(Up::Hello(hello)) if under.is_some_and(|under| under != hello.device) => {
            BoardFrame::Bad(FrameError::Tag)
        }
        Ok(Up::Hello(hello)) => {
            if std::mem::replace(&mut scales.under, under) != under {
                (scales.present, scales.former) = (None, None);
            }
            scales.learn(&hello);
            introduced(&hello, under.is_some(), fresh())
        }
        Ok(_) if scales.present.is_none() => BoardFrame::Unidentified,
        Ok(Up::Readings(readings)) => unpacked(&readings, scales.of(readings.boot)),
        Ok(Up::Heartbeat(heartbeat)) => BoardFrame::Heartbeat(heartbeat),
        Ok(Up::Lost(Lost { boot, range, reason, floor, next })) => {
            BoardFrame::Lost { boot, range, reason, floor: floor.0, next: next.0 }
        }
        Ok(Up::SettingsResult { boot, result }) => BoardFrame::SettingsResult { boot, result },
    }
}

fn introduced(hello: &Hello<'_>, proven: bool, fresh: BootId) -> BoardFrame {
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
        standing: hello.standing,
        proven,
        fresh,
        floor: hello.floor.0,
        next: hello.next.0,
        channels: channels.collect(),
    }
}

fn unpacked(readings: &Readings<'_>, scales: &[u8]) -> BoardFrame {
    let mut unpacked = Vec::new();
    match readings.unpack_into(scales, &mut unpacked) {
        Ok(()) => BoardFrame::Readings {
            boot: readings.boot,
            floor: readings.floor.0,
            next: readings.next.0,
            readings: unpacked,
        },
        Err(error) => BoardFrame::Bad(error),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        ChannelIndex, ChannelName, DeviceId, Quality, Reading, Seq, Tick, Value, ValueKind,
        frame::{ChannelList, SamplePacker, encode_up},
    };

    use super::*;

    fn encoded(frame: &Up<'_>) -> Vec<u8> {
        let mut buffer = [0; STUFFED];
        let len = encode_up(frame, &mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    fn hello() -> Vec<u8> {
        let name = ChannelName::new("level").unwrap();
        let channels = [ChannelDecl { name, unit: "m", kind: ValueKind::Decimal, scale: 2 }];
        encoded(&Up::Hello(Hello {
            device: DeviceId::new("tank").unwrap(),
            tag: "",
            firmware: "",
            boot: None,
            standing: Standing::Present,
            floor: Seq(0),
            next: Seq(0),
            channels: ChannelList::new(&channels).unwrap(),
        }))
    }

    fn one_reading() -> Vec<u8> {
        let mut packed = [0; 64];
        let mut packer = SamplePacker::new(&mut packed, Tick(5));
        packer.push(&Reading {
            seq: Seq(0),
            channel: ChannelIndex(0),
            tick: Tick(5),
            value: Value::Decimal { mantissa: 314, scale: 2 },
            quality: Quality::Good,
        });
        let (count, len) = (packer.count(), packer.len());
        encoded(&Up::Readings(Readings {
            boot: BootId(7).tag(),
            first_seq: Seq(0),
            floor: Seq(0),
            next: Seq(1),
            base_tick: Tick(5),
            count,
            samples: &packed[..len],
        }))
    }

    #[test]
    fn frames_before_a_hello_are_nobodys_and_after_it_have_its_scales() {
        let mut decoder = Decoder::default();
        let bytes = [one_reading(), hello(), one_reading()].concat();
        // However the bytes are cut.
        let frames: Vec<BoardFrame> =
            bytes.chunks(7).flat_map(|chunk| decoder.push(chunk, || BootId(1))).collect();
        match frames.as_slice() {
            [
                BoardFrame::Unidentified,
                BoardFrame::Hello { fresh: BootId(1), .. },
                BoardFrame::Readings { readings, .. },
            ] => {
                assert_eq!(readings[0].value, Value::Decimal { mantissa: 314, scale: 2 });
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn damage_is_counted_and_what_follows_is_read() {
        let mut damaged = one_reading();
        damaged[4] ^= 0x40;
        let mut decoder = Decoder::default();
        let bytes = [hello(), damaged, vec![7; 3 * STUFFED], vec![0], one_reading()].concat();
        let frames = decoder.push(&bytes, || BootId(1));
        let bad = frames.iter().filter(|frame| matches!(frame, BoardFrame::Bad(_))).count();
        assert_eq!((frames.len(), bad), (4, 2));
        assert!(matches!(frames[3], BoardFrame::Readings { .. }));
    }
}
