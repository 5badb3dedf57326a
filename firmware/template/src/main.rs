//! A Raspberry Pi Pico with an SHT4x: the chip and its pins. What is measured and said is in `node`. Where a project of your own differs,
//! it says CHANGE.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod node;

use core::{convert::Infallible, panic::PanicInfo};

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_rp::{
    bind_interrupts,
    clocks::RoscRng,
    i2c::{self, I2c},
    peripherals::{I2C0, UART0},
    uart::{self, BufferedInterruptHandler, BufferedUart},
    watchdog::Watchdog,
};
use embassy_time::{Delay, Duration};
use node::Ended;
use tidegate_drivers::{AsyncReadout, sht4x::Sht4xAsync};
use tidegate_firmware::boot;

/// CHANGE: 3 to 8 bytes for each reading that waits while no gateway listens. The chip has 264 KB of RAM for everything.
const RING_BYTES: usize = 128 * 1024;
/// What the UART's driver holds in either direction.
const BUFFER_BYTES: usize = 256;
/// Longer than a measurement and a frame on the line together: 9 ms and 22 ms here.
const WATCHDOG: Duration = Duration::from_secs(4);

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
    I2C0_IRQ => i2c::InterruptHandler<I2C0>;
});

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", embassy_time::Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let Err(_ended) = run().await;
    #[cfg(feature = "defmt")]
    defmt::error!("the program ended: {}", _ended);
    // A new start, in a new boot.
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Result<Infallible, Ended> {
    let pico = embassy_rp::init(Default::default());

    // CHANGE: the sensor and its pins: SCL on GP5, SDA on GP4.
    let bus = I2c::new_async(pico.I2C0, pico.PIN_5, pico.PIN_4, Interrupts, i2c::Config::default());
    let air = AsyncReadout::new(Sht4xAsync::new(bus, Delay), node::TEMPERATURE);
    let channels = air.declare(node::NAMES)?;

    // CHANGE: the line to the gateway: TX on GP0, RX on GP1; 115,200 baud, 8N1.
    let (mut sent, mut received) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    let uart = BufferedUart::new(
        pico.UART0,
        pico.PIN_0,
        pico.PIN_1,
        Interrupts,
        &mut sent,
        &mut received,
        uart::Config::default(),
    );
    let (sender, receiver) = uart.split();

    // A number that this device never uses twice, by the jitter of the chip's ring oscillator.
    let mut entropy = RoscRng;
    let boot = Some(boot::from_entropy([entropy.next_u32(), entropy.next_u32()]));
    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]).ok_or(Ended::Setup)?;

    let mut watchdog = Watchdog::new(pico.WATCHDOG);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    let feed = || watchdog.feed(WATCHDOG);
    node::run(boot, ring, channels, air, receiver, sender, feed).await
}

/// Nothing here or in the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
