//! Readings go to flash and come back, beside those of the present.

use super::bench::{Board, Flash, new_flash};
use crate::support::Gateway;
use tidegate_firmware::{Backing, NodeConfig, blocking::finish};
use tidegate_protocol::{BootId, id::Seq};

fn seqs(gateway: &Gateway, boot: u64) -> Vec<u64> {
    gateway.readings.keys().filter(|(of, _)| *of == BootId(boot)).map(|(_, seq)| *seq).collect()
}

#[test]
fn an_outage_that_outgrows_the_ring_costs_nothing() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(600);
    assert!(board.node.lost().is_empty() && board.node.held().start > 400, "{:?}", board.node.held());
    assert_eq!(board.node.floor(), Seq(0));
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    assert_eq!(seqs(&gateway, 1), (0..600).collect::<Vec<_>>());
    assert!(board.node.is_drained() && gateway.losses.is_empty());
    assert_eq!(board.node.counters().lost, 0);
}

#[test]
fn new_readings_leave_before_those_in_flash() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(600);
    let mut gateway = Gateway::default();
    board.node.link_up(board.now());
    let mut out = [0; 256];
    let now = board.now();
    let hello = board.node.poll_transmit(now, &mut out).unwrap();
    gateway.receive(&out[..hello]).iter().for_each(|answer| board.node.receive(now, answer));
    board.measure_one();
    let now = board.now();
    let mut said = Vec::new();
    while let Some(len) = board.node.poll_transmit(now, &mut out) {
        gateway.receive(&out[..len]);
        said.extend(
            gateway
                .unsafe_readings
                .keys()
                .map(|(_, seq)| *seq)
                .filter(|seq| !said.contains(seq))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(said, [600], "and the ring waits until flash was sent: acknowledgements go in order");
    assert!(board.keeper.prepare(&board.node, now));
}

#[test]
fn what_was_kept_before_a_power_cut_arrives_beside_the_present_boot_which_then_ends_it() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(500);
    let kept = board.kept_end().0;
    assert!(kept > 300);
    let mut board = Board::power_up(board.power_off(), 2);
    board.measure(5);
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    let unsafe_of =
        |gateway: &Gateway, boot| gateway.unsafe_readings.keys().filter(|(of, _)| of.0 == boot).count();
    assert_eq!((unsafe_of(&gateway, 1) as u64, unsafe_of(&gateway, 2)), (kept, 5));
    assert!(gateway.ended.is_empty(), "there is something of boot 1 still");
    board.settle(&mut gateway);
    assert_eq!((seqs(&gateway, 1), seqs(&gateway, 2)), ((0..kept).collect(), (0..5).collect()));
    assert_eq!(gateway.ended.iter().map(|boot| boot.0).collect::<Vec<_>>(), [1]);
    assert!(gateway.losses.is_empty());
    // Nothing comes again, nor is anything there for the next start.
    let mut board = Board::power_up(board.power_off(), 3);
    let before = gateway.readings_frames;
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    assert_eq!(gateway.readings_frames, before);
}

#[test]
fn several_boots_without_a_gateway_arrive_one_after_the_other() {
    let mut flash = new_flash();
    let mut kept = Vec::new();
    for boot in 1..=3 {
        let mut board = Board::power_up(flash, boot);
        board.measure(200);
        kept.push((boot, board.kept_end().0));
        flash = board.power_off();
    }
    let mut board = Board::power_up(flash, 4);
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    for (boot, end) in kept {
        assert!(end > 0);
        assert_eq!(seqs(&gateway, boot), (0..end).collect::<Vec<_>>(), "boot {boot}");
    }
    assert_eq!(gateway.ended.len(), 3);
}

#[test]
fn what_is_acknowledged_while_flash_is_read_is_not_called_lost() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(600);
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    board.now_ms += 5_000;
    let (now, mut out) = (board.now(), [0; 256]);
    while let Some(len) = board.node.poll_transmit(now, &mut out) {
        gateway.receive(&out[..len]);
    }
    assert!(board.keeper.prepare(&board.node, now), "nothing was acknowledged: flash is sent again");
    finish(board.keeper.work());
    let acks = gateway.commit().unwrap();
    board.node.receive(now, &acks);
    assert!(board.node.is_drained());
    assert_eq!(board.keeper.report(&mut board.node, now, &mut out), None);
    board.settle(&mut gateway);
    assert!(gateway.losses.is_empty());
}

#[test]
fn a_full_flash_takes_no_more_and_the_hole_behind_it_is_declared() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(6_000);
    let lost = board.node.lost();
    assert!(lost.start > 700 && !lost.is_empty(), "{lost:?}");
    assert_eq!(board.node.floor(), Seq(0));
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    let declared: Vec<_> = gateway.losses.iter().map(|(_, seq)| *seq).collect();
    assert_eq!(declared, (lost.start..lost.end).collect::<Vec<_>>());
    assert_eq!(seqs(&gateway, 1).len() as u64, 6_000 - lost.len());
    assert!(board.node.is_drained());
    // There is room again.
    board.node.link_down();
    board.measure(600);
    assert!(board.node.lost().is_empty());
}

#[test]
fn in_a_long_life_with_many_outages_the_queue_goes_around_and_wears_all_pages_alike() {
    let mut board = Board::power_up(new_flash(), 1);
    let mut gateway = Gateway::default();
    for _ in 0..40 {
        board.node.link_down();
        board.measure(300);
        board.connect(&mut gateway);
        board.settle(&mut gateway);
        assert!(board.node.is_drained());
    }
    assert_eq!(seqs(&gateway, 1).len(), 12_000);
    let wear = board.keeper.wear();
    assert!(wear.written_bytes > 40_000 && wear.erased_pages > 8, "{wear:?}");
    let per_page = f64::from(wear.written_bytes) / f64::from(wear.erased_pages);
    assert!(per_page > 500.0, "pages are filled before they are erased: {wear:?}");
}

#[test]
fn a_queue_that_never_runs_empty_goes_around_too() {
    let mut board = Board::power_up(new_flash(), 1);
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    for _ in 0..60 {
        // The gateway takes everything and acknowledges only what is 400 readings old.
        board.node.link_down();
        board.measure(200);
        board.connect(&mut gateway);
        gateway.commit();
        let up_to = Seq(board.node.next_seq().0.saturating_sub(400));
        let ack = crate::support::frame(&tidegate_protocol::frame::Down::Ack { boot: board.boot, up_to });
        board.node.receive(board.now(), &ack);
        board.attend(Some(&mut gateway));
        assert!(board.node.lost().is_empty(), "{:?} after {:?}", board.node.lost(), board.node.next_seq());
    }
    assert!(board.keeper.wear().written_bytes > 5 * 8 * 1_024);
    board.settle(&mut gateway);
    assert!(board.node.is_drained());
}

#[test]
fn what_flash_cannot_give_back_is_declared_and_all_else_arrives() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(600);
    let kept = board.kept_end().0;
    let mut flash = board.power_off();
    // Somewhere in the third page.
    flash.as_bytes_mut()[2 * 1_024 + 300] ^= 0x10;
    let mut board = Board::power_up(flash, 2);
    let mut gateway = Gateway::default();
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    let lost: Vec<_> = gateway.losses.iter().map(|(boot, seq)| (boot.0, *seq)).collect();
    assert!(!lost.is_empty() && lost.len() < 80, "one record: {lost:?}");
    assert!(lost.iter().all(|(boot, _)| *boot == 1));
    assert_eq!(seqs(&gateway, 1).len() + lost.len(), kept as usize);
    assert_eq!(gateway.ended.len(), 1, "it does not stand in the way");
}

#[test]
fn an_old_reading_goes_to_flash_however_empty_the_ring() {
    let config = NodeConfig { keep_after_ms: 60_000, ..NodeConfig::DEFAULT };
    let mut board = Board::power_up_with(new_flash(), 1, config);
    board.measure(5);
    board.now_ms += 59_000;
    board.measure(1);
    assert_eq!(board.kept_end(), Seq(0));
    board.now_ms += 2_000;
    board.attend(None);
    assert_eq!(board.kept_end(), Seq(6), "with those that came after it");
}

#[test]
fn a_boot_that_the_gateway_refuses_leaves_what_it_kept_under_its_own_name() {
    let mut board = Board::power_up(new_flash(), 1);
    board.measure(400);
    let kept = board.kept_end().0;
    board.node.link_up(board.now());
    let mut out = [0; 256];
    let now = board.now();
    board.node.poll_transmit(now, &mut out).unwrap();
    let answers = tidegate_protocol::frame::HelloMark::of(Some(board.boot), Seq(400));
    let welcome = tidegate_protocol::frame::Welcome { answers, boot: BootId(9), unix_ms: 0, error_ms: 5 };
    let offer = crate::support::frame(&tidegate_protocol::frame::Down::Welcome(welcome));
    board.node.receive(now, &offer);
    assert_eq!(board.node.next_seq().0, 400 - kept, "what was in the ring is numbered anew");
    let mut gateway = Gateway::default();
    board.attend(Some(&mut gateway));
    board.settle(&mut gateway);
    assert_eq!(seqs(&gateway, 1), (0..kept).collect::<Vec<_>>());
    assert_eq!(seqs(&gateway, 9), (0..400 - kept).collect::<Vec<_>>());
    assert!(gateway.losses.is_empty());
}

#[test]
fn a_boot_that_the_gateway_gives_while_flash_is_written_takes_nothing_out_of_the_ring() {
    let mut board = Board::power_up(new_flash(), 1);
    let mut out = [0; 256];
    // The Hello is written first; then readings, of which the node is not told yet.
    let mut writes = 0;
    while writes < 2 {
        if !board.keeper.prepare(&board.node, board.now()) {
            board.measure_one();
            continue;
        }
        let before = board.keeper.wear().written_bytes;
        finish(board.keeper.work());
        writes += u32::from(board.keeper.wear().written_bytes > before);
        if writes < 2 {
            let now = board.now();
            board.keeper.report(&mut board.node, now, &mut out);
        }
    }
    let now = board.now();
    board.node.link_up(now);
    board.node.poll_transmit(now, &mut out).unwrap();
    let next = board.node.next_seq();
    let answers = tidegate_protocol::frame::HelloMark::of(Some(board.boot), next);
    let welcome = tidegate_protocol::frame::Welcome { answers, boot: BootId(9), unix_ms: 0, error_ms: 5 };
    board.node.receive(now, &crate::support::frame(&tidegate_protocol::frame::Down::Welcome(welcome)));
    board.keeper.report(&mut board.node, now, &mut out);
    let mut gateway = Gateway::default();
    board.attend(Some(&mut gateway));
    board.settle(&mut gateway);
    assert_eq!(seqs(&gateway, 9), (0..next.0).collect::<Vec<_>>());
    assert!(gateway.losses.is_empty());
}

#[test]
fn a_range_that_cannot_be_is_refused() {
    use tidegate_firmware::{
        Identity, Node, channel,
        flash::{KeepError, Keeper},
    };
    use tidegate_protocol::{DeviceId, ValueKind};
    let channels = [channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap()];
    let identity = Identity { device: DeviceId::new("pump-3").unwrap(), tag: "P-3", firmware: "test 1" };
    let mut node = Node::<1, _>::new(identity, None, &channels, [0; 512], NodeConfig::DEFAULT).unwrap();
    for range in [0..1_024, 100..4_096, 0..4_097] {
        let refused = finish(Keeper::<Flash, 256>::open(new_flash(), range.clone(), &mut node));
        assert_eq!(refused.err(), Some(KeepError::BadRange), "{range:?}");
    }
    let kept = Board::power_up(new_flash(), 1);
    let flash = {
        let mut board = kept;
        board.measure(200);
        board.power_off()
    };
    let shorter = finish(Keeper::<Flash, 192>::open(flash, Flash::FULL_FLASH_RANGE, &mut node));
    assert!(matches!(shorter.err(), Some(KeepError::RecordTooShort { have: 192, need: 224 | 256 })));
    let refused = finish(Keeper::<Flash, 96>::open(new_flash(), 0..4_096, &mut node));
    assert_eq!(refused.err(), Some(KeepError::RecordTooShort { have: 96, need: 160 }));
}
