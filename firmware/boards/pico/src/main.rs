//! Tidegate on a Raspberry Pi Pico: three channels over UART0, by the asynchronous flavour of the library on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod sensors;

use core::{cell::RefCell, panic::PanicInfo};

use embassy_executor::Spawner;
use embassy_futures::select::select3;
use embassy_rp::{
    adc::{self, Adc},
    bind_interrupts,
    clocks::RoscRng,
    peripherals::UART0,
    uart::{BufferedInterruptHandler, BufferedUart, Config},
};
use embassy_time::{Delay, Instant};
use tidegate_firmware::{Identity, Node, NodeConfig, NodeError, Sampling, asynchronous, boot, channel};
use tidegate_protocol::{DeviceId, Tick, ValueKind, id::ChannelIndex, id::NameError};

use sensors::{COUNTER, DIE_TEMPERATURE, Sensors, UPTIME};

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

/// About 20,000 readings: half an hour of outage at this sampling.
const RING_BYTES: usize = 128 * 1024;
const TRANSMIT_BYTES: usize = 256;
/// Two of the longest frames that a gateway sends.
const RECEIVE_BYTES: usize = 128;

enum Mistake {
    Name,
    Node,
    Sampling,
    Memory,
}

impl From<NameError> for Mistake {
    fn from(_: NameError) -> Self {
        Self::Name
    }
}

impl From<NodeError> for Mistake {
    fn from(_: NodeError) -> Self {
        Self::Node
    }
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    // It ends only by a mistake in this program, which a new start may not cure but a new flash will.
    let _mistake = run().await;
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Result<(), Mistake> {
    let pico = embassy_rp::init(Default::default());
    let identity = Identity {
        device: DeviceId::new("pico")?,
        tag: "a desk",
        firmware: concat!("tidegate-pico ", env!("CARGO_PKG_VERSION")),
    };
    let channels = [
        channel("counter", "count", ValueKind::Decimal, 0)?,
        channel("uptime", "s", ValueKind::Decimal, 3)?,
        channel("die_temperature", "Cel", ValueKind::Decimal, 2)?,
    ];
    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]).ok_or(Mistake::Memory)?;
    // The ring oscillator's jitter: good enough for a number that is never used twice.
    let mut entropy = RoscRng;
    let boot = Some(boot::from_entropy([entropy.next_u32(), entropy.next_u32()]));
    let mut node = Node::<3, _>::new(identity, boot, &channels, ring, NodeConfig::DEFAULT)?;
    for (index, period_ms) in [(COUNTER, 100), (UPTIME, 500), (DIE_TEMPERATURE, 1_000)] {
        node.set_sampling(ChannelIndex(index), Sampling::every(period_ms)).map_err(|_| Mistake::Sampling)?;
    }
    let mut sensors = Sensors::new(
        Adc::new_blocking(pico.ADC, adc::Config::default()),
        adc::Channel::new_temp_sensor(pico.ADC_TEMP_SENSOR),
    );
    let (mut sent, mut received) = ([0; TRANSMIT_BYTES], [0; RECEIVE_BYTES]);
    // 115,200 baud, 8N1.
    let (config, pins) = (Config::default(), (pico.PIN_0, pico.PIN_1));
    let uart = BufferedUart::new(pico.UART0, pins.0, pins.1, Interrupts, &mut sent, &mut received, config);
    let (sender, receiver) = uart.split();

    let (node, mut buffer) = (RefCell::new(node), [0; TRANSMIT_BYTES]);
    let now = || Tick(Instant::now().as_millis());
    // Whichever ends first, by an error of the line or by a mistake, ends all: the board starts again.
    select3(
        asynchronous::receive(&node, receiver, now),
        asynchronous::transmit(&node, sender, &mut buffer, Delay, now),
        asynchronous::sample(&node, &mut sensors, Delay, now),
    )
    .await;
    Ok(())
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
