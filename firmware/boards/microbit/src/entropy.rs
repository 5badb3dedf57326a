//! A boot id from the chip's random number generator.

use tidegate_firmware::boot;
use tidegate_protocol::BootId;

use crate::registers::*;

/// Removes the generator's bias, at half its speed.
const BIAS_CORRECTION: u32 = 1;
/// Far longer than a byte takes (about 0.7 ms).
const PATIENCE: u32 = 100_000;

/// None where the generator does not answer; the gateway then gives a boot id.
pub fn boot_id() -> Option<BootId> {
    RNG_CONFIG.write(BIAS_CORRECTION);
    RNG_START.write(1);
    let words = word().zip(word());
    RNG_STOP.write(1);
    words.map(|(high, low)| boot::from_entropy([high, low]))
}

fn word() -> Option<u32> {
    let mut word = 0;
    for _ in 0..4 {
        (0..PATIENCE).find(|_| RNG_VALRDY.take())?;
        word = word << 8 | (RNG_VALUE.read() & 0xff);
    }
    Some(word)
}
