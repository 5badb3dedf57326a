//! A Raspberry Pi Pico with an SHT4x: temperature and humidity, over UART0, to a Tidegate gateway. Where a project of your own
//! differs, it says CHANGE.
//!
//! Three loops over one node, joined in one task: one receives, one sends, one measures.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::{cell::RefCell, convert::Infallible, panic::PanicInfo};

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_futures::select::select3;
use embassy_rp::{
    bind_interrupts,
    clocks::RoscRng,
    i2c::{self, I2c},
    peripherals::{I2C0, UART0},
    uart::{self, BufferedInterruptHandler, BufferedUart},
    watchdog::Watchdog,
};
use embassy_time::{Delay, Duration, Instant, Timer};
use tidegate_drivers::{AsyncReadout, sht4x::Sht4xAsync};
use tidegate_firmware::{
    Deadband, Identity, Node, NodeConfig, NodeError, SampleError, Sampling,
    asynchronous::{ReceiveError, Watched},
    boot,
};
use tidegate_protocol::{
    DeviceId, Tick, Value,
    id::{ChannelIndex, NameError},
};

/// CHANGE: who this is. A device has one id for all its life, and no other has the same.
const DEVICE: &str = "pico-1";
/// CHANGE: what people call it, such as the number on its plate. At most 64 bytes.
const TAG: &str = "my desk";
const FIRMWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// CHANGE: the channels, in the order in which the chip gives them. A channel keeps its name for ever.
const NAMES: [&str; 2] = ["temperature", "humidity"];
const TEMPERATURE: ChannelIndex = ChannelIndex(0);
const HUMIDITY: ChannelIndex = ChannelIndex(1);

/// CHANGE: how often each is measured, and which changes are too small to be told. Settings from the cloud go over this.
const SAMPLING: [(ChannelIndex, Sampling); 2] = [
    // Each second; told when it is 0.05 °C (three decimals, as its driver declares) from what was told last, else each minute.
    (TEMPERATURE, told_beyond(50, 1_000)),
    (HUMIDITY, told_beyond(500, 1_000)),
];

const fn told_beyond(mantissa: i64, period_ms: u32) -> Sampling {
    let deadband = Deadband::Absolute(Value::Decimal { mantissa, scale: 3 });
    Sampling { enabled: true, period_ms, report_deadband: Some(deadband), max_silence_ms: 60_000 }
}

/// CHANGE: where readings wait while no gateway listens, 3 to 8 bytes each. The Pico has 264 KB of RAM for all.
const RING_BYTES: usize = 128 * 1024;
/// One frame; three channels fit in its Hello.
const FRAME_BYTES: usize = 256;
/// Longer than a measurement and a frame on the line together: 9 ms and 22 ms here.
const WATCHDOG: Duration = Duration::from_secs(4);
/// After an error of the receiver, so that a broken line does not keep the other loops from running.
const PAUSE: Duration = Duration::from_millis(10);

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
    I2C0_IRQ => i2c::InterruptHandler<I2C0>;
});

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let Err(_ended) = run().await;
    #[cfg(feature = "defmt")]
    defmt::error!("the program ended: {}", _ended);
    // A new start, in a new boot.
    cortex_m::peripheral::SCB::sys_reset();
}

/// Why the program ended; all but `Link` are mistakes in it.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(not(feature = "defmt"), expect(dead_code, reason = "only a probe shows what is in it"))]
enum Ended {
    Name,
    Node(NodeError),
    Sampling(SampleError),
    Memory,
    Link,
}

impl From<NameError> for Ended {
    fn from(_: NameError) -> Self {
        Self::Name
    }
}

impl From<NodeError> for Ended {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<SampleError> for Ended {
    fn from(error: SampleError) -> Self {
        Self::Sampling(error)
    }
}

async fn run() -> Result<Infallible, Ended> {
    let pico = embassy_rp::init(Default::default());

    // CHANGE: the chip and its pins. SCL on GP5, SDA on GP4.
    let bus = I2c::new_async(pico.I2C0, pico.PIN_5, pico.PIN_4, Interrupts, i2c::Config::default());
    let mut air = AsyncReadout::new(Sht4xAsync::new(bus, Delay), TEMPERATURE);

    // CHANGE: the line to the gateway. TX on GP0, RX on GP1; 115,200 baud, 8N1.
    let (mut sent, mut received) = ([0; FRAME_BYTES], [0; FRAME_BYTES]);
    let line = uart::Config::default();
    let uart =
        BufferedUart::new(pico.UART0, pico.PIN_0, pico.PIN_1, Interrupts, &mut sent, &mut received, line);
    let (sender, mut receiver) = uart.split();

    // A number that this device never uses twice, by the jitter of the chip's ring oscillator.
    let mut entropy = RoscRng;
    let boot = boot::from_entropy([entropy.next_u32(), entropy.next_u32()]);

    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]).ok_or(Ended::Memory)?;
    let identity = Identity { device: DeviceId::new(DEVICE)?, tag: TAG, firmware: FIRMWARE };
    let channels = air.declare(NAMES)?;
    let mut node = Node::<2, _>::new(identity, Some(boot), &channels, &mut ring[..], NodeConfig::DEFAULT)?;
    for (channel, sampling) in SAMPLING {
        node.set_sampling(channel, sampling)?;
    }

    let mut watchdog = Watchdog::new(pico.WATCHDOG);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    let watched = Watched::new(|| watchdog.feed(WATCHDOG));

    let node = RefCell::new(node);
    let mut frame = [0; FRAME_BYTES];
    let receiving = async {
        // What the line damages costs a frame, which is repeated; a new boot would cost what is in the ring.
        while let Err(ReceiveError::Io(_)) = watched.receive(&node, &mut receiver, now).await {
            Timer::after(PAUSE).await;
        }
    };
    let sending = watched.transmit(&node, sender, &mut frame, Delay, now);
    let measuring = watched.sample(&node, &mut air, Delay, now);
    select3(receiving, sending, measuring).await;
    Err(Ended::Link)
}

/// Milliseconds since the board's start.
fn now() -> Tick {
    Tick(Instant::now().as_millis())
}

/// Nothing here or in the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
