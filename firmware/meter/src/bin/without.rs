//! A counter down the link, without the library.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embedded_io::{Read, ReadReady, Write};
use tidegate_meter::device::{Link, now};

#[entry]
fn main() -> ! {
    let mut link = Link;
    loop {
        let mut byte = [0];
        if link.read_ready() == Ok(true) {
            let _ = link.read(&mut byte);
        }
        let _ = link.write_all(&now().to_le_bytes());
        cortex_m::asm::wfi();
    }
}
