//! UART0, a CMSDK one: 115,200 baud, 8N1, no flow control. It holds one byte.

use tidegate_board_support::{
    received::Received,
    register::unmask,
    serial::{Sender, Serial},
};

use crate::registers::*;

const SENDER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 1 << 1;
/// Sender, receiver, and the receiver's interrupt.
const ENABLED: u32 = 1 | 1 << 1 | 1 << 3;
const RECEIVED_INTERRUPT: u32 = 1 << 1;

static RECEIVED: Received = Received::new();

/// The receiver's interrupt.
pub fn received() {
    UART_CLEAR.write(RECEIVED_INTERRUPT);
    while UART_STATE.has(RECEIVER_FULL) {
        RECEIVED.put(UART_DATA.read() as u8);
    }
}

pub struct Uart;

impl Uart {
    pub fn start() -> Serial<Self> {
        UART_BAUD_DIVIDER.write(CLOCK_HZ / 115_200);
        UART_CONTROL.write(ENABLED);
        unmask(UART_RECEIVED_IRQ);
        Serial::new(Self, &RECEIVED)
    }
}

impl Sender for Uart {
    fn send(&mut self, byte: u8) {
        while UART_STATE.has(SENDER_FULL) {}
        UART_DATA.write(u32::from(byte));
    }
}
