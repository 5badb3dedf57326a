//! Lengths of time as the rules file writes them.

use alloc::{format, string::String};

/// Reads `250ms`, `5s`, `10m`, `1h`, `7d`: a whole number and a unit.
pub fn duration_ms(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let ms_each = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(ms_each)
}

/// As it would be written, in the largest unit that says it exactly.
pub fn duration_text(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, each)| ms > 0 && ms.is_multiple_of(*each)) {
        Some((unit, each)) => format!("{}{unit}", ms / each),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for (ms, text) in [
            (0, "0ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (3_600_000, "1h"),
            (u64::MAX, "18446744073709551615ms"),
        ] {
            assert_eq!((duration_text(ms).as_str(), duration_ms(text)), (text, Some(ms)));
        }
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("5s", 5_000), ("10m", 600_000), ("1h", 3_600_000)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for wrong in
            ["", "5", "s", "-5s", "1.5h", "5 s", "5S", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }
}
