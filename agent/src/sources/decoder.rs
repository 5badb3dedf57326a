//! Bytes of a board link into frames the core understands: checked, unpacked, owned.

use tidegate_protocol::{
    BootId, BootTag, ChannelDecl,
    frame::{Deframer, FrameError, Hello, Lost, MAX_FRAME, Readings, Standing, Up, encoded_len},
};

use crate::core::BoardFrame;

const STUFFED: usize = encoded_len(MAX_FRAME);

/// One link's decoder. A frame that fails its checks becomes [`BoardFrame::Bad`] and stops nothing.
#[derive(Default)]
pub struct Decoder {
    deframer: Box<Deframer<STUFFED>>,
    scales: Scales,
}

/// Each channel's decimal scale, as the Hellos of a link say.
#[derive(Default)]
struct Scales {
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
    scales: &mut Scales,
    fresh: &mut impl FnMut() -> BootId,
) -> Option<BoardFrame> {
    Some(match up {
        Err(error) => BoardFrame::Bad(error),
        Ok(Up::Hello(hello)) => {
            scales.learn(&hello);
            introduced(&hello, fresh())
        }
        Ok(_) if scales.present.is_none() => BoardFrame::Unidentified,
        Ok(Up::Readings(readings)) => unpacked(&readings, scales.of(readings.boot)),
        Ok(Up::Heartbeat(heartbeat)) => BoardFrame::Heartbeat(heartbeat),
        Ok(Up::Lost(Lost { boot, range, reason, floor, next })) => {
            BoardFrame::Lost { boot, range, reason, floor: floor.0, next: next.0 }
        }
        Ok(Up::SettingsResult { boot, result }) => BoardFrame::SettingsResult { boot, result },
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
        standing: hello.standing,
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
