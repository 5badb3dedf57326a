//! Bytes of an enemy, or of a bad line: typed errors, never a panic, and never something else than was sent.

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/samples.rs"]
mod samples;

use fleet::{Fleet, Random};
use tidegate_protocol::{
    LossReason, Seq, SeqRange, WIRE_VERSION,
    ack::{AckError, BlockAck},
    block::{self, BlockError, Decoder, Encoder, Header, Part},
    frame::{
        Deadband, Down, FrameError, Lost, MAX_FRAME, Settings, Up, crc::crc32c, decode_down, decode_up,
        encode_down, encode_up, encoded_len, keyed::Envelope,
    },
    rules::{MAX_RULES_BYTES, MAX_VERDICTS, RulesDown, RulesUp, Verdicts},
    sealed::SealError,
    settings::{DesiredSettings, MAX_SETTINGS, ReportedSettings},
};

/// Mutated inputs for each body.
const CASES: usize = 20_000;

fn up_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    samples::each_up(|_, _, up| {
        let mut line = vec![0; encoded_len(MAX_FRAME)];
        let len = encode_up(up, &mut line).unwrap();
        frames.push(line[..len].to_vec());
    });
    frames
}

fn down_frames() -> Vec<Vec<u8>> {
    let encode = |(_, _, down)| {
        let mut line = [0; 64];
        let len = encode_down(&down, &mut line).unwrap();
        line[..len].to_vec()
    };
    samples::downs().into_iter().map(encode).collect()
}

fn acks() -> Vec<Vec<u8>> {
    samples::acks().into_iter().map(|(_, _, ack)| ack.encode().unwrap()).collect()
}

fn desired() -> Vec<Vec<u8>> {
    samples::desired().into_iter().map(|(_, _, desired)| desired.encode().unwrap()).collect()
}

fn reported() -> Vec<Vec<u8>> {
    samples::reported().into_iter().map(|(_, _, reported)| reported.encode().unwrap()).collect()
}

fn rules_down() -> Vec<Vec<u8>> {
    samples::rules_down().into_iter().map(|(_, _, down)| down.encode().unwrap()).collect()
}

fn rules_up() -> Vec<Vec<u8>> {
    samples::rules_up().into_iter().map(|(_, _, up)| up.encode().unwrap()).collect()
}

fn verdicts() -> Vec<Vec<u8>> {
    samples::verdicts().into_iter().map(|(_, _, verdicts)| verdicts.encode().unwrap()).collect()
}

fn blocks() -> Vec<Vec<u8>> {
    let fleet = Fleet::new(3, 1).block(60);
    let all = samples::blocks().into_iter().map(|(_, _, block)| block).chain([fleet]);
    all.map(|block| Encoder::new().unwrap().encode(&block).unwrap()).collect()
}

/// Every prefix and every single flipped bit must be refused.
fn assert_no_damage_passes(messages: &[Vec<u8>], mut accepts: impl FnMut(&[u8]) -> bool) {
    for message in messages {
        assert!(accepts(message));
        for len in 0..message.len() {
            assert!(!accepts(&message[..len]), "cut to {len} of {message:02x?}");
        }
        let mut damaged = message.clone();
        for bit in 0..message.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&damaged), "bit {bit} of {message:02x?}");
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// A frame is what stands before its zero.
fn unended(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.into_iter().map(|frame| frame[..frame.len() - 1].to_vec()).collect()
}

#[test]
fn no_damaged_frame_passes() {
    assert_no_damage_passes(&unended(up_frames()), |bytes| decode_up(&mut bytes.to_vec()).is_ok());
    assert_no_damage_passes(&unended(down_frames()), |bytes| decode_down(&mut bytes.to_vec()).is_ok());
}

#[test]
fn no_damaged_ack_passes() {
    assert_no_damage_passes(&acks(), |bytes| BlockAck::decode(bytes).is_ok());
}

#[test]
fn no_damaged_settings_pass() {
    assert_no_damage_passes(&desired(), |bytes| DesiredSettings::decode(bytes).is_ok());
    assert_no_damage_passes(&reported(), |bytes| ReportedSettings::decode(bytes).is_ok());
}

#[test]
fn no_damaged_block_passes() {
    let mut decoder = Decoder::new().unwrap();
    assert_no_damage_passes(&blocks(), |bytes| decoder.decode(bytes).is_ok());
}

/// Damages a seed in one to four ways; the result is at most 4 KiB.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| seeds[random.below(seeds.len() as u64) as usize].clone();
    let mut bytes = pick(random);
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.bits() as u8),
            2 => bytes.extend(pick(random)),
            3 => {
                let other = pick(random);
                bytes.splice(at.., other[at.min(other.len())..].iter().copied());
            }
            // An extreme value, a flipped bit, another byte.
            way => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = match way {
                        4 => [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6) as usize],
                        5 => *byte ^ 1 << random.below(8),
                        _ => random.bits() as u8,
                    };
                }
            }
        }
    }
    bytes.truncate(4096);
    bytes
}

fn run(seeds: &[Vec<u8>], seed: u64, mut body: impl FnMut(&[u8])) {
    let mut random = Random::new(seed);
    for case in 0..CASES {
        // Some start from nothing.
        let bytes = match case % 10 {
            0 => (0..random.below(200)).map(|_| random.bits() as u8).collect(),
            _ => mutate(seeds, &mut random),
        };
        body(&bytes);
    }
}

/// Bodies of frames and acknowledgements, so that mutations with repaired checksums go deep.
fn bodies(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let body = |frame: &Vec<u8>| {
        let raw = cobs::decode_vec(&frame[..frame.len() - 1]).unwrap();
        raw[1..raw.len() - 4].to_vec()
    };
    frames.iter().map(body).chain(frames.iter().cloned()).collect()
}

#[test]
fn mutated_up_frames() {
    run(&bodies(up_frames()), 1, hostile::frame_up);
}

#[test]
fn mutated_down_frames() {
    run(&bodies(down_frames()), 2, hostile::frame_down);
}

fn keyed_frames() -> Vec<Vec<u8>> {
    samples::keyed().into_iter().map(|(_, _, line)| line).collect()
}

#[test]
fn no_damaged_frame_under_a_key_passes() {
    let frames = unended(keyed_frames());
    assert_no_damage_passes(&frames, |bytes| Envelope::read(&mut bytes.to_vec()).is_ok());
}

#[test]
fn mutated_frames_under_a_key() {
    run(&bodies(keyed_frames()), 7, hostile::frame_keyed);
}

#[test]
fn no_damaged_word_of_rules_passes() {
    assert_no_damage_passes(&rules_down(), |bytes| RulesDown::decode(bytes).is_ok());
    assert_no_damage_passes(&rules_up(), |bytes| RulesUp::decode(bytes).is_ok());
    assert_no_damage_passes(&verdicts(), |bytes| Verdicts::decode(bytes).is_ok());
}

#[test]
fn mutated_acks() {
    let unsigned = acks().into_iter().map(|ack| ack[..ack.len() - 4].to_vec());
    run(&unsigned.chain(acks()).collect::<Vec<_>>(), 3, hostile::ack);
}

#[test]
fn mutated_settings() {
    let whole: Vec<_> = desired().into_iter().chain(reported()).collect();
    let unsigned = whole.iter().map(|message| message[..message.len() - 4].to_vec());
    run(&unsigned.chain(whole.iter().cloned()).collect::<Vec<_>>(), 5, hostile::settings);
}

#[test]
fn mutated_words_of_rules() {
    let whole: Vec<_> = rules_down().into_iter().chain(rules_up()).chain(verdicts()).collect();
    let unsigned = whole.iter().map(|message| message[..message.len() - 4].to_vec());
    run(&unsigned.chain(whole.iter().cloned()).collect::<Vec<_>>(), 6, hostile::rules_on_their_way);
}

/// What [`hostile::assembled`] makes this block of, if its directory is short.
fn parts_of(block: &[u8]) -> Option<Vec<u8>> {
    let Header { readings, directory, body, .. } = Header::parse(block).unwrap();
    let head = [readings as u8, (readings >> 8) as u8, u8::try_from(directory.len()).ok()?];
    Some([&head, directory, body].concat())
}

#[test]
fn mutated_blocks() {
    let mut blocks_body = hostile::Blocks::new();
    // As whole blocks, and as the parts that `assembled` takes.
    let parts = blocks().into_iter().filter_map(|block| parts_of(&block));
    let seeds: Vec<_> = parts.chain(blocks()).collect();
    run(&seeds, 4, |bytes| blocks_body.check(bytes));
}

/// Found by fuzzing: the stuffed bound leaves room for a few bytes more than a raw frame may have.
#[test]
fn a_frame_longer_than_the_bound_is_refused_though_its_line_is_not() {
    let readings = |len: usize| {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        body.resize(len, 7);
        decode_up(&mut hostile::framed(&body)).map(|_| ())
    };
    assert_eq!(readings(MAX_FRAME - 5), Ok(()));
    assert_eq!(readings(MAX_FRAME - 4), Err(FrameError::TooLong));
}

#[test]
fn frames_that_contradict_themselves_are_refused_by_receiver_and_sender() {
    for (body, wrong) in [
        (&[2, 2, 1, 0, 0, 0, 0][..], "heartbeat: floor beyond next"),
        (&[3, 5, 5, 0, 0, 9], "lost: nothing"),
        (&[3, 5, 10, 0, 0, 9], "lost: beyond next"),
        (&[3, 5, 6, 0, 10, 9], "lost: floor beyond next"),
        (&[1, 5, 6, 9, 0, 0], "readings: below floor"),
        (&[1, 0, 0, 1, 0, 2, 0, 0, 0, 0], "readings: beyond next"),
        (&[0, 1, b'b', 0, 0, 0, 2, 1, 0], "hello: floor beyond next"),
    ] {
        let refused = decode_up(&mut hostile::framed(body)).map(|_| ());
        assert_eq!(refused, Err(FrameError::Body), "{wrong}");
    }
    let deadband = [2, 0, 0, 1, 0, 1, 0, 1, 0, 19, 0];
    assert_eq!(decode_down(&mut hostile::framed(&deadband)), Err(FrameError::Body), "scale 19");

    let lost = Lost {
        boot: tidegate_protocol::BootId(1).tag(),
        range: SeqRange::new(5, 5),
        reason: LossReason::Evicted,
        floor: Seq(0),
        next: Seq(9),
    };
    assert_eq!(encode_up(&Up::Lost(lost), &mut [0; 64]), Err(FrameError::Body));
    let report_deadband = Some(Deadband::Absolute(samples::decimal(1, 19)));
    let settings = samples::downs().into_iter().find_map(|(_, _, down)| match down {
        Down::Settings { boot, settings } => {
            Some(Down::Settings { boot, settings: Settings { report_deadband, ..settings } })
        }
        _ => None,
    });
    assert_eq!(encode_down(&settings.unwrap(), &mut [0; 64]), Err(FrameError::Body));
}

#[test]
fn an_ack_with_more_than_its_fields_is_refused() {
    for ack in acks() {
        let mut longer = ack[..ack.len() - 4].to_vec();
        longer.push(0);
        longer.extend_from_slice(&crc32c(&longer).to_le_bytes());
        assert_eq!(BlockAck::decode(&longer), Err(AckError::Malformed));
    }
}

#[test]
fn settings_that_promise_too_many_channels_or_hold_more_than_their_fields_are_refused() {
    let signed = |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        bytes
    };
    for count in [&[0x81, 0x02][..], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let promised = signed([&[WIRE_VERSION], count, &[1; 64]].concat());
        assert_eq!(
            DesiredSettings::decode(&promised),
            Err(SealError::TooMany(MAX_SETTINGS as u64)),
            "{count:02x?}"
        );
        assert_eq!(
            ReportedSettings::decode(&promised),
            Err(SealError::TooMany(MAX_SETTINGS as u64)),
            "{count:02x?}"
        );
    }
    let most = signed([&[WIRE_VERSION, 0x80, 0x02][..], &[1; 64]].concat());
    assert_eq!(DesiredSettings::decode(&most), Err(SealError::Malformed), "{MAX_SETTINGS} may be");
    for message in desired() {
        let longer = signed([&message[..message.len() - 4], &[0]].concat());
        assert_eq!(DesiredSettings::decode(&longer), Err(SealError::Malformed));
        let newer = signed([&[WIRE_VERSION + 1], &message[1..message.len() - 4]].concat());
        assert_eq!(DesiredSettings::decode(&newer), Err(SealError::Version(WIRE_VERSION + 1)));
    }
    // One channel whose deadband has scale 19.
    let body = [&[WIRE_VERSION, 1, 1, b'b', 1, b'c', 1, 1, 1, 1, 1, 0, 1, 0, 19, 0][..]].concat();
    assert_eq!(DesiredSettings::decode(&signed(body)), Err(SealError::Malformed));
}

/// Every kind of message of a version that is not known: the refusal names that version, and not what would come of reading on.
#[test]
fn another_version_is_refused_by_its_number() {
    for version in [0, WIRE_VERSION + 1, 63] {
        let other = |message: &[u8]| {
            let mut bytes = [&[version], &message[1..message.len() - 4]].concat();
            bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
            bytes
        };
        let refused = SealError::Version(version);
        assert_eq!(BlockAck::decode(&other(&acks()[0])), Err(AckError::Version(version)));
        assert_eq!(DesiredSettings::decode(&other(&desired()[0])), Err(refused));
        assert_eq!(ReportedSettings::decode(&other(&reported()[0])), Err(refused));
        assert_eq!(RulesDown::decode(&other(&rules_down()[0])), Err(refused));
        assert_eq!(RulesUp::decode(&other(&rules_up()[0])), Err(refused));
        assert_eq!(Verdicts::decode(&other(&verdicts()[0])), Err(refused));
        // Frames in clear, of an exchange, under a key, and of a form that there is not.
        for form in [0x00, 0x40, 0x80, 0xc0] {
            let mut frame = hostile::framed_as(version | form, &[0]);
            assert_eq!(decode_up(&mut frame.clone()).unwrap_err(), FrameError::Version(version));
            assert_eq!(decode_down(&mut frame.clone()), Err(FrameError::Version(version)));
            assert_eq!(Envelope::read(&mut frame).unwrap_err(), FrameError::Version(version));
        }
    }
    let mut formless = hostile::framed_as(WIRE_VERSION | 0xc0, &[0]);
    assert_eq!(Envelope::read(&mut formless).unwrap_err(), FrameError::Body);
}

/// Whose body nobody here can read still has a stamp that can be answered. What is older than the freeze has this layout.
#[test]
fn a_block_of_another_version_is_refused_by_its_number_and_can_be_answered() {
    for mut block in blocks() {
        let stamp = block::read_stamp(&block).unwrap();
        let read = Decoder::new().unwrap().decode(&block);
        for version in [WIRE_VERSION + 1, 255] {
            block[4] = version;
            assert_eq!(Header::parse(&block).unwrap_err(), BlockError::Checksum(Part::Header), "damage");
            assert!(hostile::repair(&mut block));
            assert_eq!(Header::parse(&block).unwrap_err(), BlockError::Version(version));
            assert_eq!(Decoder::new().unwrap().decode(&block), Err(BlockError::Version(version)));
            assert_eq!(block::read_stamp(&block), Ok(stamp));
        }
        block[4] = 0;
        assert!(hostile::repair(&mut block));
        assert_eq!(Decoder::new().unwrap().decode(&block), read, "of a queue from before the freeze");
    }
}

#[test]
fn words_of_rules_beyond_their_bounds_are_refused() {
    let signed = |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        bytes
    };
    // Version, offer, edition 1, checksum 0, and how many bytes.
    let offer = |bytes: &[u8]| RulesDown::decode(&signed([&[WIRE_VERSION, 0, 1, 0], bytes].concat()));
    assert!(offer(&[0x80, 0x80, 0x40]).is_ok(), "{MAX_RULES_BYTES} may be");
    assert_eq!(offer(&[0x81, 0x80, 0x40]), Err(SealError::Malformed));
    let part =
        |at: &[u8], part: &[u8]| RulesDown::decode(&signed([&[WIRE_VERSION, 1, 1, 0], at, part].concat()));
    assert!(part(&[5], &[1, 7]).is_ok());
    assert_eq!(part(&[5], &[0]), Err(SealError::Malformed), "nothing");
    assert_eq!(part(&[0x80, 0x80, 0x40], &[1, 7]), Err(SealError::Malformed), "behind the end");
    let long = [&[0x81, 0x80, 0x02][..], &[7; 32_769]].concat();
    assert_eq!(part(&[0], &long), Err(SealError::Malformed));
    let promised = signed([&[WIRE_VERSION, 0x81, 0x01], &[1; 64][..]].concat());
    assert_eq!(Verdicts::decode(&promised), Err(SealError::TooMany(MAX_VERDICTS as u64)));
    // A verdict on board b, channel c, of a rule without a name.
    let nameless = signed(vec![WIRE_VERSION, 1, 1, b'b', 1, b'c', 0, 0, 9, 1, 1]);
    assert_eq!(Verdicts::decode(&nameless), Err(SealError::Malformed));
}

#[test]
fn a_body_with_more_than_its_columns_is_refused() {
    for block in blocks() {
        let Some(parts) = parts_of(&block) else { continue };
        let with =
            |more: &[u8]| Decoder::new().unwrap().decode(&hostile::assembled(&[&parts, more].concat()));
        if with(&[]).is_ok() {
            assert!(with(&[0]).is_err());
            assert!(with(&[1]).is_err());
        }
    }
}

/// A test of the test: what `framed` and `assembled` make of good parts is accepted.
#[test]
fn repaired_messages_are_accepted() {
    for body in &bodies(up_frames())[..up_frames().len()] {
        assert!(decode_up(&mut hostile::framed(body)).is_ok());
    }
    for mut block in blocks() {
        let good = block.clone();
        block[24] ^= 1;
        block[45] ^= 1;
        block[50] ^= 1;
        assert!(hostile::repair(&mut block));
        assert_eq!(block, good);
    }
    for (_, _, block) in samples::blocks() {
        let encoded = Encoder::new().unwrap().encode(&block).unwrap();
        let Header { body, unpacked_bytes, .. } = Header::parse(&encoded).unwrap();
        if body.len() == unpacked_bytes as usize {
            assert_eq!(hostile::assembled(&parts_of(&encoded).unwrap()), encoded);
        }
    }
}
