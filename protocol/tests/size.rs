//! What a reading may cost on the wire: the figures that the design is held to.

#[path = "support/fleet.rs"]
mod fleet;

use fleet::Fleet;
use tidegate_protocol::block::{Decoder, Encoder};

/// Bytes for each of 1000 readings, over 20 blocks, every byte of the message counted.
fn bytes_per_reading(boards: usize) -> f64 {
    let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
    let mut fleet = Fleet::new(boards, 1);
    let mut bytes = 0;
    for _ in 0..20 {
        let block = fleet.block(1000);
        assert_eq!(block.reading_count(), 1000);
        let encoded = encoder.encode(&block).unwrap();
        assert_eq!(decoder.decode(&encoded).unwrap(), block);
        bytes += encoded.len();
    }
    bytes as f64 / 20_000.0
}

#[test]
fn readings_over_400_series_take_at_most_2_bytes_each() {
    let bytes = bytes_per_reading(50);
    assert!(bytes <= 2.0, "{bytes:.3} B a reading; the design allows 2.4");
}

#[test]
fn readings_over_8_series_take_at_most_0_7_bytes_each() {
    let bytes = bytes_per_reading(1);
    assert!(bytes <= 0.7, "{bytes:.3} B a reading; the design allows 1.2");
}
