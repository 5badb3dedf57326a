//! Power is cut at every byte that is written or erased. What was in flash by then arrives; what was acknowledged had arrived.

use super::bench::{Board, Flash, new_flash};
use crate::support::Gateway;
use tidegate_protocol::BootId;

/// Fills flash, drains it in part, fills it again, until the power goes. Returns whether it did, the flash, and below which seq all was
/// kept or acknowledged.
fn live(flash: Flash, boot: u64, gateway: &mut Gateway) -> (bool, Flash, u64) {
    let mut board = Board::power_up(flash, boot);
    let mut kept = 0;
    for round in 0..6 {
        for _ in 0..130 {
            board.measure(1);
            if board.keeper.failures() > 0 {
                return (true, board.power_off(), kept);
            }
            kept = kept.max(board.kept_end().0);
        }
        if round % 3 == 1 {
            board.connect(gateway);
            if let Some(acks) = gateway.commit() {
                board.node.receive(board.now(), &acks);
            }
            board.attend(Some(gateway));
            board.node.link_down();
            if board.keeper.failures() > 0 {
                return (true, board.power_off(), kept);
            }
            kept = kept.max(board.kept_end().0);
        }
    }
    (false, board.power_off(), kept)
}

fn cut_at(cut: u32) -> bool {
    let mut gateway = Gateway::default();
    let mut flash = new_flash();
    flash.bytes_until_shutoff = Some(cut);
    let (was_cut, mut flash, kept) = live(flash, 1, &mut gateway);
    flash.bytes_until_shutoff = None;
    let mut board = Board::power_up(flash, 2);
    board.measure(20);
    board.connect(&mut gateway);
    board.settle(&mut gateway);
    assert_eq!(board.keeper.failures(), 0, "cut at {cut}");
    let has = |boot: u64, seq: u64| gateway.readings.contains_key(&(BootId(boot), seq));
    let missing: Vec<u64> = (0..kept).filter(|seq| !has(1, *seq)).collect();
    assert!(missing.is_empty(), "cut at {cut}: kept up to {kept}, missing {missing:?}");
    assert!(gateway.losses.is_empty(), "cut at {cut}: {:?}", gateway.losses);
    assert!((0..20).all(|seq| has(2, seq)), "cut at {cut}");
    assert!(board.node.is_drained());
    was_cut
}

#[test]
fn wherever_power_is_cut_what_was_kept_arrives() {
    let step = if std::env::var_os("TIDEGATE_TEST_LONG").is_some() { 1 } else { 7 };
    let mut cuts = 0;
    for cut in (0..).step_by(step) {
        if !cut_at(cut) {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 500, "{cuts}");
}
