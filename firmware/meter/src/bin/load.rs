//! A thousand readings through a node, and what that took. Prints a name and a number a line.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use tidegate_firmware::{Identity, Node, NodeConfig, channel};
use tidegate_meter::{stack, timer};
use tidegate_protocol::{
    BootId, DeviceId, Quality, Seq, Tick, Value, ValueKind,
    frame::{Down, HelloMark, MAX_DOWN_FRAME, Welcome, encode_down},
    id::ChannelIndex,
};

const READINGS: u64 = 1_000;
const BOOT: BootId = BootId(0x5eed);
const RING_BYTES: usize = 6 * 1024;
/// An acknowledgement for so many readings, as a gateway sends them.
const ACKED_AT_ONCE: u64 = 10;

#[entry]
fn main() -> ! {
    let ended = if run().is_some() { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE };
    debug::exit(ended);
    cortex_m::peripheral::SCB::sys_reset()
}

fn run() -> Option<()> {
    timer::start();
    let identity = Identity { device: DeviceId::new("metered").ok()?, tag: "", firmware: "1" };
    let channels = [
        channel("counter", "count", ValueKind::Decimal, 0).ok()?,
        channel("uptime", "s", ValueKind::Decimal, 3).ok()?,
        channel("temperature", "Cel", ValueKind::Decimal, 2).ok()?,
        channel("button", "", ValueKind::Bool, 0).ok()?,
    ];
    let channels = cortex_m::singleton!(: [tidegate_protocol::ChannelDecl<&'static str>; 4] = channels)?;
    let ring = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES])?;
    type Metered = Node<'static, 4, &'static mut [u8]>;
    let node = Metered::new(identity, Some(BOOT), channels, ring, NodeConfig::DEFAULT).ok()?;
    let node = cortex_m::singleton!(: Metered = node)?;
    let buffer = cortex_m::singleton!(: [u8; 256] = [0; 256])?;

    // The gateway's part, beforehand.
    let mut said = [0; MAX_DOWN_FRAME];
    node.link_up(Tick(0));
    node.poll_transmit(Tick(0), buffer)?;
    let answers = HelloMark::of(Some(BOOT), Seq(0));
    let welcome = Down::Welcome(Welcome { answers, boot: BOOT, unix_ms: 1_800_000_000_000, error_ms: 20 });
    let len = encode_down(&welcome, &mut said).ok()?;
    node.receive(Tick(1), said.get(..len)?);

    stack::paint();
    let (mut sampling, mut sending, mut releasing) = (0, 0, 0);
    let mut frames = 0;
    for turn in 0..READINGS / ACKED_AT_ONCE {
        let now = Tick(10 + turn * 1_000);
        sampling += timer::instructions(|| {
            for step in 0..ACKED_AT_ONCE {
                let value = Value::Decimal { mantissa: (turn * 7 + step * 13) as i64, scale: 0 };
                let _kept = node.sample(ChannelIndex(0), value, Quality::Good, Tick(now.0 + step));
            }
        });
        sending += timer::instructions(|| {
            while node.poll_transmit(Tick(now.0 + ACKED_AT_ONCE), buffer).is_some() {
                frames += 1;
            }
        });
        let up_to = Seq((turn + 1) * ACKED_AT_ONCE);
        let len = encode_down(&Down::Ack { boot: BOOT, up_to }, &mut said).ok()?;
        releasing +=
            timer::instructions(|| node.receive(Tick(now.0 + 20), said.get(..len).unwrap_or_default()));
    }
    let stack = stack::used_below();
    if !node.is_drained() || node.next_seq() != Seq(READINGS) {
        return None;
    }
    let readings = READINGS as u32;
    hprintln!("readings {}", readings);
    hprintln!("frames {}", frames);
    hprintln!("node_bytes {}", core::mem::size_of::<Metered>());
    hprintln!("transmit_bytes {}", buffer.len());
    hprintln!("stack_bytes {}", stack);
    hprintln!("sample_instructions {}", sampling);
    hprintln!("transmit_instructions {}", sending);
    hprintln!("receive_instructions {}", releasing);
    Some(())
}
