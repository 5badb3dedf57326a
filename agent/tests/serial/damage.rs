//! What lines do to bytes, and boards that do not listen.

use rustix::{
    fs::{Mode, OFlags, open},
    termios::{Action, tcflow},
};

use crate::{
    board::Board,
    gateway::{Gateway, Names},
};

const PATTERN: &str = "pattern = \"BY-ID/usb-*\"";

async fn plugged(board: &Board) -> Gateway {
    let names = Names::new();
    names.plug("usb-a", board);
    let gateway = Gateway::start(names, &[PATTERN]).await;
    gateway.open("usb-a", board).await;
    gateway
}

/// Bytes that a UART makes of others at another baud rate: any, and zeros among them.
fn noise(len: usize) -> Vec<u8> {
    (1..=len).map(|at| if at % 50 == 0 { 0 } else { (at * 37 % 251 + 1) as u8 }).collect()
}

#[tokio::test]
async fn noise_and_half_frames_are_counted_and_what_follows_is_read() {
    let mut board = Board::new("a");
    let gateway = plugged(&board).await;
    board.hello(0).await;
    board.deliver(20).await;
    board.raw(&noise(500)).await;
    let frame = board.readings(20..40);
    // A board that was reset in the middle of a frame, and says its first again.
    board.raw(&frame[..frame.len() / 2]).await;
    board.raw(&[0]).await;
    board.deliver(40).await;
    let line = gateway.open("usb-a", &board).await;
    assert_eq!((&line["frames"], &line["bad_frames"]), (&3.into(), &11.into()), "{line}");
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.readings_duplicate), (40, 0));
    assert_eq!(view.counters.bad_frames.values().sum::<u64>(), 11);
}

#[tokio::test]
async fn bytes_lost_in_an_overrun_cost_a_repeat_and_no_reading() {
    let mut board = Board::new("a");
    let gateway = plugged(&board).await;
    board.hello(0).await;
    board.deliver(20).await;
    let mut torn = board.readings(20..40);
    torn.drain(10..14);
    // The end of one frame and the beginning of the next are lost, too: two frames become one.
    let (end, beginning) = (board.readings(40..50), board.readings(50..60));
    let joined = [&end[..end.len() - 3], &beginning[3..]].concat();
    let whole = board.readings(60..80);
    board.raw(&[torn, joined, whole].concat()).await;
    let all_came = |status: &serde_json::Value| status["queue"]["readings"] == 40;
    gateway.status_when(all_came).await;
    // Nothing above the hole is acknowledged, so the board says it again.
    board.deliver(40).await;
    board.deliver(80).await;
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.readings_duplicate), (80, 20));
    assert_eq!(view.counters.bad_frames.values().sum::<u64>(), 2);
    assert!(view.counters.losses.is_empty(), "{:?}", view.counters.losses);
}

#[tokio::test]
async fn bytes_that_never_make_a_frame_ask_for_the_baud_rate() {
    let mut board = Board::new("a");
    let gateway = plugged(&board).await;
    board.raw(&noise(500)).await;
    let asked =
        |line: &serde_json::Value| line["problem"].as_str().is_some_and(|why| why.contains("no frame in"));
    let line = gateway.line_when("usb-a", asked).await;
    let problem = line["problem"].as_str().unwrap();
    assert!(problem.starts_with("500 bytes and no frame in 1") && line["open"] == true, "{problem}");
    assert!(problem.ends_with("s at 115200 baud: is the baud rate right?"), "{problem}");
    board.hello(0).await;
    board.deliver(20).await;
    gateway.line_when("usb-a", |line| line["problem"].is_null()).await;
    assert_eq!(gateway.drain().await.queue.readings, 20);
}

#[tokio::test]
async fn a_board_that_takes_nothing_holds_nobody_back() {
    let (mut deaf, mut other) = (Board::new("deaf"), Board::new("b"));
    let wire = open(deaf.path(), OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let gateway = plugged(&deaf).await;
    deaf.hello(0).await;
    // From here on, what the agent writes stays in its way, as with a full buffer.
    tcflow(&wire, Action::OOff).unwrap();
    let frame = deaf.readings(0..20);
    deaf.raw(&frame).await;
    gateway.plug("usb-b", &other);
    gateway.open("usb-b", &other).await;
    other.hello(0).await;
    other.deliver(20).await;
    other.deliver(40).await;
    // What it says is taken all the same.
    gateway.status_when(|status| status["queue"]["readings"] == 60).await;
    // The link ends, and the line stays: it is for the board to listen again.
    let deaf_is_off = |status: &serde_json::Value| {
        let devices = status["devices"].as_array().into_iter().flatten();
        devices.into_iter().any(|device| device["device"] == "deaf" && device["connected"] == false)
    };
    gateway.status_when(deaf_is_off).await;
    tcflow(&wire, Action::OOn).unwrap();
    deaf.hello(20).await;
    deaf.deliver(40).await;
    let serial = &gateway.status().await["serial"];
    assert_eq!((&serial["opened"], &serial["broken"]), (&2.into(), &0.into()), "{serial}");
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.losses.len()), (100, 0));
    assert_eq!(
        view.counters.readings_again, 20,
        "safe before, and the board says them anew: the cloud compares them"
    );
}
