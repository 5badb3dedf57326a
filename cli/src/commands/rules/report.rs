//! What rules would have raised, as tables or as JSON.

use serde_json::{Value, json};
use tidegate_alarms::{RevisedRule, RuleBook};

use super::{
    backtest::{Occurrence, Tried},
    check::counted,
};
use crate::{
    instant::{local_time, roughly},
    paint::{Paint, Style, priority_style},
    table::{Align, Table},
};

/// What one rule came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    occurrences: usize,
    active_ms: u64,
    longest_ms: u64,
    last: Option<i64>,
}

fn total(rule: &RevisedRule, tried: &Tried) -> Total {
    let of_rule = tried.occurrences.iter().filter(|occurrence| occurrence.rule == *rule.id());
    of_rule.fold(Total::default(), |total, occurrence| {
        let lasted = occurrence.lasted_ms(tried.end);
        Total {
            occurrences: total.occurrences + 1,
            active_ms: total.active_ms.saturating_add(lasted),
            longest_ms: total.longest_ms.max(lasted),
            last: total.last.max(Some(occurrence.onset)),
        }
    })
}

pub fn tables(book: &RuleBook, tried: &Tried, paint: Paint) -> String {
    let mut text = String::new();
    if !tried.occurrences.is_empty() {
        text.push_str(&occurrences(tried).render(paint));
        text.push('\n');
    }
    text.push_str(&totals(book, tried).render(paint));
    let readings = counted(usize::try_from(tried.readings).unwrap_or(usize::MAX), "reading");
    let alarms = counted(tried.occurrences.len(), "alarm");
    text.push_str(&format!("\n{alarms} over {readings}.\n"));
    text
}

fn occurrences(tried: &Tried) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("RULE", left),
        ("PRIORITY", left),
        ("DEVICE", left),
        ("CHANNEL", left),
        ("ONSET", left),
        ("CLEAR", left),
        ("DURATION", Align::Right),
        ("PEAK", Align::Right),
    ]);
    for occurrence in &tried.occurrences {
        let Occurrence { rule, priority, site, device, channel, onset, cleared, peak_text, .. } = occurrence;
        let is_group = device.is_empty();
        table.row(
            priority_style(priority.name()),
            [
                rule.to_string(),
                priority.name().to_owned(),
                if is_group { format!("({site})") } else { device.clone() },
                if is_group { "-".to_owned() } else { channel.clone() },
                local_time(*onset),
                cleared.map_or_else(|| "still up".to_owned(), local_time),
                lasting(occurrence.lasted_ms(tried.end)),
                peak_text.clone(),
            ],
        );
    }
    table
}

fn totals(book: &RuleBook, tried: &Tried) -> Table {
    let right = Align::Right;
    let mut table = Table::new([
        ("RULE", Align::Left),
        ("CHANNELS", right),
        ("ALARMS", right),
        ("ACTIVE", right),
        ("LONGEST", right),
        ("LAST", Align::Left),
    ]);
    for rule in book.rules() {
        let Total { occurrences, active_ms, longest_ms, last } = total(rule, tried);
        let watched = tried.watched.get(rule.id()).copied().unwrap_or(0);
        let style = if watched == 0 { Style::Yellow } else { Style::Plain };
        let none = || "-".to_owned();
        let time = |ms| if occurrences == 0 { none() } else { lasting(ms) };
        table.row(
            style,
            [
                rule.id().to_string(),
                if watched == 0 { "none".to_owned() } else { watched.to_string() },
                occurrences.to_string(),
                time(active_ms),
                time(longest_ms),
                last.map_or_else(none, local_time),
            ],
        );
    }
    table
}

fn lasting(ms: u64) -> String {
    roughly(i64::try_from(ms).unwrap_or(i64::MAX))
}

pub fn json(book: &RuleBook, tried: &Tried) -> Value {
    let occurrences: Vec<Value> = tried.occurrences.iter().map(|o| occurrence(o, tried.end)).collect();
    let rules = book.rules().map(|rule| {
        let Total { occurrences, active_ms, longest_ms, .. } = total(rule, tried);
        json!({
            "rule": rule.id(),
            "channels": tried.watched.get(rule.id()).copied().unwrap_or(0),
            "occurrences": occurrences,
            "active_ms": active_ms,
            "longest_ms": longest_ms,
        })
    });
    let rules: Vec<Value> = rules.collect();
    json!({ "readings": tried.readings, "occurrences": occurrences, "rules": rules })
}

fn occurrence(occurrence: &Occurrence, end: i64) -> Value {
    let Occurrence { rule, priority, site, device, channel, onset, raised, cleared, peak, .. } = occurrence;
    let named = |name: &String| Some(name).filter(|name| !name.is_empty()).cloned();
    json!({
        "rule": rule,
        "priority": priority,
        "site": site,
        "device": named(device),
        "channel": named(channel),
        "onset_unix_ms": onset,
        "raised_unix_ms": raised,
        "cleared_unix_ms": cleared,
        "duration_ms": occurrence.lasted_ms(end),
        "peak": peak,
    })
}
