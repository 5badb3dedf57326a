//! Floats that are really decimals: most sensors print 21.4, not a double. A series whose every value is exactly
//! `mantissa / 10^scale` is sent as integers; the bits come back the same, or the series is sent as bits.

use crate::reading::power_of_ten;

/// Tried scales; beyond nine decimals the deltas are no shorter than the bits.
pub(super) const MAX_EXACT_SCALE: u8 = 9;
/// Mantissas stay below 2^53, where doubles are exact.
const MAX_MANTISSA: f64 = 9_007_199_254_740_992.0;

/// Single precision has 24 bits; beyond a few more a decimal is no shorter than the bits.
const MAX_MANTISSA32: f64 = 1_073_741_824.0;

/// The mantissa of `value` at `scale`, when dividing it again gives the same bits.
#[inline]
pub(super) fn exact(value: f64, scale: u8) -> Option<i64> {
    let scaled = (value * power_of_ten(scale)).round();
    // NaN and infinities are in no range.
    if !(-MAX_MANTISSA..MAX_MANTISSA).contains(&scaled) {
        return None;
    }
    let mantissa = scaled as i64;
    // Compares bits: -0.0 has no mantissa.
    (restore(mantissa, scale).to_bits() == value.to_bits()).then_some(mantissa)
}

#[inline]
pub(super) fn restore(mantissa: i64, scale: u8) -> f64 {
    mantissa as f64 / power_of_ten(scale)
}

/// The same for single precision: decided and restored in doubles, rounded once.
#[inline]
pub(super) fn exact32(value: f32, scale: u8) -> Option<i64> {
    let scaled = (f64::from(value) * power_of_ten(scale)).round();
    if !(-MAX_MANTISSA32..MAX_MANTISSA32).contains(&scaled) {
        return None;
    }
    let mantissa = scaled as i64;
    (restore32(mantissa, scale).to_bits() == value.to_bits()).then_some(mantissa)
}

#[inline]
pub(super) fn restore32(mantissa: i64, scale: u8) -> f32 {
    restore(mantissa, scale) as f32
}

/// A scale at which every value is exact, their mantissas appended to `out`: `hint` if it serves, else the smallest.
/// With none, what was appended is of no use.
pub(super) fn common_scale<V>(
    values: &[V],
    hint: u8,
    exact: impl Fn(&V, u8) -> Option<i64>,
    out: &mut alloc::vec::Vec<i64>,
) -> Option<u8> {
    let start = out.len();
    let mut all_exact = |scale| {
        out.truncate(start);
        out.extend(values.iter().map_while(|value| exact(value, scale)));
        out.len() - start == values.len()
    };
    if hint <= MAX_EXACT_SCALE && all_exact(hint) {
        return Some(hint);
    }
    (0..=MAX_EXACT_SCALE).find(|scale| all_exact(*scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn decimals_are_found_and_come_back_bit_for_bit() {
        let values = [21.4, 21.45, -3.0, 0.0, 1e9];
        let mut mantissas = Vec::new();
        let find =
            |hint, out: &mut Vec<i64>| common_scale(&values, hint, |value, scale| exact(*value, scale), out);
        assert_eq!(find(3, &mut Vec::new()), Some(3));
        assert_eq!(find(1, &mut mantissas), Some(2));
        for (mantissa, value) in mantissas.iter().zip(values) {
            assert_eq!(restore(*mantissa, 2).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn what_is_no_decimal_is_left_alone() {
        for value in [f64::NAN, f64::INFINITY, -0.0, 1.0 / 3.0, f64::MIN_POSITIVE, 1e300] {
            let found = common_scale(&[value], 0, |value, scale| exact(*value, scale), &mut Vec::new());
            assert_eq!(found, None, "{value}");
        }
        assert_eq!(
            common_scale(&[f32::NAN], 0, |value, scale| exact32(*value, scale), &mut Vec::new()),
            None
        );
    }
}
