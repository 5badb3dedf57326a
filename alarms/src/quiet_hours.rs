//! When people are not to be woken. Whoever delivers knows the zone's calendar, and from when to when that is.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.name() == name)
    }
}

/// From one time of day to another, over midnight where `to` is not after `from`, on the days on which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// Minutes after midnight, below 1440. Those of a rule do not end at the minute at which they begin.
    pub from_minute: u16,
    pub to_minute: u16,
    /// Without repetition, in the order of the week; not empty.
    pub days: Vec<Weekday>,
    /// A name of the IANA time zone database. It is resolved by whoever delivers.
    pub zone: String,
}

impl QuietHours {
    pub fn begin_on(&self, day: Weekday) -> bool {
        self.days.contains(&day)
    }

    /// Whether they go on over midnight.
    pub const fn end_next_day(&self) -> bool {
        self.to_minute <= self.from_minute
    }
}

/// `22:00` as minutes after midnight.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_written_with_all_digits() {
        assert_eq!([minute_of_day("00:00"), minute_of_day("23:59")], [Some(0), Some(1_439)]);
        for wrong in ["24:00", "12:60", "1:00", "12", "12:0", "+1:00", "12:00:00", ""] {
            assert_eq!(minute_of_day(wrong), None, "{wrong}");
        }
    }
}
