//! UART0, a PL011: 115,200 baud, 8N1, no flow control.

use tidegate_board_support::{
    received::Received,
    register::unmask,
    serial::{Sender, Serial},
};

use crate::registers::*;

const RECEIVER_EMPTY: u32 = 1 << 4;
const SENDER_FULL: u32 = 1 << 5;
/// Bytes came, and: fewer came than would tell so.
const RECEIVED_AND_TIMEOUT: u32 = 1 << 4 | 1 << 6;
/// 50 MHz / 16 / 115,200 = 27 + 8/64.
const BAUD_115200: (u32, u32) = (27, 8);
const EIGHT_BITS_WITH_FIFO: u32 = 0x70;
const ENABLED_BOTH_WAYS: u32 = 0x301;

static RECEIVED: Received = Received::new();

/// The receiver's interrupt.
pub fn received() {
    UART_CLEAR.write(RECEIVED_AND_TIMEOUT);
    while !UART_FLAGS.has(RECEIVER_EMPTY) {
        RECEIVED.put(UART_DATA.read() as u8);
    }
}

pub struct Uart;

impl Uart {
    pub fn start() -> Serial<Self> {
        let (whole, fraction) = BAUD_115200;
        UART_BAUD_WHOLE.write(whole);
        UART_BAUD_FRACTION.write(fraction);
        UART_LINE.write(EIGHT_BITS_WITH_FIFO);
        UART_MASK.write(RECEIVED_AND_TIMEOUT);
        UART_CONTROL.write(ENABLED_BOTH_WAYS);
        unmask(UART_IRQ);
        Serial::new(Self, &RECEIVED)
    }
}

impl Sender for Uart {
    fn send(&mut self, byte: u8) {
        while UART_FLAGS.has(SENDER_FULL) {}
        UART_DATA.write(u32::from(byte));
    }
}
