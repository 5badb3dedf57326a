//! A board on a battery: it measures with its link down, wakes it now and then, and sleeps until the node wants something.

use crate::support::Gateway;
use tidegate_firmware::{Identity, Node, NodeConfig, Sampling, channel};
use tidegate_protocol::{BootId, DeviceId, Quality, Tick, Value, ValueKind, id::ChannelIndex};

const PERIOD_MS: u64 = 60_000;
const TALK_EVERY: u64 = 10;

#[test]
fn a_board_that_is_on_the_line_for_every_tenth_sample_only_wakes_for_samples_and_loses_nothing() {
    let channels = [channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap()];
    let identity = Identity { device: DeviceId::new("buoy-1").unwrap(), tag: "", firmware: "test 1" };
    let config = NodeConfig::DEFAULT;
    let mut node = Node::<1, _>::new(identity, Some(BootId(1)), &channels, [0; 512], config).unwrap();
    node.set_sampling(ChannelIndex(0), Sampling::every(PERIOD_MS as u32)).unwrap();
    let mut gateway = Gateway::default();
    let (mut now, mut frame, mut frames) = (Tick(0), [0; 256], 0);
    for woken in 0..100 {
        assert_eq!(now, Tick(woken * PERIOD_MS), "for nothing but a sample");
        let due = node.due(now).unwrap();
        let value = Value::Decimal { mantissa: woken as i64, scale: 2 };
        node.sample(due, value, Quality::Good, now).unwrap();
        if woken % TALK_EVERY == TALK_EVERY - 1 {
            gateway.new_link();
            node.link_up(now);
            while !node.is_drained() {
                while let Some(len) = node.poll_transmit(now, &mut frame) {
                    frames += 1;
                    gateway.receive(&frame[..len]).iter().for_each(|answer| node.receive(now, answer));
                }
                gateway.commit().iter().for_each(|answer| node.receive(now, answer));
            }
            node.link_down();
        }
        now = node.next_wakeup(now).unwrap();
    }
    let seqs: Vec<u64> = gateway.readings.keys().map(|(_, seq)| *seq).collect();
    assert_eq!(seqs, (0..100).collect::<Vec<_>>());
    assert_eq!((gateway.losses.len(), gateway.hellos), (0, 10));
    assert!(
        frames <= 4 * 10,
        "{frames}: each time a Hello, a heartbeat, and ten readings in two frames at most"
    );
    assert_eq!(gateway.violations, [""; 0]);
}
