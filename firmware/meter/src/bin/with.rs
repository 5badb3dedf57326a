//! A counter down the link, with the library: three channels, a ring, everything that a board's main loop uses.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use tidegate_firmware::{BlockingLink, Identity, Node, NodeConfig, Sampling, boot, channel, sampler};
use tidegate_meter::device::{Link, Sleep, now};
use tidegate_protocol::{DeviceId, Quality, Tick, Value, ValueKind, id::ChannelIndex};

#[entry]
fn main() -> ! {
    let _ended = run();
    cortex_m::peripheral::SCB::sys_reset()
}

fn run() -> Option<()> {
    let identity = Identity { device: DeviceId::new("metered").ok()?, tag: "", firmware: "1" };
    let channels = [
        channel("counter", "count", ValueKind::Decimal, 0).ok()?,
        channel("uptime", "s", ValueKind::Decimal, 3).ok()?,
        channel("button", "", ValueKind::Bool, 0).ok()?,
    ];
    let boot = Some(boot::from_entropy([now(), now()]));
    let mut node = Node::<3, _>::new(identity, boot, &channels, [0; 1024], NodeConfig::DEFAULT).ok()?;
    #[cfg(feature = "key")]
    node.set_key(tidegate_protocol::frame::keyed::DeviceKey::new([7; 16])).ok()?;
    node.set_sampling(ChannelIndex(0), Sampling::every(100)).ok()?;
    let mut link = BlockingLink::<_, 256>::new(Link);
    let mut sensor =
        |_: ChannelIndex| (Value::Decimal { mantissa: i64::from(now()), scale: 0 }, Quality::Good);
    sampler::run(&mut node, &mut link, &mut sensor, &mut Sleep, || Tick(u64::from(now()))).ok()?;
    Some(())
}
