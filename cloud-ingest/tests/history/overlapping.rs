//! More of what was called lost comes while history is being told again: the looks at the store that it takes are slow.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::topic::Lane;

use crate::world::{World, origin, rules};

const SEEDS: u64 = 300;
const READINGS: u64 = 900;

/// In the deadband for long stretches, so that what raised it matters far behind.
fn world() -> World {
    World::new(rules(serde_json::json!([
        { "id": "hot", "select": {}, "above": 60.0, "deadband": 30.0 },
        { "id": "stays-hot", "select": {}, "above": 45.0, "on_delay": "5s", "off_delay": "3s" },
    ])))
}

fn values(rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut values = Vec::new();
    while values.len() < READINGS as usize {
        let (value, length) = match rng.random_range(0..10) {
            0 | 1 => (70.0, rng.random_range(1..4)),
            2 => (20.0, rng.random_range(1..4)),
            3 => (46.0, rng.random_range(1..12)),
            _ => (50.0, rng.random_range(1..90)),
        };
        values.extend(std::iter::repeat_n(value, length));
    }
    values
}

#[test]
fn what_comes_while_history_is_told_again_ends_in_the_same_history() {
    let mut occurrences = 0;
    for seed in 0..SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (board, values) = (origin(1), values(&mut rng));
        let value = |seq: u64| values[seq as usize];
        let mut expected = world();
        expected.measured(Lane::Live, board, 0..READINGS, value);

        let mut world = world();
        let mut missing = Vec::new();
        let mut from = 0;
        while from < READINGS {
            let (heard, lost) = (rng.random_range(1..120), rng.random_range(1..20));
            let lost_from = (from + heard).min(READINGS);
            world.measured(Lane::Live, board, from..lost_from, value);
            let end = (lost_from + lost).min(READINGS);
            if end > lost_from {
                world.lost(board, lost_from..end);
                missing.extend((lost_from..end).step_by(7).map(|at| at..(at + 7).min(end)));
            }
            from = end;
        }
        missing.shuffle(&mut rng);
        world.is_slow = true;
        for part in missing {
            world.measured(Lane::Backlog, board, part, value);
            for _ in 0..rng.random_range(0..4) {
                let most = if rng.random_bool(0.5) { usize::MAX } else { rng.random_range(1..400) };
                world.look_once(most);
            }
        }
        while world.look_once(usize::MAX) {}
        assert_eq!(world.spans(), expected.spans(), "seed {seed}");
        occurrences += expected.spans().len();
    }
    assert!(occurrences > 2 * SEEDS as usize, "{occurrences} occurrences prove nothing");
}
