//! A chip's register: the one thing in a board's program that is unsafe, besides its interrupts' entry.

#![allow(unsafe_code)]

use core::ptr;

/// A 32-bit register.
#[derive(Clone, Copy)]
pub struct Register(u32);

impl Register {
    /// # Safety
    ///
    /// At this address the chip has an aligned register of 32 bits that may be read and written at any time, and neither
    /// moves memory.
    pub const unsafe fn at(address: u32) -> Self {
        Self(address)
    }

    pub fn read(self) -> u32 {
        // SAFETY: promised when it was made.
        unsafe { ptr::read_volatile(self.0 as *const u32) }
    }

    pub fn write(self, value: u32) {
        // SAFETY: promised when it was made.
        unsafe { ptr::write_volatile(self.0 as *mut u32, value) }
    }

    pub fn set(self, bits: u32) {
        self.write(self.read() | bits);
    }

    pub fn has(self, bits: u32) -> bool {
        self.read() & bits == bits
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

/// Lets interrupts of this number through.
pub fn unmask(irq: u8) {
    const ISER: u32 = 0xe000_e100;
    // SAFETY: one of the eight set-enable registers of every Cortex-M's interrupt controller; writing zeros has no effect.
    let enable = unsafe { Register::at(ISER + u32::from(irq / 32) * 4) };
    enable.write(1 << (irq % 32));
}
