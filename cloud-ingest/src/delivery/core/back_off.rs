//! When to try again. The pauses are those that Standard Webhooks recommends, about five days in all; then it is parked.

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// After the first failure, the second, …
const PAUSES_MS: [i64; 11] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
    24 * HOUR,
    24 * HOUR,
];
/// A pause is longer by a random part of this part of it, so that what failed together does not come back together.
const JITTER: f64 = 0.2;
const SHORTEST_WISH_MS: i64 = SECOND;
/// No receiver may ask for more.
const LONGEST_WISH_MS: i64 = 24 * HOUR;
/// No pause is longer.
pub const LONGEST_MS: i64 = 24 * HOUR + 24 * HOUR / 5;

/// The pause after so many failures, `None` when it was enough; `jitter` is from 0 to 1. What the receiver wishes
/// (Retry-After) goes before the plan.
pub fn pause_ms(failures: u32, wish_ms: Option<i64>, jitter: f64) -> Option<i64> {
    let at = usize::try_from(failures.checked_sub(1)?).ok()?;
    let planned = *PAUSES_MS.get(at)?;
    let pause = wish_ms.map_or(planned, |wish| wish.clamp(SHORTEST_WISH_MS, LONGEST_WISH_MS));
    // Less than 2^53: exact enough.
    Some(pause + (pause as f64 * JITTER * jitter.clamp(0.0, 1.0)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_day_and_end_after_five() {
        let pauses: Vec<i64> = (1..).map_while(|failures| pause_ms(failures, None, 0.0)).collect();
        assert_eq!(pauses, PAUSES_MS);
        let days = pauses.iter().sum::<i64>() as f64 / (24 * HOUR) as f64;
        assert!((5.0..5.5).contains(&days), "{days}");
    }

    #[test]
    fn jitter_lengthens_and_wishes_are_bounded() {
        assert_eq!(pause_ms(1, None, 1.0), Some(6_000));
        assert_eq!(pause_ms(1, Some(120_000), 0.0), Some(120_000));
        assert_eq!(pause_ms(4, Some(0), 0.0), Some(1_000));
        assert_eq!(pause_ms(1, Some(i64::MAX), 1.0), Some(LONGEST_MS));
        assert_eq!(pause_ms(12, Some(1_000), 0.0), None);
    }
}
