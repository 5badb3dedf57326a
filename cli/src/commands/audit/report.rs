//! What the audit says, for people.

use std::collections::BTreeMap;

use super::{
    ledger::{Audit, Cloned, OriginAudit, SetBack},
    verdict::{Finding, Verdict, What},
};
use crate::{
    instant::{local_time, roughly},
    paint::{Paint, Style},
    table::{Align, Table},
};

/// How many ranges a finding spells out.
const MAX_RANGES: usize = 4;

/// The table of origins, what is wrong with which, and one last line with the verdict.
pub fn render(audit: &Audit, verdict: Verdict, findings: &[Finding], paint: Paint) -> String {
    let mut text =
        if audit.origins.is_empty() { String::new() } else { table(audit, findings).render(paint) };
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&notes(audit));
    for finding in findings {
        text.push_str(&paint.bold_red(&describe(finding)));
        text.push('\n');
    }
    let style = match verdict {
        Verdict::Complete => Style::Green,
        Verdict::InFlight => Style::Yellow,
        Verdict::Missing => Style::BoldRed,
    };
    text.push_str(&paint.apply(style, &conclusion(audit, verdict)));
    text.push('\n');
    text
}

fn table(audit: &Audit, findings: &[Finding]) -> Table {
    let mut table = Table::new([
        ("SITE", Align::Left),
        ("DEVICE", Align::Left),
        ("BOOT", Align::Left),
        ("MEASURED", Align::Right),
        ("STORED", Align::Right),
        ("OUTSTANDING", Align::Right),
        ("LOST", Align::Left),
    ]);
    for origin in &audit.origins {
        let found =
            |f: &&Finding| (&f.site, &f.device, &f.boot) == (&origin.site, &origin.device, &origin.boot);
        let style = match findings.iter().find(found) {
            Some(_) => Style::Red,
            None if origin.outstanding > 0 => Style::Yellow,
            None => Style::Plain,
        };
        table.row(
            style,
            [
                origin.site.clone(),
                origin.device.clone(),
                origin.boot.clone(),
                measured(origin),
                origin.stored.to_string(),
                origin.outstanding.to_string(),
                with_summaries(reasons(&origin.lost), origin.summaries),
            ],
        );
    }
    table
}

/// A running origin has measured what it said so far; one that ended without a word may have measured more.
fn measured(origin: &OriginAudit) -> String {
    let count = origin.measured.count;
    if origin.closed && !origin.measured.exact { format!("at least {count}") } else { count.to_string() }
}

fn reasons(lost: &BTreeMap<String, u64>) -> String {
    let parts: Vec<String> = lost.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
}

/// What stands for thinned readings is worth a look.
fn with_summaries(reasons: String, summaries: u64) -> String {
    match summaries {
        0 => reasons,
        1 => format!("{reasons} (1 summary)"),
        more => format!("{reasons} ({more} summaries)"),
    }
}

fn spell(ranges: &[(u64, u64)]) -> String {
    let mut spelled: Vec<String> =
        ranges.iter().take(MAX_RANGES).map(|(start, end)| format!("{start}..{end}")).collect();
    if ranges.len() > MAX_RANGES {
        spelled.push("…".to_owned());
    }
    spelled.join(", ")
}

/// What is no problem, and should be known.
fn notes(audit: &Audit) -> String {
    let mut text = String::new();
    let sealed = &audit.sealed;
    if sealed.origins > 0 {
        text.push_str(&format!(
            "{} ended boots are sealed: {} measured, {} stored, {} declared lost\n",
            sealed.origins, sealed.measured, sealed.stored, sealed.lost
        ));
    }
    if audit.totals.expired > 0 {
        text.push_str(&format!(
            "{} of the stored readings are expired by retention: the lake does not have them any more\n",
            audit.totals.expired
        ));
    }
    if audit.quarantine.blocks > 0 {
        let blocks = audit.quarantine.blocks;
        text.push_str(&format!(
            "{blocks} block{} not taken and in quarantine, of all devices; see tidegate quarantine list\n",
            if blocks == 1 { " was" } else { "s were" }
        ));
    }
    for SetBack { site, gateway, times, last_unix_ms, had_commits, has_commits } in &audit.set_back {
        text.push_str(&format!(
            "gateway {site}/{gateway} was set back {}, last {}, from {had_commits} commits to {has_commits}: what only the newer queue held \
             of boots that nobody spoke of since is in no account\n",
            if *times == 1 { "once".to_owned() } else { format!("{times} times") },
            local_time(*last_unix_ms),
        ));
    }
    for Cloned { site, gateway, raised_unix_ms, goes_on } in &audit.cloned {
        let state = if *goes_on { "runs twice, noticed" } else { "ran twice, noticed" };
        text.push_str(&format!(
            "gateway {site}/{gateway} {state} {}: what its processes said alike is stored once, what differs is in conflict\n",
            local_time(*raised_unix_ms),
        ));
    }
    for origin in audit.origins.iter().filter(|origin| origin.refused > 0) {
        let OriginAudit { site, device, boot, refused, .. } = origin;
        text.push_str(&format!(
            "{refused} came of {site}/{device} boot {boot} after it was sealed, and were refused; "
        ));
        text.push_str("see the agents' /status for a quarantine\n");
    }
    text
}

fn describe(finding: &Finding) -> String {
    let Finding { site, device, boot, what } = finding;
    match what {
        What::Outstanding { count, ranges, silent_ms } => format!(
            "missing: {count} of {site}/{device} boot {boot}, seq {}; nothing was heard of it for {}",
            spell(ranges),
            roughly(*silent_ms)
        ),
        What::Stuck { count, ranges } => format!(
            "missing: {count} of {site}/{device} boot {boot}, seq {}; it goes on, and these do not come; \
             see the agents' /status for a quarantine",
            spell(ranges)
        ),
        What::Conflicts { count, ranges } => format!(
            "conflict: {count} of {site}/{device} boot {boot}{} came twice with different values, and what is stored of that \
             boot may be of either; two devices may share that name, or a gateway runs twice; see tidegate quarantine list",
            if ranges.is_empty() { String::new() } else { format!(", seq {},", spell(ranges)) }
        ),
        What::Lost { count, reasons: why } => {
            format!("lost: {count} of {site}/{device} boot {boot} ({})", reasons(why))
        }
    }
}

fn conclusion(audit: &Audit, verdict: Verdict) -> String {
    let totals = &audit.totals;
    if audit.origins.is_empty() && audit.sealed.origins == 0 {
        return "Nothing was measured yet.".to_owned();
    }
    let counts = format!(
        "{} measured, {} stored, {} declared lost, {} outstanding",
        totals.measured, totals.stored, totals.lost, totals.outstanding
    );
    match verdict {
        Verdict::Complete => format!("Complete: {counts}."),
        Verdict::InFlight => format!("On its way: {counts}."),
        Verdict::Missing => format!("Not complete: {counts}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        let mut origin =
            OriginAudit { site: "s".into(), device: "b1".into(), boot: "0a".into(), ..Default::default() };
        origin.measured.count = 120;
        (origin.stored, origin.outstanding, origin.closed) = (100, 18, true);
        origin.lost = BTreeMap::from([("evicted".into(), 2)]);
        let totals = super::super::ledger::Totals {
            measured: 120,
            stored: 100,
            lost: 2,
            outstanding: 18,
            ..Default::default()
        };
        Audit { position: 1, origins: vec![origin], totals, ..Audit::default() }
    }

    #[test]
    fn the_report_names_what_is_missing_and_ends_with_the_verdict() {
        let what = What::Outstanding {
            count: 18,
            ranges: vec![(1, 2), (3, 4), (5, 6), (7, 8), (100, 114)],
            silent_ms: 600_000,
        };
        let finding = Finding { site: "s".into(), device: "b1".into(), boot: "0a".into(), what };
        let text = render(&audit(), Verdict::Missing, &[finding], Paint::always(false));
        let expected = "\
SITE  DEVICE  BOOT      MEASURED  STORED  OUTSTANDING  LOST
s     b1      0a    at least 120     100           18  2 evicted

missing: 18 of s/b1 boot 0a, seq 1..2, 3..4, 5..6, 7..8, …; nothing was heard of it for 10 min
Not complete: 120 measured, 100 stored, 2 declared lost, 18 outstanding.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_gateway_that_was_set_back_is_named_and_how_far() {
        let mut audit = audit();
        audit.set_back = vec![SetBack {
            site: "s".into(),
            gateway: "gw".into(),
            times: 2,
            last_unix_ms: 1_800_000_000_000,
            had_commits: 4_711,
            has_commits: 17,
        }];
        let text = render(&audit, Verdict::InFlight, &[], Paint::always(false));
        let line = text.lines().find(|line| line.starts_with("gateway s/gw")).expect("a line");
        let expected = format!(
            "gateway s/gw was set back 2 times, last {}, from 4711 commits to 17: what only the newer queue held of boots that nobody \
             spoke of since is in no account",
            local_time(1_800_000_000_000)
        );
        assert_eq!(line, expected);
        audit.set_back[0].times = 1;
        let text = render(&audit, Verdict::InFlight, &[], Paint::always(false));
        assert!(text.contains("was set back once, last"), "{text}");
    }

    #[test]
    fn a_gateway_that_runs_or_ran_twice_is_named() {
        let mut audit = audit();
        let (site, gateway, raised_unix_ms) = ("s".to_owned(), "gw".to_owned(), 1_800_000_000_000);
        audit.cloned = vec![Cloned { site, gateway, raised_unix_ms, goes_on: true }];
        let text = render(&audit, Verdict::InFlight, &[], Paint::always(false));
        let expected = format!("gateway s/gw runs twice, noticed {}: ", local_time(raised_unix_ms));
        assert!(text.contains(&expected), "{text}");
        audit.cloned[0].goes_on = false;
        let text = render(&audit, Verdict::InFlight, &[], Paint::always(false));
        assert!(text.contains("gateway s/gw ran twice, noticed "), "{text}");
    }

    #[test]
    fn an_empty_ledger_says_so() {
        let text = render(&Audit::default(), Verdict::Complete, &[], Paint::always(false));
        assert_eq!(text, "Nothing was measured yet.\n");
    }
}
