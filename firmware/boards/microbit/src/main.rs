//! Tidegate on a BBC micro:bit v1: four channels over the serial line of its USB plug.
//!
//! ```text
//! registers  reading and writing the chip's registers: the one unsafe file
//! uart       the serial line: interrupt-fed receiver, polled sender
//! clock      milliseconds since boot from TIMER0, and sleeping until a time
//! sensors    what the four channels measure          entropy  a boot id from the random number generator
//! key        with the feature `key`: what the link is under
//! ```

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod clock;
mod entropy;
#[cfg(feature = "key")]
mod key;
mod registers;
mod sensors;
mod uart;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use tidegate_firmware::{BlockingLink, Identity, Node, NodeConfig, NodeError, Sampling, channel, sampler};
use tidegate_protocol::{DeviceId, ValueKind, id::ChannelIndex, id::NameError};

use clock::{Clock, Sleep};
use sensors::{BUTTON_A, COUNTER, DIE_TEMPERATURE, Sensors, UPTIME};
use uart::Uart;

/// About 1,300 readings: a minute and a half of outage at this sampling.
const RING_BYTES: usize = 8 * 1024;
const TRANSMIT_BYTES: usize = 256;

enum Mistake {
    Name,
    Node,
    Sampling,
    Loop,
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

#[entry]
fn main() -> ! {
    // It ends only by a mistake in this program, which a new start may not cure but a new flash will.
    let _mistake = run();
    cortex_m::peripheral::SCB::sys_reset()
}

fn run() -> Result<(), Mistake> {
    let clock = Clock::start();
    let identity = Identity {
        device: DeviceId::new("microbit")?,
        tag: "QEMU or a desk",
        firmware: concat!("tidegate-microbit ", env!("CARGO_PKG_VERSION")),
    };
    let channels = [
        channel("counter", "count", ValueKind::Decimal, 0)?,
        channel("uptime", "s", ValueKind::Decimal, 3)?,
        channel("die_temperature", "Cel", ValueKind::Decimal, 2)?,
        channel("button_a", "", ValueKind::Bool, 0)?,
    ];
    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]).ok_or(Mistake::Node)?;
    let boot = entropy::boot_id();
    let mut node = Node::<4, _>::new(identity, boot, &channels, ring, NodeConfig::DEFAULT)?;
    // Where the generator gave no boot id the board starts again: it never goes on in clear.
    #[cfg(feature = "key")]
    node.set_key(key::PUBLIC_TEST_KEY)?;
    for (index, period_ms) in [(COUNTER, 100), (UPTIME, 500), (DIE_TEMPERATURE, 1_000), (BUTTON_A, 1_000)] {
        node.set_sampling(ChannelIndex(index), Sampling::every(period_ms)).map_err(|_| Mistake::Sampling)?;
    }
    let mut link = BlockingLink::<_, TRANSMIT_BYTES>::new(Uart::start());
    let mut sensors = Sensors::start(&clock);
    let ended = sampler::run(&mut node, &mut link, &mut sensors, &mut Sleep::new(&clock), || clock.now());
    ended.map(|never| match never {}).map_err(|_| Mistake::Loop)
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
