//! Floats that are really decimals: most sensors print 21.4, not a double. A series whose every value is exactly
//! `mantissa / 10^scale` is sent as integers; the bits come back the same, or the series is sent as bits.

use crate::reading::power_of_ten;

/// Tried scales; beyond nine decimals the deltas are no shorter than the bits.
pub(super) const MAX_EXACT_SCALE: u8 = 9;
/// Mantissas stay below 2^53, where doubles are exact.
const MAX_MANTISSA: f64 = 9_007_199_254_740_992.0;

/// The mantissa of `value` at `scale`, when dividing it again gives the same bits.
#[inline]
pub(super) fn exact(value: f64, scale: u8) -> Option<i64> {
    let scaled = (value * power_of_ten(scale)).round();
    // False for NaN and infinities, too.
    if !(scaled.abs() < MAX_MANTISSA) {
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
    if !(scaled.abs() < 16_777_216.0 * 64.0) {
        return None;
    }
    let mantissa = scaled as i64;
    (restore32(mantissa, scale).to_bits() == value.to_bits()).then_some(mantissa)
}

#[inline]
pub(super) fn restore32(mantissa: i64, scale: u8) -> f32 {
    restore(mantissa, scale) as f32
}

/// The smallest scale at which every value is exact, with the mantissas left in `out`.
pub(super) fn common_scale<V: Copy>(
    values: impl Iterator<Item = V> + Clone,
    exact: impl Fn(V, u8) -> Option<i64>,
    out: &mut alloc::vec::Vec<i64>,
) -> Option<u8> {
    let mut scale = 0;
    'scales: loop {
        out.clear();
        for value in values.clone() {
            match exact(value, scale) {
                Some(mantissa) => out.push(mantissa),
                None if scale == MAX_EXACT_SCALE => return None,
                None => {
                    scale += 1;
                    continue 'scales;
                }
            }
        }
        return Some(scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn decimals_are_found_and_come_back_bit_for_bit() {
        let values = [21.4, 21.45, -3.0, 0.0, 1e9];
        let mut mantissas = Vec::new();
        assert_eq!(common_scale(values.iter().copied(), exact, &mut mantissas), Some(2));
        for (mantissa, value) in mantissas.iter().zip(values) {
            assert_eq!(restore(*mantissa, 2).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn what_is_no_decimal_is_left_alone() {
        for value in [f64::NAN, f64::INFINITY, -0.0, 1.0 / 3.0, f64::MIN_POSITIVE, 1e300] {
            assert_eq!(common_scale([value].into_iter(), exact, &mut Vec::new()), None, "{value}");
        }
        assert_eq!(common_scale([f32::NAN].into_iter(), exact32, &mut Vec::new()), None);
    }
}
