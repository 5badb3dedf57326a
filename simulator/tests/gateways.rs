//! A thousand agents that come back together, and a live reading on a slow link: real cores, virtual time.

use tidegate_agent::core::LaneCaps;
use tidegate_simulator::gateways::{Report, Scenario, run};

fn slow_link() -> Scenario {
    Scenario {
        seed: 20_261_122,
        gateways: 1,
        backlog_blocks: 400,
        block_readings: 1_000,
        link_bytes_per_s: 8_000,
        round_trip_ms: 100,
        caps: LaneCaps::default(),
        ingest_bytes_per_s: 100_000_000,
        commit_ms: 5,
        credit_total_bytes: 8 << 20,
        live_interval_ms: 300,
        outage_ms: None,
        reconnect_max_ms: 5_000,
        measure_ms: 90_000,
    }
}

fn told(report: &Report, waits: &[u64]) -> String {
    let of = |share| Report::wait_ms(waits, share);
    format!(
        "{} live readings waited p50 {} ms, p99 {} ms, at most {} ms; largest block {} B, at most {} B unacknowledged, \
         drained after {} ms, {} blocks sent, {} again",
        waits.len(),
        of(0.5),
        of(0.99),
        of(1.0),
        report.largest_block_bytes,
        report.unacknowledged_most_bytes,
        report.drained_ms,
        report.blocks_sent,
        report.blocks_resent,
    )
}

#[test]
fn on_a_64_kbit_link_live_waits_about_250_ms_of_link_time_and_the_round_trip() {
    let scenario = slow_link();
    let report = run(&scenario);
    let waits = &report.waits_beside_backlog_ms;
    println!("{}", told(&report, waits));
    assert!(waits.len() > 200, "{}: no backlog was draining", waits.len());
    assert_eq!(report.readings_stored, report.readings_measured);
    // A block that has begun to leave is not interrupted, and no smaller thing than a block can leave.
    let block_ms = (report.largest_block_bytes + 128) * 1_000 / scenario.link_bytes_per_s;
    let bound_ms = block_ms.max(250) + scenario.round_trip_ms + 50;
    assert!(Report::wait_ms(waits, 0.99) <= bound_ms, "{bound_ms} ms: {}", told(&report, waits));
    assert!(Report::wait_ms(waits, 1.0) <= bound_ms + 250, "{bound_ms} ms: {}", told(&report, waits));
}

#[test]
fn a_thousand_agents_that_come_back_together_do_not_flood_the_ingest() {
    let gateways = 1_000;
    let scenario = Scenario {
        gateways,
        backlog_blocks: 16,
        block_readings: 500,
        link_bytes_per_s: 1_000_000,
        round_trip_ms: 40,
        ingest_bytes_per_s: 2_000_000,
        credit_total_bytes: 2 << 20,
        live_interval_ms: 2_000,
        outage_ms: Some((1_000, 20_000)),
        measure_ms: 45_000,
        ..slow_link()
    };
    let report = run(&scenario);
    println!("{}", told(&report, &report.live_waits_ms));
    assert_eq!(report.readings_stored, report.readings_measured, "all of it, once");
    // Each may have one block of backlog and one live block beyond its share, however small that is.
    let beyond = gateways as u64 * (report.largest_block_bytes + 1_024);
    let bound = u64::from(scenario.credit_total_bytes) + beyond;
    assert!(report.unacknowledged_most_bytes <= bound, "{bound}: {}", told(&report, &report.live_waits_ms));
    // They come back spread over the longest pause.
    let came: u32 = report.connections.values().sum();
    let most = report.connections.values().max().copied().unwrap_or_default();
    assert_eq!(came, gateways as u32);
    assert!(most <= 3 * came / 50, "{most} in a tenth of a second of five: {:?}", report.connections);
    // What is live goes through the pipe behind no more than the bound.
    let pipe_ms = bound * 1_000 / scenario.ingest_bytes_per_s;
    let bound_ms = pipe_ms + scenario.round_trip_ms + 50 + scenario.commit_ms;
    assert!(
        report.live_waits_ms.last().is_some_and(|most| *most <= bound_ms),
        "{bound_ms} ms: {}",
        told(&report, &report.live_waits_ms)
    );
}
