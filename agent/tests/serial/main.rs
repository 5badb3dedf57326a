//! Boards on serial lines, through pseudo-terminals: found by name, welcomed, read, given up and taken again. A folder of
//! links stands for /dev/serial/by-id.

mod board;
mod damage;
mod gateway;
mod looking;
mod plugging;

use board::Board;
use gateway::{Gateway, Names};

#[tokio::test]
async fn a_board_on_a_serial_line_is_welcomed_and_acknowledged() {
    let mut board = Board::new("on-a-wire");
    let source = format!("path = \"{}\"", board.path().display());
    let gateway = Gateway::start(Names::new(), &[&source]).await;
    gateway.status_when(|status| status["serial"]["lines"][0]["open"] == true).await;
    // Noise before the first frame, as of a board that resets.
    board.raw(&[0x55, 0xff, 0x13, 0]).await;
    board.hello(0).await;
    board.deliver(20).await;
    board.deliver(40).await;
    let view = gateway.drain().await;
    assert_eq!((view.queue.readings, view.counters.readings_received), (40, 40));
    assert_eq!(view.counters.bad_frames.values().sum::<u64>(), 1, "the noise is counted");
}
