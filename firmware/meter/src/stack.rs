//! The deepest that the stack has been, by painting what lies below it.

#![allow(unsafe_code)]

use core::ptr;

unsafe extern "C" {
    /// The end of all variables, from cortex-m-rt's linker script.
    static mut __sheap: u32;
}

const PAINT: u32 = 0x7e57_57ac;
/// What painting itself may use.
const SPARED_BYTES: usize = 256;

/// Paints from the end of the variables up to just below the stack.
pub fn paint() {
    let mut at = bottom();
    let top = cortex_m::register::msp::read() as usize - SPARED_BYTES;
    while (at as usize) < top {
        // SAFETY: between the variables and the stack there is nothing; interrupts are not used.
        unsafe { ptr::write_volatile(at, PAINT) };
        at = at.wrapping_add(1);
    }
}

/// How far below the present stack the paint is gone.
pub fn used_below() -> usize {
    let mut at = bottom();
    let top = cortex_m::register::msp::read() as usize;
    // SAFETY: as above.
    while (at as usize) < top && unsafe { ptr::read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    top - at as usize
}

fn bottom() -> *mut u32 {
    &raw mut __sheap
}
