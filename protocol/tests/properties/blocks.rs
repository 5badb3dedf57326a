//! Blocks: all values of every kind come back bit for bit; what breaks a bound is refused by the sender already.

use std::cell::RefCell;

use proptest::prelude::*;
use tidegate_protocol::{
    BootId, ChannelIndex, ChannelName, DeviceId, LossReason, LossRecord, Origin, Quality, Reading, Seq,
    SeqRange, Summary, Tick, Value, ValueKind,
    block::{
        self, Block, BlockError, Decoder, Description, Encoder, MAX_CHANNELS_PER_ORIGIN, MAX_READINGS,
        OriginReadings, Part, Record, Stamp, ranges_of,
    },
    channel::ChannelDecl,
    topic::Lane,
};

use super::given;

thread_local! {
    static CODEC: RefCell<(Encoder, Decoder)> = RefCell::new((Encoder::new().unwrap(), Decoder::new().unwrap()));
}

fn encode(block: &Block) -> Result<Vec<u8>, BlockError> {
    CODEC.with_borrow_mut(|(encoder, _)| encoder.encode(block))
}

fn decode(bytes: &[u8]) -> Block {
    CODEC.with_borrow_mut(|(_, decoder)| decoder.decode(bytes).unwrap())
}

fn round_trip(block: &Block) -> Block {
    decode(&encode(block).unwrap())
}

fn origin() -> Origin {
    Origin::new(DeviceId::new("board-1").unwrap(), BootId(7))
}

fn reading(seq: u64, channel: u8, value: Value) -> Reading {
    Reading { seq: Seq(seq), channel: ChannelIndex(channel), tick: Tick(seq), value, quality: Quality::Good }
}

fn block_of(readings: Vec<Reading>) -> Block {
    Block { records: Vec::new(), origins: vec![OriginReadings { origin: origin(), readings }] }
}

proptest! {
    // A case is a whole block: some hundred readings of every kind.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn blocks_round_trip(block in given::block()) {
        prop_assert_eq!(round_trip(&block), block);
    }

    #[test]
    fn one_encoder_and_decoder_serve_many_blocks(blocks in proptest::collection::vec(given::block(), 1..5)) {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        for block in blocks {
            let bytes = encoder.encode(&block).unwrap();
            let fresh = Encoder::new().unwrap().encode(&block).unwrap();
            prop_assert_eq!(&bytes, &fresh, "what was before shows in the bytes");
            prop_assert_eq!(decoder.decode(&bytes).unwrap(), block);
        }
    }

    #[test]
    fn the_directory_alone_says_what_is_inside(block in given::block()) {
        let directory = Decoder::directory(&encode(&block).unwrap()).unwrap();
        prop_assert_eq!(directory.len(), block.origins.len());
        for (entry, origin) in directory.iter().zip(&block.origins) {
            prop_assert_eq!(entry.origin, origin.origin);
            prop_assert_eq!(&entry.ranges, &ranges_of(&origin.readings));
            prop_assert_eq!(entry.count(), origin.readings.len() as u64);
        }
    }

    #[test]
    fn a_stamp_changes_the_stamp_only(block in given::block(), epoch in any::<u64>(), number in any::<u64>()) {
        let plain = encode(&block).unwrap();
        for lane in Lane::ALL {
            let mut stamped = plain.clone();
            block::stamp(&mut stamped, Stamp { lane, epoch, number }).unwrap();
            let header = block::Header::parse(&stamped).unwrap();
            prop_assert_eq!(header.stamp, Stamp { lane, epoch, number });
            prop_assert_eq!(&stamped[28..], &plain[28..]);
            prop_assert_eq!(&decode(&stamped), &block);
        }
    }
}

#[test]
fn nan_payloads_and_negative_zero_come_back() {
    let odd = [f64::from_bits(0x7ff8_0000_dead_beef), f64::from_bits(0xfff0_0000_0000_0001), -0.0, 0.0, 1.5];
    let readings: Vec<_> =
        odd.iter().enumerate().map(|(at, v)| reading(at as u64, 0, Value::F64(*v))).collect();
    let block = block_of(readings);
    assert_eq!(round_trip(&block), block);
}

#[test]
fn an_empty_block_and_a_block_of_records_alone_are_blocks() {
    let loss = LossRecord { origin: origin(), range: SeqRange::new(3, 9), reason: LossReason::RingOverflow };
    for block in [Block::default(), Block { records: vec![Record::Loss(loss)], origins: Vec::new() }] {
        assert_eq!(round_trip(&block), block);
    }
}

#[test]
fn the_largest_block_is_taken_and_one_more_reading_is_refused() {
    let mut readings: Vec<_> =
        (0..MAX_READINGS as u64).map(|at| reading(at, at as u8, Value::Bool(at % 3 == 0))).collect();
    let block = block_of(readings.clone());
    assert_eq!(round_trip(&block), block);
    readings.push(reading(MAX_READINGS as u64, 0, Value::Bool(true)));
    assert_eq!(encode(&block_of(readings)), Err(BlockError::TooLarge("readings")));
}

#[test]
fn disorder_is_refused_by_the_sender() {
    let truth = Value::Bool(true);
    let twice = block_of(vec![reading(4, 0, truth), reading(4, 1, truth)]);
    let backwards = block_of(vec![reading(4, 0, truth), reading(3, 0, truth)]);
    let endless = block_of(vec![reading(u64::MAX, 0, truth)]);
    let empty = block_of(Vec::new());
    let mut same_origin = block_of(vec![reading(1, 0, truth)]);
    same_origin.origins.push(same_origin.origins[0].clone());
    for block in [twice, backwards, endless, empty, same_origin] {
        assert_eq!(encode(&block), Err(BlockError::Disorder), "{block:?}");
    }
}

/// What a sender could put into a block but no receiver would take would block a queue for ever.
#[test]
fn what_no_receiver_takes_is_refused_by_the_sender() {
    let decimal = Value::Decimal { mantissa: 1, scale: 19 };
    assert!(matches!(encode(&block_of(vec![reading(0, 0, decimal)])), Err(BlockError::TooLarge(_))));

    let loss = LossRecord { origin: origin(), range: SeqRange::new(9, 9), reason: LossReason::Evicted };
    let record = |record| Block { records: vec![record], origins: Vec::new() };
    assert_eq!(encode(&record(Record::Loss(loss))), Err(BlockError::Malformed(Part::Records)));

    let (of, range, ticks) = (origin(), SeqRange::new(3, 9), (Tick(1), Tick(2)));
    let (min, max, mean) = (1.0, 2.0, 2.5);
    let summary = Summary {
        origin: of,
        channel: ChannelIndex(0),
        range,
        ticks,
        count: 2,
        min,
        max,
        mean,
        crossings: 1,
    };
    assert_eq!(encode(&record(Record::Summary(summary))), Err(BlockError::Malformed(Part::Records)));

    let channel = |unit: &str| ChannelDecl {
        name: ChannelName::new("x").unwrap(),
        unit: unit.to_owned(),
        kind: ValueKind::Bool,
        scale: 0,
    };
    let described = |channels| {
        record(Record::Described(Description {
            origin: origin(),
            tag: String::new(),
            firmware: String::new(),
            channels,
        }))
    };
    let all = described(vec![channel("m"); MAX_CHANNELS_PER_ORIGIN]);
    assert_eq!(round_trip(&all), all);
    for block in [
        described(vec![channel("m"); MAX_CHANNELS_PER_ORIGIN + 1]),
        described(vec![channel("17-bytes-too-long")]),
    ] {
        assert!(matches!(encode(&block), Err(BlockError::TooLarge(_))));
    }
}
