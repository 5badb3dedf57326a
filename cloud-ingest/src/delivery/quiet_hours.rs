//! When only what is critical is sent: by a receiver's wish, or by a rule's.

use jiff::{Timestamp, civil::Time, tz::TimeZone};
use tidegate_alarms::quiet_hours::{QuietHours, Weekday, minute_of_day};

use super::settings::QuietHoursSettings;

/// Every day of a week may have its own; then they go on into each other.
const MOST_IN_A_ROW: usize = 8;

/// Quiet hours on the calendar of their zone.
#[derive(Clone, Debug)]
pub struct Nights {
    hours: QuietHours,
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// A key, what is wrong with it, and what to do.
pub type Wrong = (&'static str, String, String);

impl Nights {
    pub fn from_settings(raw: &QuietHoursSettings) -> Result<Self, Wrong> {
        let time = |key, text: &str| {
            let is_short = text.split_once(':').is_some_and(|(hour, _)| hour.len() == 1);
            let padded = if is_short { format!("0{text}") } else { text.to_owned() };
            let problem = format!("\"{text}\" is no time of day");
            minute_of_day(&padded).ok_or((key, problem, "write it as \"22:00\"".to_owned()))
        };
        let day = |text: &String| {
            let names = Weekday::ALL.map(Weekday::name).join(", ");
            Weekday::named(text).ok_or(("days", format!("\"{text}\" is no day"), format!("use {names}")))
        };
        let days = match &raw.days {
            None => Weekday::ALL.to_vec(),
            Some(days) if days.is_empty() => {
                return Err((
                    "days",
                    "there is no day in it".to_owned(),
                    "leave it out for every day".to_owned(),
                ));
            }
            Some(days) => days.iter().map(day).collect::<Result<_, _>>()?,
        };
        let (from_minute, to_minute) = (time("from", &raw.from)?, time("to", &raw.to)?);
        let zone = raw.zone.clone().unwrap_or_else(|| "UTC".to_owned());
        let problem = format!("no time zone \"{zone}\" is known");
        let unknown = ("zone", problem, "name one as \"Europe/Berlin\" or \"UTC\"".to_owned());
        Self::new(QuietHours { from_minute, to_minute, days, zone }).ok_or(unknown)
    }

    /// `None` where no such zone is known.
    pub fn new(hours: QuietHours) -> Option<Self> {
        let time = |minute: u16| {
            let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
            Time::new(hour, minute, 0, 0).ok()
        };
        let zone = TimeZone::get(&hours.zone).ok()?;
        Some(Self { from: time(hours.from_minute)?, to: time(hours.to_minute)?, zone, hours })
    }

    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    fn end_of_the_night_at(&self, unix_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(unix_ms).ok()?;
        let today = now.to_zoned(self.zone.clone()).date();
        for day in [today.yesterday().ok()?, today] {
            let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
            if !Weekday::ALL.get(weekday).is_some_and(|weekday| self.hours.begin_on(*weekday)) {
                continue;
            }
            let last = if self.hours.end_next_day() { day.tomorrow().ok()? } else { day };
            let start = self.zone.to_timestamp(day.to_datetime(self.from)).ok()?;
            let end = self.zone.to_timestamp(last.to_datetime(self.to)).ok()?;
            if (start..end).contains(&now) {
                return Some(end.as_millisecond());
            }
        }
        None
    }
}

/// Until when it is quiet by any of several, if it is: where one goes on into another, until the last ends.
pub fn quiet_until(all: [Option<&Nights>; 2], unix_ms: i64) -> Option<i64> {
    let end_at = |at| all.iter().flatten().filter_map(|nights| nights.end_of_the_night_at(at)).max();
    let mut end = end_at(unix_ms)?;
    for _ in 1..all.len() * MOST_IN_A_ROW {
        match end_at(end) {
            Some(later) if later > end => end = later,
            _ => break,
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, to: &str, days: Option<&[&str]>, zone: &str) -> Result<Nights, Wrong> {
        let days = days.map(|days| days.iter().map(|day| (*day).to_owned()).collect());
        let (from, to, zone) = (from.to_owned(), to.to_owned(), Some(zone.to_owned()));
        Nights::from_settings(&QuietHoursSettings { from, to, days, zone })
    }

    fn until(nights: &Nights, unix_ms: i64) -> Option<i64> {
        quiet_until([Some(nights), None], unix_ms)
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
            assert_eq!(until(&nights, ms(now)), end.map(ms), "{now}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins_and_whole_days_go_on_into_each_other() {
        let fridays = hours("22:00", "06:00", Some(&["fri"]), "UTC").unwrap();
        assert_eq!(until(&fridays, ms("2026-11-28T03:00:00Z")), Some(ms("2026-11-28T06:00:00Z")));
        assert_eq!(until(&fridays, ms("2026-11-28T23:00:00Z")), None);
        let weekend = hours("00:00", "00:00", Some(&["sat", "sun"]), "UTC").unwrap();
        assert_eq!(until(&weekend, ms("2026-11-28T03:00:00Z")), Some(ms("2026-11-30T00:00:00Z")));
        assert_eq!(until(&weekend, ms("2026-11-30T00:00:00Z")), None);
        let noon = hours("12:00", "13:30", None, "UTC").unwrap();
        assert_eq!(until(&noon, ms("2026-11-30T13:29:00Z")), Some(ms("2026-11-30T13:30:00Z")));
        let early = hours("7:00", "8:00", None, "UTC").unwrap();
        assert_eq!(until(&early, ms("2026-11-30T07:59:00Z")), Some(ms("2026-11-30T08:00:00Z")));
        let always = hours("00:00", "00:00", None, "UTC").unwrap();
        assert!(until(&always, 0).is_some(), "it ends for the reader, not in a loop");
    }

    #[test]
    fn of_two_that_go_on_into_each_other_the_last_end_counts() {
        let [night, morning] =
            [("22:00", "06:00"), ("05:00", "08:00")].map(|(from, to)| hours(from, to, None, "UTC").unwrap());
        let both = |now| quiet_until([Some(&night), Some(&morning)], ms(now));
        assert_eq!(both("2026-11-27T23:00:00Z"), Some(ms("2026-11-28T08:00:00Z")));
        assert_eq!(both("2026-11-28T05:30:00Z"), Some(ms("2026-11-28T08:00:00Z")));
        assert_eq!(both("2026-11-28T08:00:00Z"), None);
        assert_eq!(quiet_until([None, Some(&morning)], ms("2026-11-27T23:00:00Z")), None);
        assert_eq!(quiet_until([None, None], ms("2026-11-27T23:00:00Z")), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, days, zone, key) in [
            ("25:00", None, "UTC", "from"),
            ("22", None, "UTC", "from"),
            (":00", None, "UTC", "from"),
            ("22:00", Some(["friday"].as_slice()), "UTC", "days"),
            ("22:00", Some([].as_slice()), "UTC", "days"),
            ("22:00", None, "Mars/Olympus", "zone"),
        ] {
            assert_eq!(hours(from, "06:00", days, zone).map(|_| ()).unwrap_err().0, key);
        }
    }
}
