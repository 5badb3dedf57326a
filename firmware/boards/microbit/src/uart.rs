//! The serial line to the USB interface chip: 115,200 baud, 8N1, no flow control. The receiver holds six bytes.

use tidegate_board_support::{
    received::Received,
    register::unmask,
    serial::{Sender, Serial},
};

use crate::registers::*;

const TXD_PIN: u32 = 24;
const RXD_PIN: u32 = 25;
const BAUD_115200: u32 = 0x01d7_e000;
const ENABLED: u32 = 4;
const RXDRDY: u32 = 1 << 2;

static RECEIVED: Received = Received::new();

/// The receiver's interrupt.
pub fn received() {
    while UART_RXDRDY.take() {
        RECEIVED.put(UART_RXD.read() as u8);
    }
}

pub struct Uart;

impl Uart {
    pub fn start() -> Serial<Self> {
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
        Serial::new(Self, &RECEIVED)
    }
}

impl Sender for Uart {
    fn send(&mut self, byte: u8) {
        UART_TXD.write(u32::from(byte));
        while !UART_TXDRDY.take() {}
    }
}
