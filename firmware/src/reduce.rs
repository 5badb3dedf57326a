//! Many samples of one window as a few numbers: what vibration is told by, when every sample would be too much.
//!
//! Integers in, integers out: a Cortex-M0 has no floating point. Feed the mantissas of one scale; the results have the same
//! scale.
//!
//! ```
//! use tidegate_firmware::reduce::Reduction;
//!
//! let mut window = Reduction::new();
//! [3, -4, 3, -4].into_iter().for_each(|sample| window.add(sample));
//! let reduced = window.take().expect("there were samples");
//! assert_eq!((reduced.min, reduced.max, reduced.mean, reduced.rms), (-4, 3, -1, 4));
//! assert!(window.take().is_none(), "the next window begins empty");
//! ```

/// A window that is being filled.
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    count: u32,
    min: i32,
    max: i32,
    sum: i64,
    squares: u128,
}

/// What is told of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduced {
    pub count: u32,
    pub min: i32,
    pub max: i32,
    /// To the nearest; halves away from zero.
    pub mean: i32,
    /// The root of the mean of the squares: of a signal around zero, its effective value.
    pub rms: i32,
    /// The standard deviation: the effective value without what is constant, such as gravity.
    pub deviation: i32,
}

impl Reduced {
    pub const fn peak_to_peak(&self) -> u32 {
        self.max.abs_diff(self.min)
    }
}

impl Default for Reduction {
    fn default() -> Self {
        Self::new()
    }
}

impl Reduction {
    pub const fn new() -> Self {
        Self { count: 0, min: i32::MAX, max: i32::MIN, sum: 0, squares: 0 }
    }

    /// A window of 2^32 - 1 samples is full, and takes no more.
    pub fn add(&mut self, sample: i32) {
        let Some(count) = self.count.checked_add(1) else { return };
        self.count = count;
        self.min = self.min.min(sample);
        self.max = self.max.max(sample);
        self.sum += i64::from(sample);
        let size = u64::from(sample.unsigned_abs());
        self.squares += u128::from(size * size);
    }

    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The window's numbers, and a new one begins; None without samples.
    pub fn take(&mut self) -> Option<Reduced> {
        let Self { count, min, max, sum, squares } = core::mem::take(self);
        if count == 0 {
            return None;
        }
        let half = i64::from(count / 2);
        let mean = (if sum < 0 { sum - half } else { sum + half }) / i64::from(count);
        let size = u128::from(sum.unsigned_abs());
        // Never below zero: no mean is further out than the root of its squares.
        let spread = (squares * u128::from(count)).saturating_sub(size * size);
        Some(Reduced {
            count,
            min,
            max,
            mean: mean as i32,
            rms: root(divided(squares, count), squares, u128::from(count)),
            deviation: root(
                divided(divided(spread, count), count),
                spread,
                u128::from(count) * u128::from(count),
            ),
        })
    }
}

/// Limb by limb, which takes a small core less code than a division of 128 bits.
fn divided(value: u128, by: u32) -> u128 {
    let by = u64::from(by);
    let (mut quotient, mut rest) = (0_u128, 0_u64);
    for shift in [96, 64, 32, 0] {
        let part = (rest << 32) | u64::from((value >> shift) as u32);
        quotient = (quotient << 32) | u128::from(part / by);
        rest = part % by;
    }
    quotient
}

/// The root of `dividend / divisor`, to the nearest; `quotient` is its whole part, and no mean of squares is above 2^62.
fn root(quotient: u128, dividend: u128, divisor: u128) -> i32 {
    let floor = u64::try_from(quotient).unwrap_or(u64::MAX).isqrt();
    // At or above (floor + 1/2)^2, without fractions.
    let halfway = u128::from(2 * floor + 1) * u128::from(2 * floor + 1);
    let is_above = halfway.checked_mul(divisor).is_some_and(|halfway| dividend * 4 >= halfway);
    i32::try_from(floor + u64::from(is_above)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn reduced(samples: &[i32]) -> Option<Reduced> {
        let mut window = Reduction::new();
        samples.iter().for_each(|&sample| window.add(sample));
        window.take()
    }

    /// Small ones too, where rounding shows.
    fn samples() -> impl Strategy<Value = Vec<i32>> {
        prop_oneof![prop::collection::vec(any::<i32>(), 1..200), prop::collection::vec(-9..=9, 1..20)]
    }

    proptest! {
        #[test]
        fn the_numbers_are_those_of_exact_arithmetic(samples in samples()) {
            let reduced = reduced(&samples).unwrap();
            let n = samples.len() as f64;
            let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / n;
            let rms = (samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / n).sqrt();
            let deviation = (samples.iter().map(|&sample| (f64::from(sample) - mean).powi(2)).sum::<f64>() / n).sqrt();
            prop_assert_eq!(reduced.count as usize, samples.len());
            prop_assert_eq!(Some(&reduced.min), samples.iter().min());
            prop_assert_eq!(Some(&reduced.max), samples.iter().max());
            for (is, should) in [(reduced.mean, mean), (reduced.rms, rms), (reduced.deviation, deviation)] {
                prop_assert!((f64::from(is) - should).abs() <= 0.5 + should.abs() * 1e-9 || is == i32::MAX, "{is} is not {should}");
            }
        }

        #[test]
        fn division_by_limbs_is_division(value in any::<u128>(), by in 1..=u32::MAX) {
            prop_assert_eq!(divided(value, by), value / u128::from(by));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = reduced(&[i32::MIN; 100]).unwrap();
        assert_eq!((all.min, all.mean, all.rms, all.deviation), (i32::MIN, i32::MIN, i32::MAX, 0));
        let both = reduced(&[i32::MIN, i32::MAX]).unwrap();
        assert_eq!((both.mean, both.peak_to_peak()), (-1, u32::MAX));
        assert_eq!(reduced(&[]), None);
    }

    #[test]
    fn gravity_is_in_the_rms_and_not_in_the_deviation() {
        let reduced = reduced(&[9_810 + 30, 9_810 - 30, 9_810 + 30, 9_810 - 30]).unwrap();
        assert_eq!((reduced.rms, reduced.deviation), (9_810, 30));
    }
}
