//! The chip's registers (nRF51 Series Reference Manual 3.0), and nothing else that is unsafe but the interrupt entry.

#![allow(unsafe_code)]

use core::ptr;

use cortex_m_rt::exception;

/// A 32-bit register.
#[derive(Clone, Copy)]
pub struct Register(u32);

impl Register {
    const fn new(base: u32, offset: u32) -> Self {
        Self(base + offset)
    }

    pub fn read(self) -> u32 {
        // SAFETY: every register below is an aligned peripheral register of this chip, readable at any time.
        unsafe { ptr::read_volatile(self.0 as *const u32) }
    }

    pub fn write(self, value: u32) {
        // SAFETY: as above; none of them moves memory (no EasyDMA on this chip's peripherals used here).
        unsafe { ptr::write_volatile(self.0 as *mut u32, value) }
    }

    /// Reads an event and clears it.
    pub fn take(self) -> bool {
        let happened = self.read() != 0;
        if happened {
            self.write(0);
        }
        happened
    }
}

const UART: u32 = 0x4000_2000;
pub const UART_STARTRX: Register = Register::new(UART, 0x000);
pub const UART_STARTTX: Register = Register::new(UART, 0x008);
pub const UART_RXDRDY: Register = Register::new(UART, 0x108);
pub const UART_TXDRDY: Register = Register::new(UART, 0x11c);
pub const UART_INTENSET: Register = Register::new(UART, 0x304);
pub const UART_ENABLE: Register = Register::new(UART, 0x500);
pub const UART_PSELTXD: Register = Register::new(UART, 0x50c);
pub const UART_PSELRXD: Register = Register::new(UART, 0x514);
pub const UART_RXD: Register = Register::new(UART, 0x518);
pub const UART_TXD: Register = Register::new(UART, 0x51c);
pub const UART_BAUDRATE: Register = Register::new(UART, 0x524);

const TIMER0: u32 = 0x4000_8000;
pub const TIMER_START: Register = Register::new(TIMER0, 0x000);
pub const TIMER_CAPTURE0: Register = Register::new(TIMER0, 0x040);
pub const TIMER_COMPARE1: Register = Register::new(TIMER0, 0x144);
pub const TIMER_INTENSET: Register = Register::new(TIMER0, 0x304);
pub const TIMER_MODE: Register = Register::new(TIMER0, 0x504);
pub const TIMER_BITMODE: Register = Register::new(TIMER0, 0x508);
pub const TIMER_PRESCALER: Register = Register::new(TIMER0, 0x510);
pub const TIMER_CC0: Register = Register::new(TIMER0, 0x540);
pub const TIMER_CC1: Register = Register::new(TIMER0, 0x544);

const TEMP: u32 = 0x4000_c000;
pub const TEMP_START: Register = Register::new(TEMP, 0x000);
pub const TEMP_DATARDY: Register = Register::new(TEMP, 0x100);
/// Quarters of a degree Celsius, signed.
pub const TEMP_TEMP: Register = Register::new(TEMP, 0x508);

const RNG: u32 = 0x4000_d000;
pub const RNG_START: Register = Register::new(RNG, 0x000);
pub const RNG_STOP: Register = Register::new(RNG, 0x004);
pub const RNG_VALRDY: Register = Register::new(RNG, 0x100);
pub const RNG_CONFIG: Register = Register::new(RNG, 0x504);
pub const RNG_VALUE: Register = Register::new(RNG, 0x508);

const GPIO: u32 = 0x5000_0000;
pub const GPIO_OUTSET: Register = Register::new(GPIO, 0x508);
pub const GPIO_IN: Register = Register::new(GPIO, 0x510);
pub const GPIO_DIRSET: Register = Register::new(GPIO, 0x518);
const GPIO_PIN_CNF: u32 = GPIO + 0x700;

/// The configuration register of a pin, 0 to 31.
pub const fn pin_config(pin: u32) -> Register {
    Register(GPIO_PIN_CNF + (pin & 31) * 4)
}

pub const UART_IRQ: i16 = 2;
pub const TIMER0_IRQ: i16 = 8;

const NVIC_ISER: Register = Register(0xe000_e100);

/// Lets interrupts of this number through.
pub fn unmask(irq: i16) {
    NVIC_ISER.write(1 << (irq & 31));
}

/// Every device interrupt comes here, so that no crate for this one chip is needed.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    match irq {
        UART_IRQ => crate::uart::received(),
        TIMER0_IRQ => crate::clock::alarm(),
        // Nothing else is unmasked.
        _ => {}
    }
}
