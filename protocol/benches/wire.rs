//! What a reading costs on the wire, in bytes and in time, on the fleet of `tests/support/fleet.rs`.
//!
//! ```text
//! cargo bench -p tidegate-protocol --bench wire             a table
//! cargo bench -p tidegate-protocol --bench wire -- --json   and, as the last line, the same as JSON
//! ```
//! Bytes are those of whole messages: header, directory with 64-bit random boots, body. Times are medians over
//! blocks, each measured many times on one core.

#[path = "../tests/support/fleet.rs"]
mod fleet;

use std::{hint::black_box, time::Instant};

use fleet::{CHANNELS, Fleet};
use serde::Serialize;
use tidegate_protocol::{
    BootId, DeviceId, Quality, Reading, Value,
    block::{Block, Decoder, Encoder},
    frame::{Deframer, MAX_FRAME, Readings, SamplePacker, Up, encode_up, encoded_len},
};

const READINGS: usize = 1000;
const BLOCKS: usize = 64;
const ROUNDS: usize = 40;
const LINE: usize = encoded_len(MAX_FRAME);
/// Decimals of the fleet's channels, as its boards would declare them.
const SCALES: [u8; CHANNELS] = [2, 2, 0, 3, 2, 3, 0, 0];

#[derive(Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut rows = Vec::new();
    for boards in [50, 1] {
        let series = boards * CHANNELS;
        let mut fleet = Fleet::new(boards, 7);
        let blocks: Vec<Block> = (0..BLOCKS).map(|_| fleet.block(READINGS)).collect();
        let mut row = |what: &str, value: f64, unit| {
            rows.push(Row { what: format!("{series} series: {what}"), value, unit })
        };
        row(
            "Tidegate block",
            per_reading(&blocks, |block| encoder().encode(block).expect("a block").len()),
            "B/reading",
        );
        row("postcard rows", per_reading(&blocks, |block| postcard_rows(block).len()), "B/reading");
        row("JSON", per_reading(&blocks, |block| json_readings(block).len()), "B/reading");
        let (encode, decode) = block_times(&blocks);
        row("block encode", encode, "ns/reading");
        row("block decode", decode, "ns/reading");
    }
    let (bytes, pack, unpack) = frames();
    rows.push(Row { what: "board frames".into(), value: bytes, unit: "B/reading" });
    rows.push(Row { what: "board frames: pack and stuff".into(), value: pack, unit: "ns/reading" });
    rows.push(Row { what: "board frames: cut, check, unpack".into(), value: unpack, unit: "ns/reading" });

    for Row { what, value, unit } in &rows {
        println!("{what:<36} {value:>8.2} {unit}");
    }
    if json {
        let note = format!(
            "blocks of {READINGS} readings; 50 or 1 boards of 8 channels, random walks at sensor resolution, seeded; \
             every byte of the message counted; times are medians on one core"
        );
        println!("{}", serde_json::json!({ "name": "wire", "rows": rows, "note": note }));
    }
}

fn encoder() -> Encoder {
    Encoder::new().expect("memory for zstd")
}

fn per_reading(blocks: &[Block], len: impl Fn(&Block) -> usize) -> f64 {
    let bytes: usize = blocks.iter().map(len).sum();
    bytes as f64 / (blocks.len() * READINGS) as f64
}

/// Runs `work` on each of many things, again and again; the median of its nanoseconds for each reading.
fn median_ns<T>(things: &[T], readings: usize, mut work: impl FnMut(&T)) -> f64 {
    let mut times = Vec::with_capacity(things.len() * ROUNDS);
    for thing in (0..ROUNDS).flat_map(|_| things) {
        let start = Instant::now();
        work(thing);
        times.push(start.elapsed().as_nanos() as f64 / readings as f64);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn block_times(blocks: &[Block]) -> (f64, f64) {
    let (mut encoder, mut decoder) = (encoder(), Decoder::new().expect("memory for zstd"));
    let encoded: Vec<_> = blocks.iter().map(|block| encoder.encode(block).expect("a block")).collect();
    let encode = median_ns(blocks, READINGS, |block| {
        black_box(encoder.encode(block).expect("a block"));
    });
    let decode = median_ns(&encoded, READINGS, |bytes| {
        black_box(decoder.decode(bytes).expect("a block"));
    });
    (encode, decode)
}

/// One board's readings through frames: bytes, then nanoseconds to write and to read.
fn frames() -> (f64, f64, f64) {
    let readings = Fleet::new(1, 7).block(READINGS).origins.remove(0).readings;
    let mut line = Vec::new();
    let mut write = || {
        line.clear();
        let mut rest = readings.as_slice();
        while !rest.is_empty() {
            rest = write_frame(rest, &mut line);
        }
    };
    let pack = median_ns(&[(); BLOCKS], READINGS, |()| write());
    let mut deframer = Box::new(Deframer::<LINE>::new());
    let mut out = Vec::with_capacity(READINGS);
    let unpack = median_ns(&[(); BLOCKS], READINGS, |()| {
        out.clear();
        deframer.up(&line, |frame| match frame {
            Ok(Up::Readings(frame)) => frame.unpack_into(&SCALES, &mut out).expect("samples"),
            other => panic!("{other:?}"),
        });
        black_box(&out);
    });
    assert_eq!(out, readings);
    (line.len() as f64 / READINGS as f64, pack, unpack)
}

/// Writes what fits one frame; returns the rest.
fn write_frame<'a>(readings: &'a [Reading], line: &mut Vec<u8>) -> &'a [Reading] {
    let (mut samples, mut frame) = ([0; MAX_FRAME - 64], [0; LINE]);
    let first = readings[0];
    let mut packer = SamplePacker::new(&mut samples, first.tick);
    let taken = readings.iter().take_while(|reading| packer.push(reading)).count();
    let (count, len) = (packer.count(), packer.len());
    let next = tidegate_protocol::Seq(first.seq.0 + taken as u64);
    let up = Readings {
        boot: BootId(7).tag(),
        first_seq: first.seq,
        floor: first.seq,
        next,
        base_tick: first.tick,
        count,
        samples: &samples[..len],
    };
    let len = encode_up(&Up::Readings(up), &mut frame).expect("a frame");
    line.extend_from_slice(&frame[..len]);
    &readings[taken..]
}

/// The plain way: the same structure, row by row.
fn postcard_rows(block: &Block) -> Vec<u8> {
    #[derive(Serialize)]
    struct Plain {
        seq: u64,
        channel: u8,
        tick: u64,
        value: Value,
        quality: Quality,
    }
    let plain = |r: &Reading| Plain {
        seq: r.seq.0,
        channel: r.channel.0,
        tick: r.tick.0,
        value: r.value,
        quality: r.quality,
    };
    let origins: Vec<_> = block
        .origins
        .iter()
        .map(|origin| (origin.origin, origin.readings.iter().map(plain).collect::<Vec<_>>()))
        .collect();
    postcard::to_extend(&origins, Vec::new()).expect("rows")
}

/// As an API would send them, short of the site and the channel's name.
fn json_readings(block: &Block) -> Vec<u8> {
    #[derive(Serialize)]
    struct Json {
        device: DeviceId,
        boot: BootId,
        seq: u64,
        channel: u8,
        tick_ms: u64,
        value: f64,
        quality: Quality,
    }
    let rows: Vec<_> = block
        .origins
        .iter()
        .flat_map(|origin| origin.readings.iter().map(|reading| (origin.origin, reading)))
        .map(|(origin, reading)| Json {
            device: origin.device,
            boot: origin.boot,
            seq: reading.seq.0,
            channel: reading.channel.0,
            tick_ms: reading.tick.0,
            value: (reading.value.as_f64() * 1000.0).round() / 1000.0,
            quality: reading.quality,
        })
        .collect();
    serde_json::to_vec(&rows).expect("JSON")
}
