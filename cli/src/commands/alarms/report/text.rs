//! The report as text: sums, then a section for each measure that there is something to say of.

use tidegate_alarms::{
    Priority,
    report::{AlarmName, Flood, Nuisance, Report, Suggestion, Times},
};

use super::view::{Listed, Now, ReportView, Standing};
use crate::{
    instant::{local_time, roughly},
    paint::{Paint, Style, priority_style},
    table::{Align, Table},
};

const LEFT: Align = Align::Left;
const RIGHT: Align = Align::Right;

pub fn text(ReportView { report, now }: &ReportView, paint: Paint) -> String {
    let span_ms = report.to_unix_ms.saturating_sub(report.from_unix_ms);
    let (from, to) = (local_time(report.from_unix_ms), local_time(report.to_unix_ms));
    let mut text = format!(
        "{}\n\n",
        paint.apply(Style::Bold, &format!("Alarms from {from} to {to} ({})", roughly(span_ms)))
    );
    text.push_str(&sums(report, span_ms));
    text.push('\n');
    text.push_str(&priorities(report, now).render(paint));
    let mut section = |title: &str, all: u64, shown: usize, table: Table| {
        if shown == 0 {
            return;
        }
        let more = all.saturating_sub(shown as u64);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        text.push_str(&format!("\n{}{more}\n{}", paint.apply(Style::Bold, title), table.render(paint)));
    };
    let load = &report.load;
    section("Floods: ten raises in ten minutes", load.flood_count, load.floods.len(), floods(report));
    let actors = &report.bad_actors;
    // The others of a long list are no bad actors.
    section("Raised most", 0, actors.len(), bad_actors(report));
    let title = "Chattering: raised three times in a minute";
    let each = |alarm: &Nuisance| (alarm.chattering_raises, off(&alarm.suggestion));
    let table = nuisances(&report.chattering, "CHATTERING", each);
    section(title, report.chattering_alarms, report.chattering.len(), table);
    let title = "Fleeting: cleared within five seconds";
    let each = |alarm: &Nuisance| (alarm.fleeting, on(&alarm.suggestion));
    let table = nuisances(&report.fleeting, "FLEETING", each);
    section(title, report.fleeting_alarms, report.fleeting.len(), table);
    let mut listed = |title: &str, listed: &Listed| {
        section(title, listed.count, listed.alarms.len(), standing(listed, now.at_unix_ms));
    };
    listed("Now: active for more than 24 h", &now.standing);
    listed("Now: not acknowledged for more than 24 h", &now.stale_unacknowledged);
    listed("Now: shelved", &now.shelved);
    text
}

fn sums(report: &Report, span_ms: i64) -> String {
    let mut text = String::new();
    let mut line = |what: &str, said: String| text.push_str(&format!("  {what:<14}{said}\n"));
    let apart = [
        (report.late_raises, "late"),
        (report.untracked_raises, "of alarms beyond those that are looked at each for itself"),
    ];
    let mut beside: Vec<String> = apart
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    beside.insert(0, format!("of {} alarms", report.alarms_raised));
    line("raises", format!("{}  {}", report.raises, beside.join(", ")));
    if report.suppressed_raises > 0 {
        line("suppressed", format!("{}  raised besides, and nobody was told", report.suppressed_raises));
    }
    if report.untimed_raises > 0 {
        line("without time", format!("{}  raised besides, nobody knows when", report.untimed_raises));
    }
    line("clears", report.clears.to_string());
    line("acknowledged", format!("{}{}", report.acknowledgements, times(&report.time_to_acknowledge)));
    let load = &report.load;
    for (what, rate) in [("an hour", &load.per_hour), ("in 10 minutes", &load.per_10_minutes)] {
        line(what, format!("{:.1} raises on average, {} at most", rate.average, rate.peak));
    }
    let flooded = load.flooded_ms as f64 / span_ms.max(1) as f64;
    let floods = match load.flood_count {
        0 => "none".to_owned(),
        count => format!("{count}, {} of the time", percent(flooded)),
    };
    line("floods", floods);
    text
}

fn times(times: &Times) -> String {
    let (Some(half), Some(most), Some(longest)) = (times.p50_ms, times.p90_ms, times.max_ms) else {
        return String::new();
    };
    let [half, most, longest] = [half, most, longest].map(length);
    format!("  half within {half}, nine of ten within {most}, the longest {longest}")
}

fn length(ms: u64) -> String {
    roughly(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn priorities(report: &Report, now: &Now) -> Table {
    let mut table = Table::new([
        ("PRIORITY", LEFT),
        ("RAISES", RIGHT),
        ("SHARE", RIGHT),
        ("GUIDE", RIGHT),
        ("ACKED", RIGHT),
        ("HALF IN", RIGHT),
        ("9 OF 10 IN", RIGHT),
        ("LONGEST", RIGHT),
        ("ACTIVE NOW", RIGHT),
        ("UNACKED NOW", RIGHT),
    ]);
    let within = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), length);
    for each in &report.priorities {
        let now = now.priorities.iter().find(|now| now.priority == each.priority);
        let guide = if each.priority == Priority::Critical { "<" } else { "~" };
        let times = &each.time_to_acknowledge;
        table.row(
            if each.raises == 0 { Style::Dim } else { priority_style(each.priority.name()) },
            [
                each.priority.name().to_owned(),
                each.raises.to_string(),
                percent(each.share),
                format!("{guide}{:.0} %", each.guide_share * 100.0),
                times.count.to_string(),
                within(times.p50_ms),
                within(times.p90_ms),
                within(times.max_ms),
                now.map_or(0, |now| now.active).to_string(),
                now.map_or(0, |now| now.unacknowledged).to_string(),
            ],
        );
    }
    table
}

fn floods(report: &Report) -> Table {
    let mut table = Table::new([
        ("BEGAN", LEFT),
        ("ENDED", LEFT),
        ("LASTED", RIGHT),
        ("RAISES", RIGHT),
        ("MOST IN 10 MIN", RIGHT),
    ]);
    for flood in &report.load.floods {
        let Flood { began_unix_ms, ended_unix_ms, raises, peak_per_10_minutes } = flood;
        let lasted = ended_unix_ms.unwrap_or(report.to_unix_ms).saturating_sub(*began_unix_ms);
        table.row(
            Style::Plain,
            [
                local_time(*began_unix_ms),
                ended_unix_ms.map_or_else(|| "not within".to_owned(), local_time),
                roughly(lasted),
                raises.to_string(),
                peak_per_10_minutes.to_string(),
            ],
        );
    }
    table
}

fn bad_actors(report: &Report) -> Table {
    let mut table = Table::new([("RAISES", RIGHT), ("SHARE", RIGHT), ("PRIORITY", LEFT), ("ALARM", LEFT)]);
    for actor in &report.bad_actors {
        let cells = [
            actor.raises.to_string(),
            percent(actor.share),
            actor.priority.name().to_owned(),
            name(&actor.alarm),
        ];
        table.row(Style::Plain, cells);
    }
    table
}

fn nuisances(alarms: &[Nuisance], what: &'static str, each: impl Fn(&Nuisance) -> (u64, String)) -> Table {
    let mut table =
        Table::new([("RAISES", RIGHT), (what, RIGHT), ("PRIORITY", LEFT), ("ALARM", LEFT), ("TRY", LEFT)]);
    for alarm in alarms {
        let (count, suggestion) = each(alarm);
        let cells = [
            alarm.raises.to_string(),
            count.to_string(),
            alarm.priority.name().to_owned(),
            name(&alarm.alarm),
            suggestion,
        ];
        table.row(Style::Plain, cells);
    }
    table
}

/// As a rules file has it.
fn off(suggestion: &Suggestion) -> String {
    let off_delay = suggestion.off_delay_ms.map(|ms| format!("off_delay = \"{}\"", delay(ms)));
    let deadband = suggestion.deadband.map(|deadband| format!("deadband = {deadband}"));
    let either: Vec<String> = off_delay.into_iter().chain(deadband).collect();
    either.join(" or ")
}

fn on(suggestion: &Suggestion) -> String {
    suggestion.on_delay_ms.map(|ms| format!("on_delay = \"{}\"", delay(ms))).unwrap_or_default()
}

fn delay(ms: u64) -> String {
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

fn standing(listed: &Listed, now_unix_ms: i64) -> Table {
    let mut table =
        Table::new([("RAISED", LEFT), ("AGO", RIGHT), ("PRIORITY", LEFT), ("ALARM", LEFT), ("STATE", LEFT)]);
    for each in &listed.alarms {
        let Standing { alarm, priority, state, raised_unix_ms, shelved_until_unix_ms } = each;
        let until =
            shelved_until_unix_ms.map(|until| format!(" until {}", local_time(until))).unwrap_or_default();
        table.row(
            Style::Plain,
            [
                raised_unix_ms.map_or_else(|| "-".to_owned(), local_time),
                raised_unix_ms.map_or_else(|| "-".to_owned(), |at| roughly(now_unix_ms.saturating_sub(at))),
                priority.name().to_owned(),
                name(alarm),
                format!("{}{until}", state.name()),
            ],
        );
    }
    table
}

fn name(alarm: &AlarmName) -> String {
    let AlarmName { site, device, channel, rule } = alarm;
    format!("{site}/{device}/{channel}/{rule}")
}
