//! Durations and moments as people write and read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// Reads `250ms`, `30s`, `10m`, `2h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let ms_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a number and a unit: 250ms, 30s, 10m, 2h or 7d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "the number is missing or too large".to_owned())?;
    number.checked_mul(ms_each).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

/// A moment as an argument gives it: so long ago, or a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Ago(Duration),
    At(Timestamp),
}

impl Moment {
    pub fn unix_ms(self, now: Timestamp) -> i64 {
        match self {
            Self::Ago(ago) => now.as_millisecond().saturating_sub_unsigned(ago.as_millis() as u64),
            Self::At(at) => at.as_millisecond(),
        }
    }
}

/// Reads a duration (so long ago) or an RFC 3339 time.
pub fn parse_moment(text: &str) -> Result<Moment, String> {
    parse_duration(text)
        .map(Moment::Ago)
        .or_else(|_| text.parse().map(Moment::At))
        .map_err(|_| "write how long ago (10m, 2h, 7d) or a time such as 2026-11-22T20:00:00Z".to_owned())
}

/// A moment in this machine's time zone, to the millisecond.
pub fn local_time(unix_ms: i64) -> String {
    format_in(unix_ms, TimeZone::system())
}

fn format_in(unix_ms: i64, zone: TimeZone) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(at) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        // Outside the years that exist; the number is still the truth.
        Err(_) => format!("{unix_ms} ms"),
    }
}

/// A length of time in its largest whole unit: `850 ms`, `12 s`, `3 min`, `5 h`, `9 days`.
pub fn roughly(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "10", "m", "-5s", "1.5h", "10 m", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong} passed");
        }
    }

    #[test]
    fn a_moment_is_an_age_or_a_time() {
        let now = Timestamp::from_millisecond(1_000_000).expect("in range");
        assert_eq!(parse_moment("10m").map(|moment| moment.unix_ms(now)), Ok(400_000));
        assert_eq!(parse_moment("1970-01-01T00:00:05Z").map(|moment| moment.unix_ms(now)), Ok(5_000));
        assert!(parse_moment("yesterday").is_err());
    }

    #[test]
    fn moments_and_lengths_read_well() {
        assert_eq!(format_in(784_111_777_042, TimeZone::UTC), "1994-11-06 08:49:37.042");
        assert_eq!(format_in(i64::MAX, TimeZone::UTC), format!("{} ms", i64::MAX));
        assert_eq!([roughly(-3), roughly(90_000), roughly(600_000)], ["0 ms", "90 s", "10 min"]);
    }
}
