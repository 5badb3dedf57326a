//! Boots are counted and settings remembered, wherever power is cut.

use super::bench::{Flash, new_flash};
use crate::support::frame;
use tidegate_firmware::{
    Backing, Deadband, Identity, Node, NodeConfig, Sampling,
    blocking::finish,
    channel,
    flash::{Memory, MemoryError},
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Tick, Value, ValueKind,
    frame::{Down, Settings},
    id::ChannelIndex,
};

const BOOT: BootId = BootId(3);

type TestNode<'a> = Node<'a, 3, [u8; 128]>;

fn node<'a>(channels: &'a [ChannelDecl<&'a str>]) -> TestNode<'a> {
    let identity = Identity { device: DeviceId::new("pump-3").unwrap(), tag: "P-3", firmware: "test 1" };
    let mut node = Node::new(identity, Some(BOOT), channels, [0; 128], NodeConfig::DEFAULT).unwrap();
    for index in 0..channels.len() as u8 {
        node.set_sampling(ChannelIndex(index), Sampling::every(1_000)).unwrap();
    }
    node
}

fn memory(flash: Flash) -> Memory<Flash> {
    Memory::new(flash, Flash::FULL_FLASH_RANGE).unwrap()
}

fn save(memory: &mut Memory<Flash>, node: &mut TestNode<'_>) {
    for _ in 0..10 {
        if !memory.prepare(node, Tick(0)) {
            return;
        }
        finish(memory.work());
        memory.report(node, Tick(0), &mut []);
    }
}

fn settings(channel: u8, revision: u32, period_ms: u32, report_deadband: Option<Deadband>) -> Vec<u8> {
    let settings =
        Settings { revision, channel, enabled: true, period_ms, report_deadband, max_silence_ms: 60_000 };
    frame(&Down::Settings { boot: BOOT.tag(), settings })
}

#[test]
fn boots_are_counted_from_a_random_start() {
    let mut memory = memory(new_flash());
    let mut boot = |fresh: u32| finish(memory.next_boot(|| fresh)).unwrap().0;
    assert_eq!([boot(7), boot(8), boot(9)], [(7 << 32) + 1, (7 << 32) + 2, (7 << 32) + 3]);
}

#[test]
fn wherever_power_is_cut_no_boot_is_used_twice() {
    let step = if std::env::var_os("TIDEGATE_TEST_LONG").is_some() { 1 } else { 13 };
    for cut in (0..5_000).step_by(step) {
        let mut flash = new_flash();
        let mut used = Vec::new();
        flash.bytes_until_shutoff = Some(cut);
        // Many starts in two pages, so that they are erased; the one in which the power goes returns none.
        for _ in 0..100 {
            let mut memory = Memory::new(flash, 0..2_048).unwrap();
            used.extend(finish(memory.next_boot(|| 0)));
            flash = memory.release();
        }
        let unique: std::collections::BTreeSet<_> = used.iter().collect();
        assert_eq!(unique.len(), used.len(), "cut at {cut}");
        assert!(used.len() >= 99, "cut at {cut}");
    }
}

#[test]
fn settings_come_back_by_the_name_of_their_channel() {
    let [temperature, door, level] = [
        channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap(),
        channel("door", "", ValueKind::Bool, 0).unwrap(),
        channel("level", "m", ValueKind::F32, 0).unwrap(),
    ];
    let before = [temperature, door, level];
    let mut node_before = node(&before);
    let mut memory = memory(new_flash());
    let half = Deadband::Absolute(Value::Decimal { mantissa: 50, scale: 2 });
    node_before.receive(Tick(5), &settings(0, 3, 500, Some(half)));
    node_before.receive(Tick(5), &settings(2, 4, 250, Some(Deadband::Percent { hundredths: 150 })));
    node_before.receive(Tick(5), &settings(1, 5, 3, None));
    save(&mut memory, &mut node_before);
    assert!(!memory.prepare(&node_before, Tick(0)) && memory.failures() == 0);
    // The next firmware has them in another order, one more, and the temperature with another scale.
    let finer = channel("temperature", "Cel", ValueKind::Decimal, 3).unwrap();
    for (after, periods, restored) in
        [([level, door, temperature], [250, 1_000, 500], 2), ([level, door, finer], [250, 1_000, 1_000], 1)]
    {
        let mut node_after = node(&after);
        assert_eq!(finish(memory.restore(&mut node_after)), Ok(restored));
        let found = [0, 1, 2].map(|index| *node_after.sampling(ChannelIndex(index)).unwrap());
        assert_eq!(found.map(|sampling| sampling.period_ms), periods);
        assert_eq!(found[0].report_deadband, Some(Deadband::Percent { hundredths: 150 }));
        assert_eq!(found[0].max_silence_ms, 60_000);
        assert!(!memory.prepare(&node_after, Tick(0)), "what was restored is in flash already");
    }
}

#[test]
fn the_last_settings_count_and_what_could_not_be_saved_is_tried_again() {
    let channels = [channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap()];
    let mut node_before = node(&channels);
    let mut flash = new_flash();
    flash.bytes_until_shutoff = Some(40);
    let mut memory = memory(flash);
    node_before.receive(Tick(0), &settings(0, 1, 500, None));
    save(&mut memory, &mut node_before);
    assert_eq!(memory.failures(), 1);
    assert!(!memory.prepare(&node_before, Tick(4_999)), "it rests");
    node_before.receive(Tick(0), &settings(0, 2, 600, None));
    for now in [Tick(5_000), Tick(10_000)] {
        if memory.prepare(&node_before, now) {
            finish(memory.work());
            memory.report(&mut node_before, now, &mut []);
        }
    }
    let mut node_after = node(&channels);
    assert_eq!(finish(memory.restore(&mut node_after)), Ok(1));
    assert_eq!(node_after.sampling(ChannelIndex(0)).unwrap().period_ms, 600);
}

#[test]
fn a_range_that_cannot_be_is_refused() {
    assert_eq!(Memory::new(new_flash(), 0..1_024).err(), Some(MemoryError::BadRange));
    assert_eq!(Memory::new(new_flash(), 100..4_096).err(), Some(MemoryError::BadRange));
}
