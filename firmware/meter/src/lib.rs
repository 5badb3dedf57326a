//! Three programs that say what the library takes on a Cortex-M0, in QEMU's micro:bit; `cargo xtask bench firmware` runs them.
//!
//! ```text
//! without, with  the same small program without the library and with it: the difference is its flash
//! load           a thousand readings through a node: its RAM, its stack, its instructions
//! ```

#![no_std]
#![deny(unsafe_code)]

pub mod device;
pub mod stack;
pub mod timer;

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m_semihosting::debug::exit(cortex_m_semihosting::debug::EXIT_FAILURE);
    cortex_m::peripheral::SCB::sys_reset()
}
