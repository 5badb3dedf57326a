//! Alarm events as lines, each shown once.
//!
//! A provisional event and its committed twin have one id. People see whichever comes first; `--json` gives both,
//! since a program may want to act only on what is stored, and what else the stream tells. Of what was shown the last [`REMEMBERED`] ids are kept: an
//! older event that comes again is shown again.

use std::{
    collections::{HashSet, VecDeque},
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::{
    commands::alarms::{list, when},
    paint::{Paint, Style, priority_style},
    sse,
    view::{Alarm, AlarmEvent, show_value},
};

pub const REMEMBERED: usize = 4_096;

pub struct Printer {
    json: bool,
    paint: Paint,
    shown: Shown,
}

impl Printer {
    pub fn new(json: bool, paint: Paint) -> Self {
        Self { json, paint, shown: Shown::default() }
    }

    pub fn event(&mut self, event: &AlarmEvent, raw: &str) -> io::Result<()> {
        // What is provisional is another message to a program than what is committed.
        let provisional = self.json && event.provisional;
        if !self.shown.first_time(format!("{}{}", event.id, if provisional { "?" } else { "" })) {
            return Ok(());
        }
        say(&if self.json { raw.replace('\n', " ") } else { line(event, self.paint) })
    }

    /// An alarm of a snapshot.
    pub fn standing(&self, alarm: &Alarm, event: &sse::Event) -> io::Result<()> {
        if self.json { self.other(event) } else { say(&standing_line(alarm, self.paint)) }
    }

    /// What is no alarm's event: for programs alone.
    pub fn other(&self, event: &sse::Event) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        say(&json!({ "event": event.name, "data": data }).to_string())
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// `2026-11-22 20:00:00.123  STANDS   high      plant/board-7 temperature  too-cold  is unacknowledged`
fn standing_line(alarm: &Alarm, paint: Paint) -> String {
    let when = alarm.raised.as_ref().map(when).unwrap_or_default();
    let when = paint.apply(Style::Dim, &format!("{when:<23}"));
    let word = paint.apply(list::style(alarm), &format!("{:<7}", "STANDS"));
    let Alarm { priority, site, device, channel, state, .. } = alarm;
    let rule = paint.apply(Style::Bold, &alarm.rule);
    format!("{when}  {word}  {priority:<8}  {site}/{device} {channel}  {rule}  is {state}")
}

/// `2026-11-22 20:00:00.123  RAISED   high      plant/board-7 temperature = 39.5 Cel  too-cold: …`
pub fn line(event: &AlarmEvent, paint: Paint) -> String {
    let when = paint.apply(Style::Dim, &when(event));
    let (word, style) = word(event);
    let word = paint.apply(style, &format!("{word:<7}"));
    let AlarmEvent { priority, site, device, channel, .. } = event;
    let rule = paint.apply(Style::Bold, &event.rule);
    if let Some(operator) = &event.operator {
        let by = if operator.by.is_empty() { String::new() } else { format!(" by {}", operator.by) };
        let comment =
            if operator.comment.is_empty() { String::new() } else { format!(": {}", operator.comment) };
        let state = event.state.as_deref().map(|state| format!("  is {state}")).unwrap_or_default();
        return format!(
            "{when}  {word}  {priority:<8}  {site}/{device} {channel}  {rule}{state}{by}{comment}"
        );
    }
    let unit = event.unit.as_deref().unwrap_or_default();
    let late = if event.late { "  (learned late)" } else { "" };
    let suppressed = if event.suppressed { "  (suppressed)" } else { "" };
    // A rule's message says what is wrong; when it is over there is nothing to say.
    let message = event.message.as_deref().filter(|_| event.transition == "raise");
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!(
        "{when}  {word}  {priority:<8}  {site}/{device} {channel} = {} {unit}  {rule}{message}{late}{suppressed}",
        show_value(&event.value),
    )
}

/// What happened, and how it looks. A newer ingest may know of more: it is shown as it names it.
fn word(event: &AlarmEvent) -> (String, Style) {
    match event.transition.as_str() {
        "raise" if event.suppressed => ("RAISED".to_owned(), Style::Dim),
        "raise" => ("RAISED".to_owned(), priority_style(&event.priority)),
        "clear" => ("CLEARED".to_owned(), Style::Green),
        "acknowledge" => ("ACKED".to_owned(), Style::Plain),
        "shelve" => ("SHELVED".to_owned(), Style::Plain),
        // It is told again where it is active.
        "unshelve" | "shelf-expired" if event.lifecycle.as_ref().is_some_and(|life| life.active) => {
            ("AGAIN".to_owned(), priority_style(&event.priority))
        }
        other => (other.to_uppercase(), Style::Plain),
    }
}

#[derive(Default)]
pub struct Shown {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Shown {
    /// Whether `id` was not seen among the last [`REMEMBERED`].
    pub fn first_time(&mut self, id: String) -> bool {
        if !self.ids.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_up_to_the_bound() {
        let mut shown = Shown::default();
        assert!((0..=REMEMBERED).all(|id| shown.first_time(id.to_string())));
        assert!(!shown.first_time("1".to_owned()));
        assert!(shown.first_time("0".to_owned()), "the oldest is forgotten");
        assert_eq!(shown.ids.len(), REMEMBERED);
    }
}
