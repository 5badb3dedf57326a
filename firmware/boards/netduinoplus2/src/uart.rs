//! USART1: 115,200 baud, 8N1, no flow control. It holds one byte.

use tidegate_board_support::{
    received::Received,
    register::unmask,
    serial::{Sender, Serial},
};

use crate::registers::*;

const RECEIVED_ONE: u32 = 1 << 5;
const OVERRUN: u32 = 1 << 3;
const SENDER_EMPTY: u32 = 1 << 7;
/// The USART, its sender, its receiver, and the receiver's interrupt.
const ENABLED: u32 = 1 << 13 | 1 << 3 | 1 << 2 | 1 << 5;

static RECEIVED: Received = Received::new();

/// The receiver's interrupt. Reading status and data clears an overrun, too: its byte is lost, and the frame with it.
pub fn received() {
    while UART_STATUS.read() & (RECEIVED_ONE | OVERRUN) != 0 {
        RECEIVED.put(UART_DATA.read() as u8);
    }
}

pub struct Uart;

impl Uart {
    pub fn start() -> Serial<Self> {
        UART_BAUD.write(BUS_HZ.div_ceil(115_200));
        UART_CONTROL.write(ENABLED);
        unmask(UART_IRQ);
        Serial::new(Self, &RECEIVED)
    }
}

impl Sender for Uart {
    fn send(&mut self, byte: u8) {
        while !UART_STATUS.has(SENDER_EMPTY) {}
        UART_DATA.write(u32::from(byte));
    }
}
