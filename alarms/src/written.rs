//! Conditions as a rules file writes them; reading that again gives the same condition.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use crate::{
    condition::{Condition, Deviation, Rate},
    group::Quorum,
    settings::duration_text,
    stale::Stale,
};

/// With its key: `above = 80`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.kind().name())?;
        match self {
            Self::Above(limit) | Self::Below(limit) => write!(f, "{}", number(*limit)),
            Self::Outside(low, high) | Self::Inside(low, high) => write!(f, "{}", pair(*low, *high)),
            Self::Equals(values) | Self::NotEquals(values) => match values.as_slice() {
                [only] => write!(f, "{}", number(*only)),
                many => {
                    let values: Vec<String> = many.iter().copied().map(number).collect();
                    write!(f, "[{}]", values.join(", "))
                }
            },
            Self::Rate(Rate { above, below, per_ms, over_ms }) => {
                let limits = [("above", above), ("below", below)];
                let limits = limits.into_iter().filter_map(|(key, limit)| Some((key, (*limit)?)));
                let limits: String =
                    limits.map(|(key, limit)| format!("{key} = {}, ", number(limit))).collect();
                let (per, over) = (duration_text(*per_ms), duration_text(*over_ms));
                write!(f, "{{ {limits}per = \"{per}\", over = \"{over}\" }}")
            }
            Self::Deviation(Deviation { low, high, over_ms }) => {
                let limits = match *low == -*high {
                    true => format!("above = {}", number(*high)),
                    false => format!("outside = {}", pair(*low, *high)),
                };
                write!(f, "{{ {limits}, over = \"{}\" }}", duration_text(*over_ms))
            }
            Self::Stale(Stale { after, interval_ms }) => {
                let interval = interval_ms.map(|ms| format!(", interval = \"{}\"", duration_text(ms)));
                write!(f, "{{ after = {}{} }}", number(*after), interval.unwrap_or_default())
            }
        }
    }
}

/// Without its key: `{ count = 3 }`.
impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{{ count = {count} }}"),
            Self::Fraction(fraction) => write!(f, "{{ fraction = {} }}", number(*fraction)),
        }
    }
}

fn pair(low: f64, high: f64) -> String {
    format!("[{}, {}]", number(low), number(high))
}

/// The shortest that is read as the same; the alternate form of large and small ones has an exponent, as TOML allows.
fn number(number: f64) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), String::from)
}
