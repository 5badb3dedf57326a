//! TIMER0 at 16 MHz. In QEMU, with one instruction a nanosecond, a count is 62.5 instructions.

#![allow(unsafe_code)]

use tidegate_board_support::register::Register;

const TIMER0: u32 = 0x4000_8000;

const fn register(offset: u32) -> Register {
    // SAFETY: the nRF51's TIMER0 has aligned registers there, which move no memory.
    unsafe { Register::at(TIMER0 + offset) }
}

const START: Register = register(0x000);
const CAPTURE0: Register = register(0x040);
const MODE: Register = register(0x504);
const BITMODE: Register = register(0x508);
const PRESCALER: Register = register(0x510);
const CC0: Register = register(0x540);

pub fn start() {
    const BITS_32: u32 = 3;
    MODE.write(0);
    BITMODE.write(BITS_32);
    PRESCALER.write(0);
    START.write(1);
}

/// How many instructions `work` takes, in QEMU.
pub fn instructions(work: impl FnOnce()) -> u32 {
    CAPTURE0.write(1);
    let before = CC0.read();
    work();
    CAPTURE0.write(1);
    (u64::from(CC0.read().wrapping_sub(before)) * 125 / 2) as u32
}
