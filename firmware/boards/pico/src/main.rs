//! Tidegate on a Raspberry Pi Pico: three channels over UART0, by the asynchronous flavour of the library on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_rp::{
    bind_interrupts,
    clocks::RoscRng,
    peripherals::UART0,
    uart::{BufferedInterruptHandler, BufferedUart, Config},
    watchdog::Watchdog,
};
use embassy_time::{Delay, Duration, Instant};
use tidegate_board_support::example::{self, Board, Mistake};
use tidegate_firmware::boot;
use tidegate_protocol::Tick;

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

/// About 20,000 readings: twenty minutes of outage.
const RING_BYTES: usize = 128 * 1024;
const BUFFER_BYTES: usize = 256;
/// Many times what a round takes: a frame is on the line for 22 ms at most.
const WATCHDOG: Duration = Duration::from_secs(4);

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    // It ends when nothing can be sent, or by a mistake in this program: the board starts again, in a new boot.
    let _mistake = run().await;
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Mistake {
    let pico = embassy_rp::init(Default::default());
    let Some(ring) = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]) else {
        return Mistake::Memory;
    };
    // The ring oscillator's jitter: good enough for a number that is never used twice.
    let mut entropy = RoscRng;
    let boot = Some(boot::from_entropy([entropy.next_u32(), entropy.next_u32()]));
    let (mut sent, mut received) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    // 115,200 baud, 8N1.
    let uart = BufferedUart::new(
        pico.UART0,
        pico.PIN_0,
        pico.PIN_1,
        Interrupts,
        &mut sent,
        &mut received,
        Config::default(),
    );
    let (sender, receiver) = uart.split();
    let firmware = concat!("tidegate-pico ", env!("CARGO_PKG_VERSION"));
    let board = Board { device: "pico", firmware, boot, ring };
    let mut watchdog = Watchdog::new(pico.WATCHDOG);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    let feed = || watchdog.feed(WATCHDOG);
    example::run_async(board, receiver, sender, Delay, feed, || Tick(Instant::now().as_millis())).await
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
