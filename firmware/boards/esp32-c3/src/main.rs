//! Tidegate on an ESP32-C3: three channels over UART0, by the asynchronous flavour of the library on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

use embassy_executor::Spawner;
use embassy_time::{Delay, Instant};
use enumset::EnumSet;
use esp_hal::{
    peripherals::{ADC1, RNG},
    rng::{Trng, TrngSource},
    system::software_reset,
    time::Duration,
    timer::timg::{MwdtStage, TimerGroup},
    uart::{Config, RxConfig, Uart},
};
use static_cell::ConstStaticCell;
use tidegate_board_support::example::{self, Board, Mistake};
use tidegate_firmware::boot;
use tidegate_protocol::{BootId, Tick};

// Tells the bootloader what this is.
esp_bootloader_esp_idf::esp_app_desc!();

/// About 20,000 readings: twenty minutes of outage.
const RING_BYTES: usize = 128 * 1024;
/// Many times what a round takes: a frame is on the line for 22 ms at most.
const WATCHDOG: Duration = Duration::from_secs(4);
static RING: ConstStaticCell<[u8; RING_BYTES]> = ConstStaticCell::new([0; RING_BYTES]);

#[esp_rtos::main]
async fn main(_spawner: Spawner) {
    // It ends by a mistake in this program: the board starts again, in a new boot.
    let _mistake = run().await;
    software_reset();
}

async fn run() -> Mistake {
    let chip = esp_hal::init(esp_hal::Config::default());
    let timers = TimerGroup::new(chip.TIMG0);
    esp_rtos::start(timers.timer0, chip.FROM_CPU_INTR0);
    let Some(ring) = RING.try_take() else { return Mistake::Memory };
    let boot = draw_boot(chip.RNG, chip.ADC1);
    // 115,200 baud, 8N1. A byte that is damaged or lost costs a frame, which is repeated, and not the link.
    let received = RxConfig::default().with_reported_errors(EnumSet::empty());
    let Ok(uart) = Uart::new(chip.UART0, Config::default().with_rx(received)) else { return Mistake::Loop };
    let (receiver, sender) = uart.with_tx(chip.GPIO21).with_rx(chip.GPIO20).into_async().split();
    let firmware = concat!("tidegate-esp32-c3 ", env!("CARGO_PKG_VERSION"));
    let board = Board { device: "esp32-c3", firmware, boot, ring };
    let mut watchdog = timers.wdt;
    watchdog.set_timeout(MwdtStage::Stage0, WATCHDOG);
    watchdog.enable();
    let feed = || watchdog.feed();
    example::run_async(board, receiver, sender, Delay, feed, || Tick(Instant::now().as_millis())).await
}

/// With the radio off, the generator is random only while the converter feeds it noise; without that, the gateway gives the boot.
fn draw_boot(generator: RNG<'_>, converter: ADC1<'_>) -> Option<BootId> {
    let _noise = TrngSource::new(generator, converter);
    let entropy = Trng::try_new().ok()?;
    Some(boot::from_entropy([entropy.random(), entropy.random()]))
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    software_reset()
}
