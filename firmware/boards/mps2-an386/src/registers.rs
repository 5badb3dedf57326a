//! The design's registers (Arm application note 386), and the entry of its interrupts: all that is unsafe here.

#![allow(unsafe_code)]

use cortex_m_rt::exception;
use tidegate_board_support::{register::Register, systick};

const fn register(address: u32) -> Register {
    // SAFETY: every address below is that of an aligned peripheral register of this design. None of them moves memory.
    unsafe { Register::at(address) }
}

const UART0: u32 = 0x4000_4000;
pub const UART_DATA: Register = register(UART0);
pub const UART_STATE: Register = register(UART0 + 0x004);
pub const UART_CONTROL: Register = register(UART0 + 0x008);
pub const UART_CLEAR: Register = register(UART0 + 0x00c);
pub const UART_BAUD_DIVIDER: Register = register(UART0 + 0x010);
pub const UART_RECEIVED_IRQ: u8 = 0;

/// What the design's oscillator gives the core and the UART.
pub const CLOCK_HZ: u32 = 25_000_000;

/// They run from the start. Returns the core's clock.
pub fn start_clocks() -> u32 {
    CLOCK_HZ
}

#[exception]
fn SysTick() {
    systick::tick();
}

/// Every device interrupt comes here, so that no crate for this one design is needed. Only the receiver's is let through.
#[exception]
unsafe fn DefaultHandler(_irq: i16) {
    crate::uart::received();
}
