//! A board whose gateway is away for too long gives up its oldest readings, says which, and the audit explains every
//! reading that is not stored.

use tidegate_protocol::DeviceId;
use tidegate_service::Shutdown;
use tidegate_simulator::{BoardPlan, VirtualBoard};
use tidegate_tests::{api::number, chain::Chain};

/// Some 400 readings.
const RING_BYTES: usize = 2 * 1_024;
const RATE: f64 = 500.0;
const LOST: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_ring_gave_up_is_declared_and_audited_to_the_reading() {
    let mut chain = Chain::new("");
    chain.start();
    let device = DeviceId::new("board-1").expect("a slug");
    let plan = BoardPlan { ring_bytes: RING_BYTES, ..BoardPlan::typical(device, 1, 1, RATE) };
    let board =
        VirtualBoard::spawn(plan, chain.board_link(), Shutdown::new()).expect("a board from a good plan");
    board.wait_until(|status| status.acknowledged > 100).await;

    chain.agent.kill();
    let before = board.wait_until(|status| !status.welcomed).await.lost;
    board.wait_until(|status| status.lost > before + LOST).await;
    chain.agent.start();
    // The acknowledgements go past the hole, so the ring empties although it was full.
    let status = board.finish().await;
    assert_eq!(status.settled, status.measured);
    assert!(status.lost > LOST);

    let audit = chain
        .api()
        .get_when("a complete audit", "/api/v1/audit?device=board-1", |audit| {
            audit["complete"] == true
                && audit.pointer("/totals/measured").and_then(|n| n.as_u64()) == Some(status.measured)
        })
        .await;
    let (stored, lost) = (number(&audit, "/totals/stored"), number(&audit, "/totals/lost"));
    assert_eq!(number(&audit, "/totals/outstanding"), 0, "{audit}");
    assert_eq!(stored + lost, status.measured, "{audit}");
    // What the board gave up may have reached the cloud before, unknown to the board.
    assert!(lost <= status.lost && stored >= status.acknowledged, "{status:?} {audit}");
    let reasons = &audit["origins"][0]["lost"];
    assert_eq!(number(reasons, "/ring-overflow"), lost, "{audit}");
}
