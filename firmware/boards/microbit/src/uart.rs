//! The serial line to the USB interface chip: 115,200 baud, 8N1, no flow control.
//!
//! The receiver is emptied by interrupt, since the chip holds six bytes only and sending a frame takes longer than
//! that. Received bytes wait in a ring of 128: two of the longest frames a gateway sends. What does not fit is
//! dropped, the frame's checksum then fails, and the node counts it.

use core::{
    convert::Infallible,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
};

use embedded_io::{ErrorType, Read, ReadReady, Write};

use crate::registers::*;

const TXD_PIN: u32 = 24;
const RXD_PIN: u32 = 25;
const BAUD_115200: u32 = 0x01d7_e000;
const ENABLED: u32 = 4;
const RXDRDY: u32 = 1 << 2;

const RECEIVED_BYTES: usize = 128;
static RECEIVED: [AtomicU8; RECEIVED_BYTES] = [const { AtomicU8::new(0) }; RECEIVED_BYTES];
/// Counts of bytes put and taken; loads and stores only, as a Cortex-M0 has no compare-and-swap.
static PUT: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The receiver's interrupt: its only writer of `PUT`.
pub fn received() {
    while UART_RXDRDY.take() {
        let byte = UART_RXD.read() as u8;
        let put = PUT.load(Ordering::Relaxed);
        let waiting = put.wrapping_sub(TAKEN.load(Ordering::Acquire));
        if waiting < RECEIVED_BYTES
            && let Some(place) = RECEIVED.get(put % RECEIVED_BYTES)
        {
            place.store(byte, Ordering::Relaxed);
            PUT.store(put.wrapping_add(1), Ordering::Release);
        }
    }
}

pub struct Uart;

impl Uart {
    pub fn start() -> Self {
        GPIO_OUTSET.write(1 << TXD_PIN);
        GPIO_DIRSET.write(1 << TXD_PIN);
        UART_PSELTXD.write(TXD_PIN);
        UART_PSELRXD.write(RXD_PIN);
        UART_BAUDRATE.write(BAUD_115200);
        UART_ENABLE.write(ENABLED);
        UART_INTENSET.write(RXDRDY);
        unmask(UART_IRQ);
        UART_STARTRX.write(1);
        UART_STARTTX.write(1);
        Self
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(PUT.load(Ordering::Acquire) != TAKEN.load(Ordering::Relaxed))
    }
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while !self.read_ready()? {
            cortex_m::asm::wfi();
        }
        let mut len = 0;
        for target in buffer {
            let taken = TAKEN.load(Ordering::Relaxed);
            if taken == PUT.load(Ordering::Acquire) {
                break;
            }
            if let Some(place) = RECEIVED.get(taken % RECEIVED_BYTES) {
                *target = place.load(Ordering::Relaxed);
            }
            TAKEN.store(taken.wrapping_add(1), Ordering::Release);
            len += 1;
        }
        Ok(len)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            UART_TXD.write(u32::from(byte));
            while !UART_TXDRDY.take() {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
