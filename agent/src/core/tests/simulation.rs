//! Seeds: whatever goes wrong, nothing is lost without a record and nothing is stored twice. A failing seed is named;
//! replay it with `TIDEGATE_SEED=<seed> cargo test -p tidegate-agent --lib simulation`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::LossReason;

use super::{
    bench::settings,
    world::{Weather, World},
};
use crate::core::{CoreSettings, Policy};

/// Virtual time in which things go wrong.
const TROUBLE_MS: u64 = 40_000;

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

/// Probabilities are per step of ten milliseconds: 0.002 is every five seconds.
fn stormy(seed: u64) -> Weather {
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    let mut up_to = |most: f64| if rng.random_bool(0.7) { rng.random_range(0.0..most) } else { 0.0 };
    Weather {
        frame_loss: up_to(0.3),
        publish_loss: up_to(0.3),
        ack_loss: up_to(0.5),
        uplink_cut: up_to(0.003),
        agent_kill: up_to(0.002),
        ingest_kill: up_to(0.002),
        board_reset: up_to(0.0005),
        board_unplug: up_to(0.002),
        commit_failure: up_to(0.2),
        ..Weather::default()
    }
}

fn run(seed: u64, settings: CoreSettings, weather: Weather, allowed: &[LossReason]) -> World {
    let mut world = World::new(seed, settings, weather);
    while world.now_ms() < TROUBLE_MS {
        world.step(true);
    }
    world.heal();
    world.check(allowed);
    world
}

#[test]
fn nothing_is_lost_and_nothing_doubled_whatever_goes_wrong() {
    let (mut kills, mut stored, mut duplicates) = (0, 0, 0);
    for seed in seeds(200) {
        let quick = CoreSettings { outage_flush_interval_ms: 3_000, ..settings() };
        let allowed = [LossReason::RingOverflow, LossReason::UncleanTail];
        let world = run(seed, quick, stormy(seed), &allowed);
        kills += world.kills;
        stored += world.cloud.ledger.values().map(|ledger| ledger.stored.len()).sum::<usize>();
        duplicates += world.cloud.duplicates;
    }
    if std::env::var("TIDEGATE_SEED").is_err() {
        assert!(
            kills > 200 && stored > 100_000 && duplicates > 1_000,
            "{kills} {stored} {duplicates}: too calm"
        );
    }
}

/// Boards keep their boots here: an origin that was retired before the restore cannot be told of.
#[test]
fn a_restored_cloud_is_told_what_it_forgot_whatever_else_goes_wrong() {
    let (mut restores, mut rolled_back) = (0, 0);
    for seed in seeds(60) {
        let quick = CoreSettings { outage_flush_interval_ms: 3_000, ..settings() };
        let weather =
            Weather { ingest_backup: 0.001, ingest_restore: 0.0005, board_reset: 0.0, ..stormy(seed) };
        let allowed = [LossReason::RingOverflow, LossReason::UncleanTail, LossReason::RolledBack];
        let world = run(seed, quick, weather, &allowed);
        restores += world.cloud.rolled_back;
        let lost = world.cloud.ledger.values().filter_map(|ledger| ledger.lost.get(&LossReason::RolledBack));
        rolled_back += lost.map(tidegate_protocol::RangeSet::count).sum::<u64>();
    }
    if std::env::var("TIDEGATE_SEED").is_err() {
        assert!(restores > 60 && rolled_back > 1_000, "{restores} {rolled_back}: too calm");
    }
}

#[test]
fn at_a_small_quota_every_drop_is_declared() {
    for seed in seeds(60) {
        let policy = if seed % 2 == 0 { Policy::DropOldest } else { Policy::Refuse };
        let tight = CoreSettings {
            quota_bytes: 4 * 1024,
            ram_limit_bytes: 32 * 1024,
            outage_flush_interval_ms: 1_000,
            policy,
            ..settings()
        };
        let mut allowed = vec![LossReason::RingOverflow, LossReason::UncleanTail];
        if policy == Policy::DropOldest {
            allowed.push(LossReason::Evicted);
        }
        let mut weather = stormy(seed);
        weather.uplink_cut = 0.01;
        run(seed, tight, weather, &allowed);
    }
}

#[test]
fn what_is_thinned_is_declared_and_summed_up() {
    let (mut thinned, mut summaries) = (0, 0);
    for seed in seeds(60) {
        let tight = CoreSettings {
            quota_bytes: 4 * 1024,
            ram_limit_bytes: 32 * 1024,
            outage_flush_interval_ms: 1_000,
            policy: Policy::ThinOldest,
            ..settings()
        };
        let mut weather = stormy(seed);
        weather.uplink_cut = 0.01;
        let allowed = [LossReason::RingOverflow, LossReason::UncleanTail, LossReason::Thinned];
        let world = run(seed, tight, weather, &allowed);
        for ledger in world.cloud.ledger.values() {
            thinned += ledger.lost.get(&LossReason::Thinned).map_or(0, tidegate_protocol::RangeSet::count);
            summaries += ledger.summaries.len();
        }
    }
    if std::env::var("TIDEGATE_SEED").is_err() {
        assert!(thinned > 10_000 && summaries > 100, "{thinned} {summaries}: too calm");
    }
}

#[test]
fn in_fair_weather_nothing_is_lost_resent_or_written() {
    for seed in 0..5 {
        let world = run(seed, settings(), Weather::default(), &[LossReason::RingOverflow]);
        assert_eq!(world.cloud.duplicates, 0, "seed {seed}");
        assert_eq!(world.disk.totals.bytes, 0, "seed {seed}");
        assert_eq!(world.core.view(world.now.at).link.blocks_resent, 0, "seed {seed}");
    }
}
