//! The chip's registers (nRF51 Series Reference Manual 3.0), and nothing else that is unsafe but the interrupt entry.

#![allow(unsafe_code)]

use cortex_m_rt::exception;
use tidegate_board_support::register::Register;

const fn register(base: u32, offset: u32) -> Register {
    // SAFETY: every address below is that of an aligned peripheral register of this chip. None of them moves memory: no EasyDMA
    // is used here.
    unsafe { Register::at(base + offset) }
}

const UART: u32 = 0x4000_2000;
pub const UART_STARTRX: Register = register(UART, 0x000);
pub const UART_STARTTX: Register = register(UART, 0x008);
pub const UART_RXDRDY: Register = register(UART, 0x108);
pub const UART_TXDRDY: Register = register(UART, 0x11c);
pub const UART_INTENSET: Register = register(UART, 0x304);
pub const UART_ENABLE: Register = register(UART, 0x500);
pub const UART_PSELTXD: Register = register(UART, 0x50c);
pub const UART_PSELRXD: Register = register(UART, 0x514);
pub const UART_RXD: Register = register(UART, 0x518);
pub const UART_TXD: Register = register(UART, 0x51c);
pub const UART_BAUDRATE: Register = register(UART, 0x524);

const TIMER0: u32 = 0x4000_8000;
pub const TIMER_START: Register = register(TIMER0, 0x000);
pub const TIMER_CAPTURE0: Register = register(TIMER0, 0x040);
pub const TIMER_COMPARE1: Register = register(TIMER0, 0x144);
pub const TIMER_INTENSET: Register = register(TIMER0, 0x304);
pub const TIMER_MODE: Register = register(TIMER0, 0x504);
pub const TIMER_BITMODE: Register = register(TIMER0, 0x508);
pub const TIMER_PRESCALER: Register = register(TIMER0, 0x510);
pub const TIMER_CC0: Register = register(TIMER0, 0x540);
pub const TIMER_CC1: Register = register(TIMER0, 0x544);

const TEMP: u32 = 0x4000_c000;
pub const TEMP_START: Register = register(TEMP, 0x000);
pub const TEMP_DATARDY: Register = register(TEMP, 0x100);
/// Quarters of a degree Celsius, signed.
pub const TEMP_TEMP: Register = register(TEMP, 0x508);

const RNG: u32 = 0x4000_d000;
pub const RNG_START: Register = register(RNG, 0x000);
pub const RNG_STOP: Register = register(RNG, 0x004);
pub const RNG_VALRDY: Register = register(RNG, 0x100);
pub const RNG_CONFIG: Register = register(RNG, 0x504);
pub const RNG_VALUE: Register = register(RNG, 0x508);

const GPIO: u32 = 0x5000_0000;
pub const GPIO_OUTSET: Register = register(GPIO, 0x508);
pub const GPIO_IN: Register = register(GPIO, 0x510);
pub const GPIO_DIRSET: Register = register(GPIO, 0x518);
const GPIO_PIN_CNF: u32 = GPIO + 0x700;

/// The configuration register of a pin, 0 to 31.
pub const fn pin_config(pin: u32) -> Register {
    register(GPIO_PIN_CNF, (pin & 31) * 4)
}

pub const UART_IRQ: u8 = 2;
pub const TIMER0_IRQ: u8 = 8;

/// Every device interrupt comes here, so that no crate for this one chip is needed.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    match irq as u8 {
        UART_IRQ => crate::uart::received(),
        TIMER0_IRQ => crate::clock::alarm(),
        // Nothing else is unmasked.
        _ => {}
    }
}
