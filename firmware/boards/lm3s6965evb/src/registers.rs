//! The chip's registers (LM3S6965 data sheet), its clock tree, and the entry of its interrupts: all that is unsafe here.

#![allow(unsafe_code)]

use cortex_m_rt::exception;
use tidegate_board_support::{register::Register, systick};

const fn register(address: u32) -> Register {
    // SAFETY: every address below is that of an aligned peripheral register of this chip. None of them moves memory.
    unsafe { Register::at(address) }
}

const SYSTEM: u32 = 0x400f_e000;
const RIS: Register = register(SYSTEM + 0x050);
const RCC: Register = register(SYSTEM + 0x060);
const RCGC1: Register = register(SYSTEM + 0x104);
const RCGC2: Register = register(SYSTEM + 0x108);

const PORT_A: u32 = 0x4000_4000;
const PORT_A_AFSEL: Register = register(PORT_A + 0x420);
const PORT_A_DEN: Register = register(PORT_A + 0x51c);

const UART0: u32 = 0x4000_c000;
pub const UART_DATA: Register = register(UART0);
pub const UART_FLAGS: Register = register(UART0 + 0x018);
pub const UART_BAUD_WHOLE: Register = register(UART0 + 0x024);
pub const UART_BAUD_FRACTION: Register = register(UART0 + 0x028);
pub const UART_LINE: Register = register(UART0 + 0x02c);
pub const UART_CONTROL: Register = register(UART0 + 0x030);
pub const UART_MASK: Register = register(UART0 + 0x038);
pub const UART_CLEAR: Register = register(UART0 + 0x044);
pub const UART_IRQ: u8 = 5;

/// Far longer than the PLL takes (0.5 ms).
const PATIENCE: u32 = 100_000;

/// 50 MHz from the PLL and the 8 MHz crystal; clocks for UART0 and its pins, PA0 and PA1. Returns the core's clock.
pub fn start_clocks() -> u32 {
    const BYPASS: u32 = 1 << 11;
    const DIVIDED: u32 = 1 << 22;
    const BY_FOUR: u32 = 3 << 23;
    const CRYSTAL_8_MHZ: u32 = 0xe << 6;
    const LOCKED: u32 = 1 << 6;
    RCC.write(RCC.read() | BYPASS);
    RCC.write(CRYSTAL_8_MHZ | BYPASS | DIVIDED | BY_FOUR);
    let _locked = (0..PATIENCE).any(|_| RIS.has(LOCKED));
    RCC.write(CRYSTAL_8_MHZ | DIVIDED | BY_FOUR);
    const UART0_RUNS: u32 = 1;
    const PORT_A_RUNS: u32 = 1;
    RCGC1.set(UART0_RUNS);
    RCGC2.set(PORT_A_RUNS);
    // A clock takes three cycles to arrive; a read of its register is longer.
    let _arrived = RCGC2.read();
    PORT_A_AFSEL.set(0b11);
    PORT_A_DEN.set(0b11);
    50_000_000
}

#[exception]
fn SysTick() {
    systick::tick();
}

/// Every device interrupt comes here, so that no crate for this one chip is needed. Only the UART's is let through.
#[exception]
unsafe fn DefaultHandler(_irq: i16) {
    crate::uart::received();
}
