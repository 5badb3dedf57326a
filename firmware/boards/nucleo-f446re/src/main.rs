//! Tidegate on a Nucleo-F446RE: three channels over the ST-LINK's virtual serial port, by the asynchronous flavour of the library
//! on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_stm32::{
    bind_interrupts,
    peripherals::USART2,
    rcc::{AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk},
    time::Hertz,
    usart::{BufferedInterruptHandler, BufferedUart, Config},
    wdg::IndependentWatchdog,
};
use embassy_time::{Delay, Instant};
use tidegate_board_support::example::{self, Board, Mistake};
use tidegate_protocol::Tick;

bind_interrupts!(struct Interrupts {
    USART2 => BufferedInterruptHandler<USART2>;
});

/// About 15,000 readings: a quarter of an hour of outage.
const RING_BYTES: usize = 96 * 1024;
const BUFFER_BYTES: usize = 256;
/// Many times what a round takes: a frame is on the line for 22 ms at most.
const WATCHDOG_US: u32 = 4_000_000;

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    // It ends when nothing can be sent, or by a mistake in this program: the board starts again, in a new boot.
    let _mistake = run().await;
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Mistake {
    let nucleo = embassy_stm32::init(clocks());
    let Some(ring) = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]) else {
        return Mistake::Memory;
    };
    let (mut sent, mut received) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    // 115,200 baud, 8N1, on the pins of the ST-LINK.
    let uart = BufferedUart::new(
        nucleo.USART2,
        nucleo.PA3,
        nucleo.PA2,
        &mut sent,
        &mut received,
        Interrupts,
        Config::default(),
    );
    let Ok(uart) = uart else { return Mistake::Loop };
    let (sender, receiver) = uart.split();
    let firmware = concat!("tidegate-nucleo-f446re ", env!("CARGO_PKG_VERSION"));
    // This chip has no random numbers, so the gateway gives the boot.
    let board = Board { device: "nucleo-f446re", firmware, boot: None, ring };
    let mut watchdog = IndependentWatchdog::new(nucleo.IWDG, WATCHDOG_US);
    watchdog.unleash();
    let feed = || watchdog.pet();
    example::run_async(board, receiver, sender, Delay, feed, || Tick(Instant::now().as_millis())).await
}

/// 84 MHz from the ST-LINK's crystal: the chip's own oscillator may be off by a hundred times what the node's error bounds allow for.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    rcc.pll_src = PllSource::HSE;
    let (prediv, mul, divp) = (PllPreDiv::DIV4, PllMul::MUL84, Some(PllPDiv::DIV2));
    rcc.pll = Some(Pll { prediv, mul, divp, divq: None, divr: None });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV1;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV1;
    config
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
