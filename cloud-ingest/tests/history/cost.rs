//! Late data costs what it is, whatever its order.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::topic::Lane;

use crate::world::{World, origin, rules};

/// Readings of one block.
const BLOCK: u64 = 1_000;

fn value(seq: u64) -> f64 {
    if seq % 700 < 90 { 70.0 } else { 20.0 }
}

/// How many readings are evaluated for history while `count` come that were all called lost before.
fn evaluated(count: u64, order: impl Fn(&mut Vec<u64>)) -> (u64, Vec<(u64, u64, Option<u64>)>) {
    let mut world = World::new(rules(serde_json::json!([{ "id": "hot", "select": {}, "above": 60.0 }])));
    let board = origin(1);
    world.lost(board, 0..count);
    world.measured(Lane::Live, board, count..count + 10, value);
    let mut blocks: Vec<u64> = (0..count / BLOCK).collect();
    order(&mut blocks);
    let before = world.settled();
    for block in blocks {
        world.measured(Lane::Backlog, board, block * BLOCK..(block + 1) * BLOCK, value);
    }
    (world.settled() - before, world.spans())
}

#[test]
fn what_was_lost_and_comes_after_all_costs_near_linear_work_in_whatever_order() {
    let orders: [fn(&mut Vec<u64>); 3] =
        [|_| {}, |blocks| blocks.reverse(), |blocks| blocks.shuffle(&mut ChaCha8Rng::seed_from_u64(5))];
    let mut histories = Vec::new();
    for (which, order) in orders.into_iter().enumerate() {
        let (small, _) = evaluated(60_000, order);
        let (large, history) = evaluated(120_000, order);
        assert!(large <= small * 5 / 2, "order {which}: {small} for 60,000 readings, {large} for 120,000");
        assert!(large <= 120_000 * 10, "order {which}: {large} evaluations of 120,000 readings");
        histories.push(history);
    }
    assert!(histories[0].len() > 100);
    assert!(histories.iter().all(|history| *history == histories[0]), "history does not depend on the order");
}
