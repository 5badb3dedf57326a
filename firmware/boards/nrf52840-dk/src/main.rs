//! Tidegate on an nRF52840-DK: three channels over the serial line of its USB plug, by the asynchronous flavour of the library
//! on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::{
    bind_interrupts,
    buffered_uarte::{BufferedUarte, InterruptHandler},
    peripherals::UARTE0,
    rng::Rng,
    uarte::Config,
    wdt::{self, HaltConfig, Watchdog},
};
use embassy_time::{Delay, Instant};
use tidegate_board_support::example::{self, Board, Mistake};
use tidegate_firmware::boot;
use tidegate_protocol::Tick;

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<UARTE0>;
});

/// About 20,000 readings: twenty minutes of outage.
const RING_BYTES: usize = 128 * 1024;
const BUFFER_BYTES: usize = 256;
/// Many times what a round takes: a frame is on the line for 22 ms at most.
const WATCHDOG_TICKS: u32 = 4 * 32_768;

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    // It ends when nothing can be sent, or by a mistake in this program: the board starts again, in a new boot.
    let _mistake = run().await;
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Mistake {
    let kit = embassy_nrf::init(Default::default());
    let Some(ring) = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]) else {
        return Mistake::Memory;
    };
    let mut entropy = Rng::new_blocking(kit.RNG);
    let boot = Some(boot::from_entropy([entropy.blocking_next_u32(), entropy.blocking_next_u32()]));
    let (mut received, mut sent) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    // 115,200 baud, 8N1, on the pins of the kit's USB interface chip.
    let uart = BufferedUarte::new(
        kit.UARTE0,
        kit.TIMER0,
        kit.PPI_CH0,
        kit.PPI_CH1,
        kit.PPI_GROUP0,
        kit.P0_08,
        kit.P0_06,
        Interrupts,
        Config::default(),
        &mut received,
        &mut sent,
    );
    let (receiver, sender) = uart.split();
    let firmware = concat!("tidegate-nrf52840-dk ", env!("CARGO_PKG_VERSION"));
    let board = Board { device: "nrf52840-dk", firmware, boot, ring };
    let mut config = wdt::Config::default();
    config.timeout_ticks = WATCHDOG_TICKS;
    config.action_during_debug_halt = HaltConfig::Pause;
    // One that runs already, from a bootloader, cannot be set anew.
    let config = wdt::Config::try_new(&kit.WDT).unwrap_or(config);
    let Ok((_, [mut watchdog])) = Watchdog::try_new(kit.WDT, config) else { return Mistake::Loop };
    let feed = || watchdog.pet();
    example::run_async(board, receiver, sender, Delay, feed, || Tick(Instant::now().as_millis())).await
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
