//! Boots, losses, anchors: what boards say besides readings.

use tidegate_protocol::{
    BootId, LossReason, LossRecord, Seq, SeqRange, Tick,
    block::{Record, Tail},
    frame::{BoardCounters, Down, Heartbeat, HelloMark, Standing},
};

use super::bench::{Bench, origin, reading, settings};
use crate::core::{BoardFrame, Event, LinkId};

fn loss(device: &str, boot: u64, range: (u64, u64), reason: LossReason) -> Record {
    Record::Loss(LossRecord { origin: origin(device, boot), range: SeqRange::new(range.0, range.1), reason })
}

#[test]
fn an_offered_boot_is_nothing_until_a_board_takes_it() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", None, 0, 3);
    assert_ne!(bench.hello(1, "board", None, 0, 4), bench.hello(1, "board", None, 0, 5), "nobody has either");
    assert!(bench.core.view(bench.now.at).devices.is_empty());
    let offered = bench.hello(1, "board", None, 0, 6);
    assert_eq!(bench.hello(1, "board", Some(offered.0), 0, 6), offered);
    let devices = bench.core.view(bench.now.at).devices;
    assert_eq!(devices.iter().map(|device| &device.boot).collect::<Vec<_>>(), [&offered.to_string()]);
}

#[test]
fn a_welcome_names_the_hello_that_it_answers() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", None, 0, 6);
    bench.hello(1, "board", Some(7), 2, 5);
    bench.readings(1, 2..9);
    bench.hello(1, "board", Some(7), 2, 5);
    let answers = bench.frames.iter().filter_map(|(_, frame)| match frame {
        Down::Welcome(welcome) => Some((welcome.answers, welcome.boot == BootId(7))),
        _ => None,
    });
    let mark = HelloMark::of(Some(BootId(7)), Seq(5));
    assert_eq!(answers.collect::<Vec<_>>(), [(None, false), (mark, true), (mark, false)]);
}

#[test]
fn numbers_that_went_back_get_a_fresh_boot() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.hello(1, "board", Some(7), 0, 0), BootId(7));
    bench.readings(1, 0..10);
    assert_eq!(bench.hello(2, "board", Some(7), 0, 10), BootId(7), "a reconnection");
    assert_ne!(bench.hello(3, "board", Some(7), 0, 4), BootId(7), "a counter that was set back");
}

#[test]
fn numbers_that_went_back_are_seen_after_a_restart_too() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    bench.commit();
    let mut bench = Bench::on(settings(), bench.disk);
    assert_ne!(bench.hello(1, "board", Some(7), 0, 4), BootId(7));
}

#[test]
fn a_new_boot_closes_the_old_one_with_what_nobody_can_deliver() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    // 10..15 were measured and never came; 3 was acknowledged by another gateway.
    bench.heartbeat(1, 3, 15, 100);
    bench.hello(1, "board", Some(8), 0, 0);
    bench.commit();
    bench.durable(0);
    bench.pass_ms(100);
    let records = bench.records();
    assert!(records.contains(&loss("board", 7, (10, 15), LossReason::UncleanTail)), "{records:?}");
    assert!(records.contains(&Record::Closed { origin: origin("board", 7), tail: Tail::AtLeast(15) }));
}

#[test]
fn a_declared_loss_is_told_once_and_acknowledged_when_it_is_safe() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.durable(0);
    bench.last_ack(1);
    bench.lost(1, 2..9, 9, 12);
    bench.lost(1, 2..9, 9, 12);
    assert_eq!(bench.last_ack(1), None, "an ack at the floor would release the declaration");
    let number = bench.published.last().unwrap().number;
    bench.durable(number);
    assert_eq!(bench.last_ack(1), Some(9));
    let losses: Vec<Record> =
        bench.records().into_iter().filter(|record| matches!(record, Record::Loss(_))).collect();
    assert_eq!(losses, [loss("board", 7, (4, 9), LossReason::RingOverflow)], "2 and 3 had come");
}

#[test]
fn a_loss_behind_the_floor_is_no_duplicate() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.heartbeat(1, 5, 8, 100);
    bench.lost(1, 0..5, 5, 8);
    bench.durable(0);
    bench.pass_ms(100);
    assert!(bench.records().contains(&loss("board", 7, (0, 5), LossReason::RingOverflow)));
}

#[test]
fn an_unknown_link_is_asked_once_a_second() {
    let mut bench = Bench::new(settings());
    for _ in 0..5 {
        bench.readings(4, 0..1);
    }
    let asked = |bench: &Bench| bench.frames.iter().filter(|(_, frame)| *frame == Down::Identify).count();
    assert_eq!(asked(&bench), 1);
    bench.pass_ms(1_000);
    bench.readings(4, 0..1);
    assert_eq!(asked(&bench), 2);
}

#[test]
fn anchors_come_first_and_then_each_minute() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    for second in 0..130 {
        bench.heartbeat(1, 0, second, 100);
        bench.pass_ms(1_000);
        for number in bench.published.iter().map(|published| published.number).collect::<Vec<_>>() {
            bench.durable(number);
        }
    }
    // A block whose answer takes its time may be sent twice.
    let mut anchors: Vec<Tick> = (bench.records().iter())
        .filter_map(|record| if let Record::Anchor { tick, .. } = record { Some(*tick) } else { None })
        .collect();
    anchors.dedup();
    assert_eq!(anchors, [Tick(0), Tick(600), Tick(1_200)]);
}

#[test]
fn the_cloud_is_told_of_readings_that_are_still_elsewhere() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.heartbeat(1, 0, 40, 100);
    bench.pass_ms(5_100);
    let number = bench.published[0].number;
    bench.durable(number);
    bench.pass_ms(5_100);
    assert!(bench.records().contains(&Record::Measured { origin: origin("board", 7), next: 40 }));
}

#[test]
fn closed_origins_are_forgotten_when_nothing_of_them_is_held() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    for boot in 0..200 {
        bench.hello(1, "board", Some(boot), 0, 0);
        bench.readings(1, 0..3);
        bench.pass_ms(3_000);
        for number in bench.published.drain(..).map(|published| published.number).collect::<Vec<_>>() {
            bench.durable(number);
        }
        if bench.batch.is_some() {
            bench.commit();
        }
    }
    assert!(bench.core.view(bench.now.at).devices.len() < 10);
    assert!(bench.disk.origins.len() < 10);
}

#[test]
fn a_frame_of_another_boot_is_not_taken_and_its_board_is_asked_who_it_is() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.durable(0);
    bench.pass_ms(2_000);
    // The numbers went back, so a new boot is given and taken; what follows was sent by the life before.
    let given = bench.hello(1, "board", Some(7), 0, 2);
    assert_ne!(given, BootId(7));
    bench.hello(1, "board", Some(given.0), 0, 0);
    bench.frames.clear();
    let boot = BootId(7).tag();
    let late = [
        BoardFrame::Readings { boot, floor: 0, next: 3, readings: vec![reading(2)] },
        BoardFrame::Lost {
            boot,
            range: SeqRange::new(0, 2),
            reason: LossReason::RingOverflow,
            floor: 2,
            next: 3,
        },
    ];
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: late.to_vec() });
    assert_eq!(bench.frames, [(LinkId(1), Down::Identify)]);
    bench.pass_ms(1_000);
    let of_given = |published: &super::bench::Published| {
        published.block.origins.iter().any(|of| of.origin.boot == given)
    };
    assert!(!bench.published.iter().any(of_given), "readings of one boot went out under another");
    let declared = |record: &Record| matches!(record, Record::Loss(loss) if loss.origin.boot == given);
    assert!(!bench.records().iter().any(declared));
    assert_eq!(bench.core.view(bench.now.at).counters.frames_misaddressed, 2);
}

#[test]
fn nothing_is_taken_under_a_boot_whose_numbers_went_back() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    assert_ne!(bench.hello(1, "board", Some(7), 0, 2), BootId(7));
    bench.frames.clear();
    // The other gateway on its line knew nothing of that boot, and welcomed it.
    let frame = BoardFrame::Readings { boot: BootId(7).tag(), floor: 0, next: 5, readings: vec![reading(4)] };
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: vec![frame] });
    assert_eq!(bench.frames, [(LinkId(1), Down::Identify)]);
    assert_eq!(bench.core.view(bench.now.at).counters.readings_received, 4);
}

#[test]
fn a_boot_that_comes_back_is_ended_anew_when_it_goes() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    // A copy of a Hello of the life before, held up on the line.
    bench.hello(1, "board", Some(6), 0, 0);
    bench.settle();
    bench.hello(1, "board", Some(7), 0, 4);
    bench.heartbeat(1, 0, 9, 100);
    bench.pass_ms(100);
    bench.hello(1, "board", Some(8), 0, 0);
    bench.settle();
    bench.pass_ms(100);
    for number in 0..bench.published.len() as u64 {
        bench.durable(number);
    }
    bench.pass_ms(100);
    let records = bench.records();
    assert!(records.contains(&loss("board", 7, (4, 9), LossReason::UncleanTail)), "{records:?}");
}

#[test]
fn a_closing_that_was_taken_back_ends_nothing_when_it_is_safe() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.durable(0);
    bench.hello(1, "board", Some(6), 0, 0);
    bench.commit();
    bench.pass_ms(100);
    assert!(bench.records().contains(&Record::Closed { origin: origin("board", 7), tail: Tail::AtLeast(4) }));
    let closing = bench.published.last().unwrap().number;
    bench.hello(1, "board", Some(7), 4, 4);
    (1..=closing).for_each(|number| bench.durable(number));
    // Long enough that what has ended is forgotten.
    for _ in 0..20 {
        bench.pass_ms(1_000);
        (0..bench.published.len() as u64).for_each(|number| bench.durable(number));
        if bench.batch.is_some() {
            bench.commit();
        }
    }
    bench.frames.clear();
    bench.readings_with_floor(1, 4, 4..6);
    assert!(!bench.frames.contains(&(LinkId(1), Down::Identify)), "a boot that goes on was forgotten");
    bench.event(Event::Flush);
    bench.commit();
    let record = bench.disk.origins.get(&origin("board", 7)).expect("it is on the disk");
    assert!(!record.closed, "a restart would take it for ended, and never end it");
}

#[test]
fn only_the_last_closing_ends_a_boot_for_good() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.hello(1, "board", Some(6), 0, 0);
    // Taken back while it is being written.
    bench.hello(1, "board", Some(7), 4, 4);
    bench.heartbeat(1, 4, 9, 100);
    bench.settle();
    bench.event(Event::Flush);
    bench.settle();
    let closed = |bench: &Bench| bench.disk.origins.get(&origin("board", 7)).map(|record| record.closed);
    assert_eq!(closed(&bench), Some(false), "a restart would forget to close it");
    bench.hello(1, "board", Some(8), 0, 0);
    bench.commit();
    assert_eq!(closed(&bench), Some(true));
}

#[test]
fn a_boot_does_not_go_on_below_what_was_acknowledged_though_another_gateway_has_it() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 10, 12);
    bench.heartbeat(1, 10, 12, 100);
    assert_eq!(bench.last_ack(1), Some(10), "what is below the floor is someone else's custody");
    assert_ne!(bench.hello(1, "board", Some(7), 0, 2), BootId(7));
}

#[test]
fn what_a_board_kept_of_a_boot_before_is_taken_beside_the_present_one_and_then_that_boot_ends() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::LinkClosed(LinkId(1)));
    // Its power was cut: it had 4..10 in flash, and had sent more than that.
    bench.hello_as(Standing::Keeping, 2, "board", Some(8), 0, 0);
    bench.readings(2, 0..3);
    assert!(bench.core.view(bench.now.at).devices.iter().all(|device| !device.closed), "it may come yet");
    assert_eq!(bench.hello_as(Standing::Former, 2, "board", Some(7), 4, 8), BootId(7), "no offer");
    let former = |seqs: std::ops::Range<u64>| BoardFrame::Readings {
        boot: BootId(7).tag(),
        floor: 4,
        next: 14,
        readings: seqs.map(reading).collect(),
    };
    let arrived = bench.now.at;
    bench.event(Event::Board { link: LinkId(2), arrived, frames: vec![former(4..10), former(10..14)] });
    bench.boots.insert(2, BootId(8));
    bench.readings(2, 3..5);
    bench.event(Event::Flush);
    bench.settle();
    let acks = |bench: &Bench, boot| {
        let mut acks = bench.frames.iter().filter_map(move |(_, frame)| match frame {
            Down::Ack { boot: of, up_to } if of.0 == boot => Some(up_to.0),
            _ => None,
        });
        acks.next_back()
    };
    assert_eq!((acks(&bench, 7), acks(&bench, 8)), (Some(14), Some(5)));
    // Nothing is left of it: now it has ended, and nothing else of it was ever measured.
    bench.hello(2, "board", Some(8), 5, 5);
    let view = bench.core.view(bench.now.at);
    let closed: Vec<_> = view.devices.iter().map(|device| (device.boot.as_str(), device.closed)).collect();
    assert_eq!(closed, [(&*BootId(7).to_string(), true), (&*BootId(8).to_string(), false)]);
    bench.event(Event::Flush);
    bench.settle();
    let end = Record::Closed { origin: origin("board", 7), tail: Tail::AtLeast(14) };
    assert!(bench.records().contains(&end), "{:?}", bench.records());
    assert!(!bench.records().iter().any(|record| matches!(record, Record::Loss(_))), "{:?}", bench.records());
}

#[test]
fn a_board_that_keeps_nothing_ends_its_former_boot_as_ever() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello_as(Standing::Former, 1, "board", Some(7), 0, 3);
    assert!(bench.core.view(bench.now.at).devices.iter().all(|device| !device.closed));
    bench.hello(1, "board", Some(8), 0, 0);
    let arrived = bench.now.at;
    let late = BoardFrame::Readings {
        boot: BootId(7).tag(),
        floor: 0,
        next: 3,
        readings: (0..3).map(reading).collect(),
    };
    bench.event(Event::Board { link: LinkId(1), arrived, frames: vec![late] });
    assert!(
        matches!(bench.frames.last(), Some((_, Down::Identify))),
        "the link does not speak for it any more"
    );
    bench.event(Event::Flush);
    bench.settle();
    assert!(bench.records().contains(&loss("board", 7, (0, 3), LossReason::UncleanTail)));
}

#[test]
fn what_a_board_counts_of_its_link_is_told() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    let say = |bench: &mut Bench, bad_frames, links_lost| {
        let counters = BoardCounters { bad_frames, links_lost, ..BoardCounters::default() };
        let (boot, arrived) = (BootId(7).tag(), bench.now.at);
        let frame = Heartbeat {
            boot,
            floor: Seq(0),
            next: Seq(0),
            tick: Tick(1),
            ring_free: 9,
            clock: None,
            counters,
        };
        bench.event(Event::Board { link: LinkId(1), arrived, frames: vec![BoardFrame::Heartbeat(frame)] });
    };
    say(&mut bench, u32::MAX - 1, 2);
    say(&mut bench, u32::MAX - 1, 2);
    say(&mut bench, 3, 2);
    let view = bench.core.view(bench.now.at);
    assert_eq!((view.devices[0].board.bad_frames, view.devices[0].board.links_lost), (3, 2));
    let told: Vec<_> = view.counters.board_troubles.into_iter().collect();
    assert_eq!(told, [("bad-frames", u64::from(u32::MAX - 1) + 5), ("links-lost", 2)], "it wrapped");
}
