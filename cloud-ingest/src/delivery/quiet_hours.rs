//! When only what is critical is sent.

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};

use super::settings::QuietHoursSettings;

/// Every day of a week may have its own; then they go on into each other.
const MOST_IN_A_ROW: usize = 8;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

#[derive(Clone, Debug)]
pub struct QuietHours {
    from: Time,
    to: Time,
    days: Vec<Weekday>,
    zone: TimeZone,
}

/// A key, what is wrong with it, and what to do.
pub type Wrong = (&'static str, String, String);

impl QuietHours {
    pub fn from_settings(raw: &QuietHoursSettings) -> Result<Self, Wrong> {
        let time = |key, text: &str| {
            let parsed = text
                .split_once(':')
                .and_then(|(hour, minute)| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok());
            let problem = format!("\"{text}\" is no time of day");
            parsed.ok_or((key, problem, "write it as \"22:00\"".to_owned()))
        };
        let day = |text: &String| {
            let known = DAYS.iter().find(|(name, _)| name == text).map(|(_, day)| *day);
            let names: Vec<&str> = DAYS.iter().map(|(name, _)| *name).collect();
            known.ok_or(("days", format!("\"{text}\" is no day"), format!("use {}", names.join(", "))))
        };
        let days = match &raw.days {
            None => DAYS.iter().map(|(_, day)| *day).collect(),
            Some(days) if days.is_empty() => {
                return Err((
                    "days",
                    "there is no day in it".to_owned(),
                    "leave it out for every day".to_owned(),
                ));
            }
            Some(days) => days.iter().map(day).collect::<Result<_, _>>()?,
        };
        let name = raw.zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| {
            let problem = format!("no time zone \"{name}\" is known");
            ("zone", problem, "name one as \"Europe/Berlin\" or \"UTC\"".to_owned())
        })?;
        Ok(Self { from: time("from", &raw.from)?, to: time("to", &raw.to)?, days, zone })
    }

    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Until when it is quiet, if it is.
    pub fn until(&self, unix_ms: i64) -> Option<i64> {
        let mut end = self.end_of_the_night_at(unix_ms)?;
        for _ in 1..MOST_IN_A_ROW {
            match self.end_of_the_night_at(end) {
                Some(later) if later > end => end = later,
                _ => break,
            }
        }
        Some(end)
    }

    fn end_of_the_night_at(&self, unix_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(unix_ms).ok()?;
        let today = now.to_zoned(self.zone.clone()).date();
        for day in [today.yesterday().ok()?, today] {
            if !self.days.contains(&day.weekday()) {
                continue;
            }
            let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
            let start = self.zone.to_timestamp(day.to_datetime(self.from)).ok()?;
            let end = self.zone.to_timestamp(last.to_datetime(self.to)).ok()?;
            if (start..end).contains(&now) {
                return Some(end.as_millisecond());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, to: &str, days: Option<&[&str]>, zone: &str) -> Result<QuietHours, Wrong> {
        let days = days.map(|days| days.iter().map(|day| (*day).to_owned()).collect());
        let (from, to, zone) = (from.to_owned(), to.to_owned(), Some(zone.to_owned()));
        QuietHours::from_settings(&QuietHoursSettings { from, to, days, zone })
    }

    fn ms(time: &str) -> i64 {
        time.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    /// 2026-11-27 is a Friday; Berlin is an hour ahead of UTC then, and two in summer.
    #[test]
    fn nights_end_when_the_zone_says_so() {
        let nights = hours("22:00", "06:00", None, "Europe/Berlin").unwrap();
        for (now, end) in [
            ("2026-11-27T20:59:59Z", None),
            ("2026-11-27T21:00:00Z", Some("2026-11-28T05:00:00Z")),
            ("2026-11-28T04:59:59.999Z", Some("2026-11-28T05:00:00Z")),
            ("2026-11-28T05:00:00Z", None),
            ("2026-07-01T20:00:00Z", Some("2026-07-02T04:00:00Z")),
            // The clock is put back that night: it has an hour more.
            ("2026-10-24T20:00:00Z", Some("2026-10-25T05:00:00Z")),
        ] {
            assert_eq!(nights.until(ms(now)), end.map(ms), "{now}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins_and_whole_days_go_on_into_each_other() {
        let fridays = hours("22:00", "06:00", Some(&["fri"]), "UTC").unwrap();
        assert_eq!(fridays.until(ms("2026-11-28T03:00:00Z")), Some(ms("2026-11-28T06:00:00Z")));
        assert_eq!(fridays.until(ms("2026-11-28T23:00:00Z")), None);
        let weekend = hours("00:00", "00:00", Some(&["sat", "sun"]), "UTC").unwrap();
        assert_eq!(weekend.until(ms("2026-11-28T03:00:00Z")), Some(ms("2026-11-30T00:00:00Z")));
        assert_eq!(weekend.until(ms("2026-11-30T00:00:00Z")), None);
        let noon = hours("12:00", "13:30", None, "UTC").unwrap();
        assert_eq!(noon.until(ms("2026-11-30T13:29:00Z")), Some(ms("2026-11-30T13:30:00Z")));
        let always = hours("00:00", "00:00", None, "UTC").unwrap();
        assert!(always.until(0).is_some(), "it ends for the reader, not in a loop");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, days, zone, key) in [
            ("25:00", None, "UTC", "from"),
            ("22", None, "UTC", "from"),
            ("22:00", Some(["friday"].as_slice()), "UTC", "days"),
            ("22:00", Some([].as_slice()), "UTC", "days"),
            ("22:00", None, "Mars/Olympus", "zone"),
        ] {
            assert_eq!(hours(from, "06:00", days, zone).map(|_| ()).unwrap_err().0, key);
        }
    }
}
