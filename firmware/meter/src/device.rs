//! A link and a clock that cost nothing: two registers. Nobody runs this; it is there to be linked.

#![allow(unsafe_code)]

use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use tidegate_board_support::register::Register;

const fn register(address: u32) -> Register {
    // SAFETY: the micro:bit's UART and timer have aligned registers here, which move no memory.
    unsafe { Register::at(address) }
}

const DATA: Register = register(0x4000_251c);
const RECEIVED: Register = register(0x4000_2518);
const TIME: Register = register(0x4000_8540);

pub fn now() -> u32 {
    TIME.read()
}

pub struct Link;

impl ErrorType for Link {
    type Error = Infallible;
}

impl ReadReady for Link {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(RECEIVED.read() != 0)
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(byte) = buffer.first_mut() else { return Ok(0) };
        *byte = RECEIVED.read() as u8;
        Ok(1)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        bytes.iter().for_each(|byte| DATA.write(u32::from(*byte)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

pub struct Sleep;

impl DelayNs for Sleep {
    fn delay_ns(&mut self, _ns: u32) {
        cortex_m::asm::wfi();
    }
}
