//! Tidegate on a Stellaris LM3S6965 evaluation kit: three channels over the serial line of its USB plug.
//!
//! ```text
//! registers  the chip's registers and interrupts: the one unsafe file      uart  the serial line
//! ```

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod registers;
mod uart;

use core::{convert::Infallible, panic::PanicInfo};

use cortex_m_rt::entry;
use tidegate_board_support::{
    example::{self, Board, Mistake, NoWatchdog},
    systick::Clock,
};

use uart::Uart;

/// About 200 readings, a dozen seconds of outage: so little, so that what a full ring does is soon seen.
const RING_BYTES: usize = 1024;

#[entry]
fn main() -> ! {
    // It ends only by a mistake in this program, which a new start may not cure but a new flash will.
    let _mistake = run();
    cortex_m::peripheral::SCB::sys_reset()
}

fn run() -> Result<Infallible, Mistake> {
    let core = cortex_m::Peripherals::take().ok_or(Mistake::Memory)?;
    let clock = Clock::start(core.SYST, registers::start_clocks());
    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]).ok_or(Mistake::Memory)?;
    let firmware = concat!("tidegate-lm3s6965evb ", env!("CARGO_PKG_VERSION"));
    // This chip has no random numbers and the program no counter in flash: the gateway gives a boot id.
    let boot = None;
    let board = Board { device: "lm3s6965evb", firmware, boot, ring };
    example::run(board, Uart::start(), &clock, NoWatchdog, || clock.now())
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
