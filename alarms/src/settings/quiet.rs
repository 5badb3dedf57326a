//! `quiet_hours`.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use super::{MAX_TEXT, QuietHoursSettings, problem::RuleProblem, validate::Notes};
use crate::quiet_hours::{QuietHours, Weekday, minute_of_day};

impl QuietHoursSettings {
    pub(super) fn validate(self, notes: &mut Notes<'_>) -> Option<QuietHours> {
        let mut time = |key: &str, text: &str| {
            let minute = minute_of_day(text);
            minute.or_else(|| notes.refuse(key, RuleProblem::TimeOfDay(text.to_owned())))
        };
        let (from, to) = (time("quiet_hours.from", &self.from), time("quiet_hours.to", &self.to));
        if from.is_some() && from == to {
            notes.add("quiet_hours.to", RuleProblem::NoHours(self.from));
        }
        let days = days(self.days, notes);
        let zone = self.zone.unwrap_or_else(|| "UTC".to_owned());
        if !is_zone(&zone) {
            return notes.refuse("quiet_hours.zone", RuleProblem::Zone(zone));
        }
        Some(QuietHours { from_minute: from?, to_minute: to?, days: days?, zone })
    }
}

/// In the order of the week, each once.
fn days(given: Option<Vec<String>>, notes: &mut Notes<'_>) -> Option<Vec<Weekday>> {
    let Some(given) = given else { return Some(Weekday::ALL.into()) };
    if given.is_empty() {
        return notes.refuse("quiet_hours.days", RuleProblem::NoDays);
    }
    for name in &given {
        if Weekday::named(name).is_none() {
            notes.add("quiet_hours.days", RuleProblem::Day(name.clone()));
        }
    }
    let is_given = |day: &Weekday| given.iter().any(|name| name == day.name());
    Some(Weekday::ALL.into_iter().filter(is_given).collect())
}

/// Looks like a name of the IANA database; whether there is such a zone is known where it is resolved.
fn is_zone(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let letter = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    text.len() <= MAX_TEXT && text.chars().all(allowed) && text.split('/').all(letter)
}
