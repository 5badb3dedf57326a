//! Plain text for people.

use std::{collections::BTreeMap, fmt::Write};

use jiff::{Timestamp, tz::TimeZone};
use tidegate_alarms::{AlarmEvent, EventId, TransitionKind};

use super::{DigestData, Told, by_priority, past};
use crate::delivery::core::Reason;

/// So many occurrences are listed; the rest is counted.
const MAX_LINES: usize = 50;

pub fn subject(event: &AlarmEvent) -> String {
    let late = if event.late { ", learned late" } else { "" };
    format!(
        "[{}] {}/{} {}: {} {}{late}",
        event.priority.name(),
        event.site,
        event.device,
        event.channel,
        event.rule,
        past(event.transition)
    )
}

pub fn body(told: &Told, zone: &TimeZone) -> String {
    let event = &told.event;
    let mut text = format!("{}\n\n", event.message);
    let began = event.onset.time_unix_ms.or(event.time_unix_ms);
    let (learned, at) = (time(Some(told.learned_unix_ms()), zone), time(event.time_unix_ms, zone));
    if event.late {
        let verb = if event.transition == TransitionKind::Raise { "began" } else { "ended" };
        line(&mut text, "late", &format!("{verb} {}, learned {learned}", time(began, zone)));
    }
    if told.quiet_until_unix_ms.is_some() {
        let until = time(told.quiet_until_unix_ms, zone);
        line(&mut text, "quiet", &format!("it came {learned}, in quiet hours until {until}"));
    }
    let unit = if event.unit.is_empty() { String::new() } else { format!(" {}", event.unit) };
    let value = event.value.map_or_else(|| "infinite".to_owned(), |value| value.to_string());
    for (name, value) in [
        ("transition", past(event.transition)),
        ("priority", event.priority.name().to_owned()),
        ("site", event.site.to_string()),
        ("device", event.device.to_string()),
        ("channel", event.channel.to_string()),
        ("rule", event.rule.to_string()),
        ("value", format!("{value}{unit} (limit {}{unit})", event.limit)),
        ("time", at),
    ] {
        line(&mut text, name, &value);
    }
    text
}

pub fn digest_subject(reason: Reason, data: &DigestData<'_>) -> String {
    let DigestData { raised, cleared, .. } = data;
    match reason {
        Reason::Late => format!("[Tidegate] learned late and over: {raised} raised, {cleared} cleared"),
        Reason::Flood => format!("[Tidegate] alarm flood: {raised} raised, {cleared} cleared"),
        Reason::QuietHours => format!("[Tidegate] in quiet hours: {raised} raised, {cleared} cleared"),
    }
}

pub fn digest_body(reason: Reason, data: &DigestData<'_>, told: &[Told], zone: &TimeZone) -> String {
    let mut text = match reason {
        Reason::Late => "These alarms were over when the ingest learned of them.\n\n",
        Reason::Flood => {
            "More alarms were raised than can be read one by one; critical ones came by themselves.\n\n"
        }
        Reason::QuietHours => "This came in quiet hours; critical alarms came by themselves.\n\n",
    }
    .to_owned();
    let priorities = by_priority(told);
    let priorities: Vec<String> =
        priorities.into_iter().map(|(priority, count)| format!("{count} {}", priority.name())).collect();
    let of_which =
        if priorities.is_empty() { String::new() } else { format!(" ({})", priorities.join(", ")) };
    line(&mut text, "raised", &format!("{}{of_which}", data.raised));
    line(&mut text, "cleared", &data.cleared.to_string());
    if data.others > 0 {
        line(&mut text, "others", &data.others.to_string());
    }
    let devices =
        data.devices.iter().map(|known| format!("{}/{} {}", known.site, known.device, known.raised));
    let devices: Vec<String> = devices.collect();
    if !devices.is_empty() {
        line(&mut text, "devices", &devices.join(", "));
    }
    text.push('\n');
    let episodes = episodes(told);
    for episode in episodes.iter().take(MAX_LINES) {
        text.push_str(&episode.told(zone));
        text.push('\n');
    }
    if episodes.len() > MAX_LINES {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "… and {} more", episodes.len() - MAX_LINES);
    }
    text
}

/// One occurrence, as far as the digest's events tell of it.
struct Episode<'a> {
    any: &'a Told,
    raised: Option<&'a Told>,
    cleared: Option<&'a Told>,
}

/// In the order in which they were queued.
fn episodes(told: &[Told]) -> Vec<Episode<'_>> {
    let mut places: BTreeMap<EventId, usize> = BTreeMap::new();
    let mut episodes: Vec<Episode<'_>> = Vec::new();
    for told in told {
        let place = *places.entry(told.event.occurrence).or_insert(episodes.len());
        if place == episodes.len() {
            episodes.push(Episode { any: told, raised: None, cleared: None });
        }
        let Some(episode) = episodes.get_mut(place) else { continue };
        match told.event.transition {
            TransitionKind::Raise => episode.raised = Some(told),
            TransitionKind::Clear => episode.cleared = Some(told),
            #[allow(unreachable_patterns, reason = "kinds that are not told of here")]
            _ => {}
        }
    }
    episodes
}

impl Episode<'_> {
    fn told(&self, zone: &TimeZone) -> String {
        let event = &self.any.event;
        let of = |told: Option<&Told>| told.map(|told| time(told.event.time_unix_ms, zone));
        let when = match (of(self.raised), of(self.cleared)) {
            (Some(raised), Some(cleared)) => format!("raised {raised}, cleared {cleared}"),
            (Some(raised), None) => format!("raised {raised}"),
            (None, Some(cleared)) => format!("cleared {cleared}"),
            (None, None) => format!("{} {}", past(event.transition), time(event.time_unix_ms, zone)),
        };
        let late = if event.late {
            format!(", learned {}", time(Some(self.any.learned_unix_ms()), zone))
        } else {
            String::new()
        };
        let (priority, site, device) = (event.priority.name(), event.site, event.device);
        format!("{priority:8} {site}/{device} {} {}: {when}{late}", event.channel, event.rule)
    }
}

/// `2026-11-27 02:14:05 CET`
fn time(unix_ms: Option<i64>, zone: &TimeZone) -> String {
    let time = unix_ms.and_then(|unix_ms| Timestamp::from_millisecond(unix_ms).ok());
    time.map_or_else(
        || "at an unknown time".to_owned(),
        |time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:12}{value}");
}
