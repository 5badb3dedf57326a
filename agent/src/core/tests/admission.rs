//! Which boards are welcomed, and what becomes of those that are not.

use tidegate_protocol::{
    BootId, DeviceId,
    frame::{Down, Standing},
};

use super::bench::{Bench, channels, settings};
use crate::core::{
    Admit, BoardFrame, CoreSettings, Event, Held, LinkFrom, LinkId, MAX_PENDING, Permit, Permits,
};

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn permits(list: &[(&str, Option<bool>, bool)]) -> Permits {
    list.iter().map(|&(name, allowed, keyed)| (device(name), Permit { allowed, keyed })).collect()
}

fn bench(admit: Admit, list: &[(&str, Option<bool>, bool)]) -> Bench {
    Bench::new(CoreSettings { admit, permits: permits(list), ..settings() })
}

fn opened(bench: &mut Bench, link: u64, host: &str) {
    let is_local = host.starts_with('/');
    bench.event(Event::LinkOpened { link: LinkId(link), from: LinkFrom { host: host.to_owned(), is_local } });
}

fn says_hello(bench: &mut Bench, link: u64, name: &str, proven: bool) {
    says_hello_from(bench, link, name, proven, 0, 0);
}

fn says_hello_from(bench: &mut Bench, link: u64, name: &str, proven: bool, floor: u64, next: u64) {
    let frame = BoardFrame::Hello {
        device: device(name),
        tag: "TT-1".into(),
        firmware: "test".into(),
        boot: Some(BootId(7)),
        fresh: BootId(1),
        standing: Standing::Present,
        proven,
        floor,
        next,
        channels: channels(),
    };
    bench.event(Event::Board { link: LinkId(link), arrived: bench.now.at, frames: vec![frame] });
    bench.boots.insert(link, BootId(7));
}

fn is_welcomed(bench: &mut Bench) -> bool {
    std::mem::take(&mut bench.frames).iter().any(|(_, frame)| matches!(frame, Down::Welcome(_)))
}

fn pending(bench: &Bench) -> Vec<String> {
    bench.core.view(bench.now.at).pending.into_iter().map(|pending| pending.device).collect()
}

#[test]
fn who_is_welcomed_is_said_by_the_list_and_else_by_where_it_comes_from() {
    let list = [
        ("allowed", Some(true), false),
        ("forbidden", Some(false), false),
        ("keyed", Some(true), true),
        ("only-key", None, true),
    ];
    for (admit, host, name, proven, welcomed) in [
        (Admit::Any, "10.0.0.1", "new", false, true),
        (Admit::Local, "10.0.0.1", "new", false, false),
        (Admit::Local, "/dev/ttyUSB0", "new", false, true),
        (Admit::None, "/dev/ttyUSB0", "new", false, false),
        (Admit::None, "10.0.0.1", "allowed", false, true),
        (Admit::Any, "/dev/ttyUSB0", "forbidden", false, false),
        (Admit::Any, "/dev/ttyUSB0", "keyed", false, false),
        (Admit::None, "10.0.0.1", "keyed", true, true),
        (Admit::Any, "10.0.0.1", "only-key", true, true),
        (Admit::Any, "10.0.0.1", "only-key", false, false),
        (Admit::None, "10.0.0.1", "only-key", true, false),
    ] {
        let mut bench = bench(admit, &list);
        opened(&mut bench, 1, host);
        says_hello(&mut bench, 1, name, proven);
        assert_eq!(is_welcomed(&mut bench), welcomed, "{admit:?} {host} {name} {proven}");
        assert_eq!(pending(&bench).is_empty(), welcomed || name == "forbidden", "{name}");
    }
}

#[test]
fn nothing_of_a_board_that_is_held_is_taken_and_once_allowed_all_of_it_is() {
    let mut bench = bench(Admit::None, &[]);
    bench.link_up();
    opened(&mut bench, 1, "10.0.0.1");
    says_hello_from(&mut bench, 1, "board-7", false, 0, 10);
    bench.readings(1, 0..10);
    assert_eq!(bench.last_ack(1), None);
    assert_eq!(bench.core.counters.readings_received, 0);
    assert_eq!(bench.held, [(device("board-7"), Held::Unknown)]);
    says_hello_from(&mut bench, 1, "board-7", false, 0, 10);
    assert_eq!(bench.held.len(), 1, "said once in the log");
    let view = bench.core.view(bench.now.at);
    let shown = &view.pending[0];
    assert_eq!(
        (shown.device.as_str(), shown.tag.as_str(), shown.from.as_str()),
        ("board-7", "TT-1", "10.0.0.1")
    );
    assert_eq!((shown.asked, shown.proved_key, shown.held), (2, false, Held::Unknown));
    assert_eq!(shown.channels, ["temperature Cel"]);
    assert_eq!(view.counters.hellos_held["unknown"], 2);
    bench.event(Event::Permits(permits(&[("board-7", Some(true), false)])));
    says_hello_from(&mut bench, 1, "board-7", false, 0, 10);
    assert!(is_welcomed(&mut bench));
    bench.readings(1, 0..10);
    assert_eq!(bench.core.counters.readings_received, 10);
    assert!(pending(&bench).is_empty());
}

#[test]
fn a_device_that_is_forbidden_or_gets_a_key_while_it_is_connected_is_heard_no_more() {
    for list in [permits(&[("board-7", Some(false), false)]), permits(&[("board-7", Some(true), true)])] {
        let mut bench = bench(Admit::Any, &[]);
        bench.link_up();
        opened(&mut bench, 1, "10.0.0.1");
        opened(&mut bench, 2, "10.0.0.2");
        says_hello(&mut bench, 1, "board-7", false);
        says_hello(&mut bench, 2, "board-8", false);
        assert!(is_welcomed(&mut bench));
        bench.event(Event::Permits(list));
        bench.readings(1, 0..5);
        assert_eq!(bench.core.counters.readings_received, 0);
        assert!(matches!(bench.frames.as_slice(), [(LinkId(1), Down::Identify)]), "{:?}", bench.frames);
        says_hello(&mut bench, 1, "board-7", false);
        assert!(!is_welcomed(&mut bench));
        bench.readings(2, 0..5);
        assert_eq!(bench.core.counters.readings_received, 5, "the other board goes on");
    }
}

#[test]
fn a_board_in_clear_does_not_take_the_place_of_the_one_with_the_key() {
    let mut bench = bench(Admit::Any, &[("board-7", Some(true), true)]);
    bench.link_up();
    opened(&mut bench, 1, "10.0.0.1");
    opened(&mut bench, 2, "10.0.0.66");
    says_hello(&mut bench, 1, "board-7", true);
    assert!(is_welcomed(&mut bench));
    says_hello_from(&mut bench, 2, "board-7", false, 90, 100);
    assert!(!is_welcomed(&mut bench));
    bench.readings(2, 0..3);
    assert_eq!(bench.core.counters.readings_received, 0);
    bench.readings(1, 0..3);
    assert_eq!(bench.core.counters.readings_received, 3);
    assert_eq!(bench.held, [(device("board-7"), Held::InClear)]);
    assert_eq!(bench.core.view(bench.now.at).devices[0].floor, 0, "and moved nothing of it");
}

#[test]
fn a_flood_of_names_costs_no_more_than_its_own_places() {
    let mut bench = bench(Admit::None, &[]);
    opened(&mut bench, 1, "10.0.0.1");
    opened(&mut bench, 2, "10.0.0.66");
    says_hello(&mut bench, 1, "honest", false);
    for name in 0..1_000 {
        bench.pass_ms(1);
        says_hello(&mut bench, 2, &format!("made-up-{name}"), false);
        assert!(pending(&bench).contains(&"honest".to_owned()), "{name}");
    }
    assert_eq!(pending(&bench).len(), MAX_PENDING);
    // Another honest board, behind the flooder's own address: it is there when it asks.
    says_hello(&mut bench, 2, "neighbour", false);
    assert!(pending(&bench).contains(&"neighbour".to_owned()));
    // One that went away is forgotten.
    bench.pass_ms(25 * 3_600_000);
    says_hello(&mut bench, 1, "honest", false);
    assert_eq!(pending(&bench), ["honest"]);
}

#[test]
fn a_call_that_comes_to_nothing_is_listed_with_why() {
    let mut bench = bench(Admit::Any, &[("board-7", Some(true), true), ("board-9", Some(false), true)]);
    opened(&mut bench, 1, "10.0.0.1");
    let called = |name: &str, held| BoardFrame::Called { device: device(name), held };
    let frames = vec![
        called("board-7", Held::KeyUnproved),
        called("board-8", Held::KeyUnknown),
        called("board-9", Held::KeyUnproved),
    ];
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames });
    assert_eq!(pending(&bench), ["board-7", "board-8"], "a forbidden one is counted only");
    assert_eq!(bench.core.counters.hellos_held["forbidden"], 1);
    says_hello(&mut bench, 1, "board-7", true);
    assert_eq!(pending(&bench), ["board-8"], "it proved its key after all");
}
