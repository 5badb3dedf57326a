//! The core over the real store and lake, on virtual time, with everything going wrong: blocks duplicated, reordered and
//! overlapping between gateways, commits that fail (with and without their effect), crashes that leave only what was
//! committed, rolls to the lake in between. Gateways send again until they are told `Durable`, as agents do.
//!
//! `TIDEGATE_SEEDS=1000 cargo test -p tidegate-ingest --test custody` runs more seeds than the default; a failure names its
//! seed, and `TIDEGATE_SEED=n` runs that one alone.

mod checks;
mod crashes;
mod fleet;
mod world;

use fleet::Fleet;
use world::World;

const SEEDS: u64 = 24;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TIDEGATE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TIDEGATE_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

#[test]
fn whatever_goes_wrong_every_reading_is_stored_once_and_history_is_that_of_order() {
    for seed in seeds() {
        println!("seed {seed}: replay with TIDEGATE_SEED={seed}");
        let mut world = World::new(seed, Fleet::new(seed));
        world.run();
        checks::stored_exactly_once(&world);
        checks::ledger_is_complete(&world);
        checks::history_is_that_of_order(&world);
        checks::events_are_told_once(&world);
    }
}

#[test]
fn sealing_loses_nothing_whatever_goes_wrong() {
    for seed in seeds() {
        println!("seed {seed}: replay with TIDEGATE_SEED={seed}");
        let mut world = World::new(seed, Fleet::new(seed));
        world.run();
        world.seal();
        checks::what_is_sealed_is_refused_and_kept(&mut world);
        checks::stored_exactly_once(&world);
        checks::history_is_that_of_order(&world);
        world.roll_all();
        checks::stored_exactly_once(&world);
    }
}

#[test]
fn another_content_under_the_same_boot_is_kept_apart() {
    for rolled in [false, true] {
        let mut world = World::new(7, Fleet::small());
        world.run_without_faults();
        if rolled {
            world.roll_all();
        }
        checks::a_changed_copy_is_rejected(&mut world);
    }
}

#[test]
fn a_block_of_an_unknown_origin_waits_for_its_description() {
    checks::undescribed_parts_are_named_and_taken_later(&mut World::new(3, Fleet::small()));
}

#[test]
fn damaged_blocks_are_answered_and_kept_in_quarantine() {
    checks::damaged_blocks_are_quarantined(&mut World::new(4, Fleet::small()));
}
