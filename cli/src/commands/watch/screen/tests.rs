//! Keys and events in, a picture out.

use ratatui::{Terminal, backend::TestBackend, style::Modifier};
use serde_json::{Value, json};

use super::{
    draw::draw,
    model::{Connection, Happening, Key, Mode, Model, Typed, Wish},
};
use crate::{
    commands::alarms::filter::Filter,
    view::{Alarm, AlarmEvent},
};

fn life(state: &str, id: &str) -> Value {
    json!({
        "active": state != "rtn-unacknowledged", "acknowledged": !state.ends_with("unacknowledged"),
        "latched": false, "latching": false,
        "shelved_until_unix_ms": (state == "shelved").then_some(1_800_000_000_000_i64),
        "suppressed_by_design": false, "out_of_service": state == "out-of-service",
        "latest": { "occurrence": id, "transition": id },
    })
}

fn event(transition: &str, device: &str, priority: &str, state: &str, id: &str) -> Value {
    let operator = json!({ "by": "eva", "comment": "on it", "until_unix_ms": null });
    json!({
        "id": id, "transition": transition, "occurrence": "0f", "site": "plant", "device": device, "channel": "t",
        "unit": "Cel", "rule": "too-hot", "priority": priority, "seq": 1, "tick_ms": 5, "time_unix_ms": 1_000,
        "value": 93.5, "message": format!("{device} says {transition}"), "state": state, "lifecycle": life(state, id),
        "operator": (!matches!(transition, "raise" | "clear")).then_some(operator),
    })
}

fn alarm(device: &str, priority: &str, state: &str) -> Alarm {
    let id = format!("{device}-raised");
    serde_json::from_value(json!({
        "occurrence": "0f", "site": "plant", "device": device, "channel": "t", "rule": "too-hot",
        "priority": priority, "state": state, "lifecycle": life(state, &id),
        "raised": event("raise", device, priority, state, &id), "cleared": null, "done": null,
    }))
    .expect("an alarm")
}

fn happened(transition: &str, device: &str, priority: &str, state: &str, id: &str) -> Happening {
    let event: AlarmEvent =
        serde_json::from_value(event(transition, device, priority, state, id)).expect("an event");
    Happening::Event(Box::new(event))
}

fn started(alarms: Vec<Alarm>) -> Model {
    let mut model = Model::new(Filter::default(), Some("eva".to_owned()), false);
    assert_eq!(model.handle(Happening::Connected), None);
    assert_eq!(model.handle(Happening::Standing(alarms)), None);
    model
}

fn press(model: &mut Model, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for c in keys.chars() {
        wish = model.handle(Happening::Key(match c {
            '\n' => Key::Enter,
            '\x1b' => Key::Escape,
            '\x08' => Key::Backspace,
            other => Key::Char(other),
        }));
    }
    wish
}

fn devices(model: &Model) -> Vec<&str> {
    model.shown().into_iter().map(|alarm| alarm.device.as_str()).collect()
}

fn picture(model: &Model) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(110, 20)).expect("a terminal");
    terminal.draw(|frame| draw(frame, model, "http://ingest")).expect("it draws");
    terminal
}

fn text(model: &Model) -> Vec<String> {
    let terminal = picture(model);
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn what_waits_for_somebody_is_above_and_the_selected_one_in_full_below() {
    let mut model = started(vec![
        alarm("a", "low", "unacknowledged"),
        alarm("b", "critical", "acknowledged"),
        alarm("c", "critical", "shelved"),
        alarm("d", "high", "rtn-unacknowledged"),
    ]);
    assert_eq!(devices(&model), ["d", "a", "b", "c"]);
    model.handle(Happening::Key(Key::Down));
    let lines = text(&model);
    assert_eq!(lines[0], "Tidegate alarms  2 to acknowledge, 1 suppressed  live  http://ingest");
    assert!(lines[2].starts_with("PRIORITY STATE"), "{lines:#?}");
    assert!(lines[4].starts_with("low      unacknowledged         plant/a t"), "{lines:#?}");
    assert!(lines[4].contains("too-hot") && lines[4].contains("93.5 Cel"), "{lines:#?}");
    assert_eq!(lines[11], "plant/a/t/too-hot  unacknowledged, low");
    assert!(
        lines[12].starts_with("raised      1970-01-01") && lines[12].ends_with("a says raise"),
        "{lines:#?}"
    );
    assert!(lines[19].starts_with("↑↓ select  a acknowledge"), "{lines:#?}");
    let terminal = picture(&model);
    let reversed = |row| terminal.backend().buffer()[(0, row)].modifier.contains(Modifier::REVERSED);
    assert_eq!([3, 4, 5].map(reversed), [false, true, false], "the selected line");
    assert!(terminal.backend().buffer()[(0, 6)].modifier.contains(Modifier::DIM), "the shelved one");
}

#[test]
fn events_move_alarms_and_the_selection_stays_with_its_alarm() {
    let mut model = started(vec![alarm("a", "low", "unacknowledged"), alarm("b", "low", "unacknowledged")]);
    model.handle(Happening::Key(Key::End));
    assert_eq!(model.selected().map(|alarm| alarm.device.as_str()), Some("b"));
    model.handle(happened("raise", "c", "critical", "unacknowledged", "c1"));
    assert_eq!(devices(&model), ["c", "a", "b"]);
    assert_eq!(model.selected().map(|alarm| alarm.device.as_str()), Some("b"));
    model.handle(happened("acknowledge", "c", "critical", "acknowledged", "c2"));
    assert_eq!(devices(&model), ["a", "b", "c"]);
    model.handle(happened("acknowledge", "b", "low", "normal", "b2"));
    assert_eq!(devices(&model), ["a", "c"]);
    assert_eq!(model.selected().map(|alarm| alarm.device.as_str()), Some("c"), "the next takes its place");
    let lines = text(&model);
    assert!(lines.iter().any(|line| line.starts_with("last done") && line.contains("says acknowledge")));
    model.handle(happened("clear", "c", "critical", "normal", "c3"));
    model.handle(happened("clear", "a", "low", "rtn-unacknowledged", "a2"));
    assert_eq!(devices(&model), ["a"]);
    assert!(text(&model).iter().any(|line| line.starts_with("low      rtn-unacknowledged")));
}

#[test]
fn what_was_loaded_with_an_event_is_not_undone_by_it() {
    let mut model = started(vec![alarm("a", "low", "acknowledged")]);
    // The list was asked for after the stream stood: the raise comes by the stream as well.
    model.handle(happened("raise", "a", "low", "unacknowledged", "a-raised"));
    assert_eq!(model.selected().map(|alarm| alarm.state.as_str()), Some("acknowledged"));
    let mut late = event("raise", "z", "low", "unacknowledged", "z1");
    late["late"] = true.into();
    let mut stateless = event("comment", "y", "low", "normal", "y1");
    stateless["state"] = Value::Null;
    for passed_over in [late, stateless] {
        let event = serde_json::from_value(passed_over).expect("an event");
        model.handle(Happening::Event(Box::new(event)));
    }
    assert_eq!(devices(&model), ["a"]);
}

#[test]
fn keys_become_orders_for_the_selected_alarm() {
    let mut model = started(vec![alarm("a", "low", "unacknowledged"), alarm("b", "low", "unacknowledged")]);
    let order = |device: &str, action: &str, order: Value| {
        Some(Wish::Order {
            alarm: format!("plant/{device}/t/too-hot"),
            path: format!("/api/v1/alarms/plant/{device}/t/too-hot/{action}"),
            order,
        })
    };
    let seen = json!({ "occurrence": "b-raised", "transition": "b-raised", "operator": "eva" });
    assert_eq!(press(&mut model, "ja"), order("b", "acknowledge", seen));
    let two_hours = json!({ "for_ms": 7_200_000, "operator": "eva" });
    assert_eq!(press(&mut model, "s\x08\x082h\n"), order("b", "shelve", two_hours));
    let comment = json!({ "comment": "q? seen", "operator": "eva" });
    assert_eq!(press(&mut model, "cq? seen\n"), order("b", "comment", comment), "typed, q leaves nothing");
    assert_eq!(press(&mut model, "ku"), order("a", "unshelve", json!({ "operator": "eva" })));
    assert_eq!(press(&mut model, "r"), order("a", "reset", json!({ "operator": "eva" })));
    assert_eq!(press(&mut model, "c\n"), None, "nothing was said");
    assert_eq!(press(&mut model, "cabc\x1b"), None);
    assert_eq!(press(&mut model, "q"), Some(Wish::Quit));
    assert_eq!(model.handle(Happening::Key(Key::Interrupt)), Some(Wish::Quit));
}

#[test]
fn a_wrong_shelf_time_is_said_and_can_be_put_right() {
    let mut model = started(vec![alarm("a", "low", "unacknowledged")]);
    assert_eq!(press(&mut model, "sx\n"), None);
    assert_eq!(model.mode, Mode::Typing { what: Typed::ShelfTime, text: "1hx".to_owned() });
    let last = text(&model).pop().expect("a line");
    assert!(last.starts_with("Shelve for how long? 1hx   write a number and a unit"), "{last}");
    assert!(matches!(press(&mut model, "\x08\n"), Some(Wish::Order { .. })));
}

#[test]
fn without_a_name_nothing_is_done_and_the_screen_says_what_is_missing() {
    let mut model = Model::new(Filter::default(), None, false);
    model.handle(Happening::Standing(vec![alarm("a", "low", "unacknowledged")]));
    for keys in ["a", "u", "r", "s", "c"] {
        assert_eq!(press(&mut model, keys), None);
        assert_eq!(model.mode, Mode::List);
        assert_eq!(
            text(&model).pop().as_deref(),
            Some("start it with --as NAME or a token to act on alarms")
        );
    }
}

#[test]
fn the_filter_narrows_while_it_is_typed_and_escape_shows_all() {
    let mut model =
        started(vec![alarm("pump", "low", "unacknowledged"), alarm("valve", "high", "unacknowledged")]);
    press(&mut model, "fLOW pu");
    assert_eq!(devices(&model), ["pump"]);
    press(&mut model, "\n");
    assert!(text(&model)[0].ends_with("live  filter: LOW pu  http://ingest"));
    press(&mut model, "fx\n");
    assert!(text(&model).iter().any(|line| line.starts_with("No alarm has these words")));
    press(&mut model, "\x1b");
    assert_eq!(devices(&model), ["valve", "pump"]);
}

#[test]
fn the_connection_and_what_came_of_orders_are_shown() {
    let mut model = Model::new(Filter::default(), Some("eva".to_owned()), false);
    assert!(text(&model)[0].contains("  connecting …"));
    model.handle(Happening::Connected);
    model.handle(Happening::Standing(Vec::new()));
    assert_eq!(model.connection, Connection::Live);
    assert!(text(&model).iter().any(|line| line == "Every alarm is normal."));
    model.handle(Happening::Broken("the connection was lost".to_owned()));
    assert!(text(&model)[0].contains("  no connection (the connection was lost); trying again"));
    model.handle(Happening::Done(Err("plant/a: Conflict: it moved on".to_owned())));
    assert_eq!(text(&model).pop().as_deref(), Some("plant/a: Conflict: it moved on"));
    press(&mut model, "?");
    assert!(text(&model).iter().any(|line| line.contains("say something about it")));
    press(&mut model, "q");
    assert_eq!(model.mode, Mode::List, "any key leads back, and no further");
}

#[test]
fn a_small_terminal_is_drawn_on_too() {
    let mut model = started(vec![alarm("a", "low", "unacknowledged")]);
    press(&mut model, "?");
    for (width, height) in [(1, 1), (20, 5), (200, 3)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let drawn = terminal.draw(|frame| draw(frame, &model, "http://ingest")).expect("it draws");
        assert_eq!((drawn.area.width, drawn.area.height), (width, height));
    }
}
