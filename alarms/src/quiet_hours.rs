//! When people are not to be woken. Whoever delivers knows the zone's rules and asks with local time.

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

    pub const fn before(self) -> Self {
        match self {
            Self::Mon => Self::Sun,
            Self::Tue => Self::Mon,
            Self::Wed => Self::Tue,
            Self::Thu => Self::Wed,
            Self::Fri => Self::Thu,
            Self::Sat => Self::Fri,
            Self::Sun => Self::Sat,
        }
    }
}

/// From one time of day to another, over midnight where `to` is not after `from`, on the days on which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// Minutes after midnight, below 1440; not those of `to_minute`.
    pub from_minute: u16,
    pub to_minute: u16,
    /// Without repetition, in the order of the week; not empty.
    pub days: Vec<Weekday>,
    /// A name of the IANA time zone database. It is resolved by whoever delivers.
    pub zone: String,
}

impl QuietHours {
    /// Whether a local time in `zone` is in them: from the first minute on, up to the last and not with it.
    pub fn cover(&self, day: Weekday, minute: u16) -> bool {
        let begins = |day| self.days.contains(&day);
        if self.from_minute < self.to_minute {
            return begins(day) && (self.from_minute..self.to_minute).contains(&minute);
        }
        (begins(day) && minute >= self.from_minute) || (begins(day.before()) && minute < self.to_minute)
    }
}

/// `22:00` as minutes after midnight.
pub(crate) fn minute_of_day(text: &str) -> Option<u16> {
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
    use Weekday::*;

    fn hours(from: &str, to: &str, days: &[Weekday]) -> QuietHours {
        let [from_minute, to_minute] = [from, to].map(|text| minute_of_day(text).unwrap());
        QuietHours { from_minute, to_minute, days: days.into(), zone: "UTC".into() }
    }

    #[test]
    fn over_midnight_they_belong_to_the_day_on_which_they_begin() {
        let night = hours("22:00", "06:00", &[Fri]);
        for (day, minute, covered) in [
            (Fri, 22 * 60, true),
            (Fri, 22 * 60 - 1, false),
            (Sat, 0, true),
            (Sat, 6 * 60 - 1, true),
            (Sat, 6 * 60, false),
            (Sat, 23 * 60, false),
            (Fri, 60, false),
        ] {
            assert_eq!(night.cover(day, minute), covered, "{day:?} {minute}");
        }
        assert!(hours("22:00", "06:00", &[Sun]).cover(Mon, 0), "the week is a ring");
    }

    #[test]
    fn within_a_day_they_are_a_plain_range() {
        let noon = hours("12:00", "13:30", &[Mon, Tue]);
        assert!(noon.cover(Tue, 12 * 60) && !noon.cover(Tue, 13 * 60 + 30) && !noon.cover(Wed, 12 * 60));
    }

    #[test]
    fn times_of_day_are_written_with_all_digits() {
        assert_eq!([minute_of_day("00:00"), minute_of_day("23:59")], [Some(0), Some(1_439)]);
        for wrong in ["24:00", "12:60", "1:00", "12", "12:0", "+1:00", "12:00:00", ""] {
            assert_eq!(minute_of_day(wrong), None, "{wrong}");
        }
    }
}
