//! Boards that come and go, under one name or several.

use serde_json::Value;
use tokio_serial::SerialPortBuilderExt;

use crate::{
    board::Board,
    gateway::{Gateway, Names},
};

const PATTERN: &str = "pattern = \"BY-ID/usb-board-*\"";

fn names(status: &Value) -> Vec<String> {
    let lines = status["serial"]["lines"].as_array().expect("lines");
    let last = |path: &Value| path.as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
    lines.iter().filter_map(|line| last(&line["path"])).collect()
}

#[tokio::test]
async fn all_boards_whose_names_fit_are_served_at_once() {
    let gateway = Gateway::start(Names::new(), &[PATTERN]).await;
    // The folder of names is not there while no board is.
    let told = gateway.status_when(|status| status["serial"]["lines"][0]["open"] == false).await;
    let nothing = &told["serial"]["lines"][0];
    assert!(
        nothing["entry"].as_str().is_some_and(|entry| entry.ends_with("by-id/usb-board-*\"")),
        "{nothing}"
    );
    assert!(nothing["problem"].as_str().is_some_and(|why| why.contains("nothing is there")), "{nothing}");
    let (mut a, mut b, mut c) = (Board::new("a"), Board::new("b"), Board::new("c"));
    let stranger = Board::new("stranger");
    gateway.plug("usb-board-a", &a);
    gateway.plug("usb-board-b", &b);
    gateway.plug("usb-board-c", &c);
    gateway.plug("usb-modem", &stranger);
    let serve = async |name: &str, board: &mut Board| {
        gateway.open(name, board).await;
        board.hello(0).await;
        board.deliver(20).await;
        board.deliver(40).await;
    };
    tokio::join!(serve("usb-board-a", &mut a), serve("usb-board-b", &mut b), serve("usb-board-c", &mut c));
    let status = gateway.status().await;
    assert_eq!(names(&status), ["usb-board-a", "usb-board-b", "usb-board-c"], "and not the modem");
    let line = &status["serial"]["lines"][1];
    assert_eq!((&line["open"], &line["device"]), (&true.into(), &b.path().display().to_string().into()));
    assert_eq!(
        (&line["frames"], &line["bad_frames"], &line["problem"]),
        (&3.into(), &0.into(), &Value::Null)
    );
    let metrics = gateway.get("/metrics").await;
    assert!(metrics.contains("tidegate_agent_serial_lines_open 3\n"), "{metrics}");
    assert!(metrics.contains("tidegate_agent_serial_uart_errors_total{kind=\"framing\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("usb-board"), "no metric carries a path");
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.readings_received), (120, 120));
}

#[tokio::test]
async fn a_board_that_is_plugged_in_again_goes_on_where_it_was() {
    let gateway = Gateway::start(Names::new(), &[PATTERN]).await;
    let (mut board, mut other) = (Board::new("a"), Board::new("b"));
    gateway.plug("usb-board-a", &board);
    gateway.plug("usb-board-b", &other);
    gateway.open("usb-board-a", &board).await;
    gateway.open("usb-board-b", &other).await;
    board.hello(0).await;
    other.hello(0).await;
    board.deliver(20).await;
    let before = gateway.open("usb-board-a", &board).await;
    // Pulled out while a frame is on its way: what of it arrived nobody knows.
    let frame = board.readings(20..30);
    board.raw(&frame[..frame.len() / 2]).await;
    gateway.unplug("usb-board-a");
    board.replug();
    let gone = gateway.line_when("usb-board-a", |line| line["problem"] == "it is unplugged").await;
    assert_eq!(gone["open"], false);
    other.deliver(20).await;
    gateway.plug("usb-board-a", &board);
    gateway.open("usb-board-a", &board).await;
    board.hello(40).await;
    board.deliver(40).await;
    other.deliver(40).await;
    let after = gateway.open("usb-board-a", &board).await;
    assert_ne!(before["device"], after["device"]);
    assert_eq!((&before["frames"], &after["frames"]), (&2.into(), &4.into()), "counts go on");
    let serial = &gateway.status().await["serial"];
    assert_eq!(
        (&serial["opened"], &serial["broken"]),
        (&3.into(), &1.into()),
        "the other stayed open: {serial}"
    );
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.readings_duplicate), (80, 0));
    assert!(view.counters.losses.is_empty(), "{:?}", view.counters.losses);
}

#[tokio::test]
async fn a_line_that_only_its_name_left_is_given_up() {
    let gateway = Gateway::start(Names::new(), &[PATTERN]).await;
    let (mut old, mut new) = (Board::new("a"), Board::new("b"));
    gateway.plug("usb-board-1", &old);
    gateway.open("usb-board-1", &old).await;
    old.hello(0).await;
    old.deliver(20).await;
    // The name leads to another board now, and the old line has not hung up.
    gateway.unplug("usb-board-1");
    gateway.plug("usb-board-1", &new);
    gateway.open("usb-board-1", &new).await;
    new.hello(0).await;
    new.deliver(20).await;
    let status = gateway.status().await;
    let connected = |device: &Value| device["device"] == "a" && device["connected"] == false;
    assert!(status["devices"].as_array().unwrap().iter().any(connected), "{}", status["devices"]);
    assert_eq!(names(&status), ["usb-board-1"]);
    assert_eq!(gateway.drain().await.queue.readings, 40);
}

#[tokio::test]
async fn a_line_with_several_names_is_opened_once() {
    let mut board = Board::new("a");
    let by_path = format!("path = \"{}\"\nbaud = 9600", board.path().display());
    let sources = [PATTERN, "pattern = \"BY-ID/usb-*\"", by_path.as_str()];
    let names_there = Names::new();
    names_there.plug("usb-board-a", &board);
    names_there.plug("usb-board-a-too", &board);
    let gateway = Gateway::start(names_there, &sources).await;
    gateway.status_when(|status| status["serial"]["lines"][0]["open"] == true).await;
    board.hello(0).await;
    board.deliver(20).await;
    // When this one is served, all names were looked at again.
    let mut later = Board::new("b");
    gateway.plug("usb-board-b", &later);
    gateway.open("usb-board-b", &later).await;
    later.hello(0).await;
    later.deliver(20).await;
    let serial = &gateway.status().await["serial"];
    let lines = serial["lines"].as_array().unwrap();
    let device = |board: &Board| Value::from(board.path().display().to_string());
    let mine: Vec<_> = lines.iter().filter(|line| line["device"] == device(&board)).collect();
    assert_eq!((mine.len(), &mine[0]["baud"]), (1, &9_600.into()), "a path goes before a pattern: {serial}");
    assert_eq!((&mine[0]["path"], &serial["opened"]), (&device(&board), &2.into()));
    assert_eq!(gateway.drain().await.queue.readings, 40);
}

#[tokio::test]
async fn a_name_that_comes_later_does_not_disturb_the_line() {
    let gateway = Gateway::start(Names::new(), &[PATTERN]).await;
    let (mut board, other) = (Board::new("a"), Board::new("b"));
    gateway.plug("usb-board-b", &board);
    gateway.open("usb-board-b", &board).await;
    board.hello(0).await;
    board.deliver(20).await;
    // Before the first in order; the other board shows when it was seen.
    gateway.plug("usb-board-a", &board);
    gateway.plug("usb-board-c", &other);
    gateway.open("usb-board-c", &other).await;
    board.deliver(40).await;
    let status = gateway.status().await;
    assert_eq!((&status["serial"]["opened"], names(&status).len()), (&2.into(), 2), "{}", status["serial"]);
    // The first name goes, and the line goes on under the second.
    gateway.unplug("usb-board-b");
    gateway.open("usb-board-a", &board).await;
    board.hello(60).await;
    board.deliver(60).await;
    assert_eq!(gateway.drain().await.queue.readings, 60);
}

#[tokio::test]
async fn a_line_that_another_program_has_is_told_and_taken_when_it_is_free() {
    let mut board = Board::new("a");
    let path = board.path().display().to_string();
    let other = tokio_serial::new(&path, 9_600).open_native_async().expect("it is free");
    let names_there = Names::new();
    names_there.plug("usb-board-a", &board);
    let gateway = Gateway::start(names_there, &[PATTERN]).await;
    let line = gateway.line_when("usb-board-a", |line| line["problem"].is_string()).await;
    let problem = line["problem"].as_str().unwrap();
    assert!(
        problem.starts_with("another program has it open") && problem.contains("usb-board-a"),
        "{problem}"
    );
    drop(other);
    assert_eq!(gateway.open("usb-board-a", &board).await["problem"], Value::Null);
    board.hello(0).await;
    board.deliver(20).await;
    let shared = tokio_serial::new(&path, 9_600).exclusive(false).open_native_async();
    assert!(shared.is_err(), "the agent has it for itself");
    assert_eq!(gateway.drain().await.queue.readings, 20);
}
