//! Tidegate on a Netduino Plus 2: three channels over USART1, on its pins D1 and D0.
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

const RING_BYTES: usize = 64 * 1024;

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
    let firmware = concat!("tidegate-netduinoplus2 ", env!("CARGO_PKG_VERSION"));
    let boot = registers::entropy().map(tidegate_firmware::boot::from_entropy);
    let board = Board { device: "netduinoplus2", firmware, boot, ring };
    example::run(board, Uart::start(), &clock, NoWatchdog, || clock.now())
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
