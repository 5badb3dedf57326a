//! Every reading that the boards measured, held against what the cloud says of it: stored once, bit for bit as it was, or
//! declared lost, or in a quarantine, for a reason that a fault of the run explains.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tidegate_protocol::{RangeSet, Reading, SeqRange, Value};
use tidegate_tests::{api::Api, lake};

use crate::{boards::Incarnation, programs::SITE, report::Report, trial::Trial};

const PAGE: usize = 10_000;

#[derive(Default)]
struct Sum {
    measured: u64,
    stored: u64,
    /// By the reason that the ledger names.
    lost: BTreeMap<String, u64>,
    /// Measured before a board was unplugged, and never heard of by anyone.
    unheard: u64,
    duplicates: u64,
    /// In the lake's files so far.
    rows: String,
}

/// What was damaged shortly before the end is found when the journal goes to the lake: until then a look is repeated.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Looks until all is as it should be; what it is not in the end are the run's violations.
pub async fn audit(trial: &mut Trial) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let looked = look(trial).await;
        let found = match looked {
            Ok((sum, violations)) if violations.is_empty() || Instant::now() > deadline => {
                tell(&sum, &mut trial.report);
                violations
            }
            Err(why) if Instant::now() > deadline => vec![format!("the audit could not be made: {why}")],
            Ok(_) | Err(_) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
        };
        found.into_iter().for_each(|what| trial.report.violation(what));
        return;
    }
}

async fn look(trial: &mut Trial) -> Result<(Sum, Vec<String>), String> {
    let api = trial.api()?;
    let answer = api.try_get("/api/v1/audit").await?;
    let mut sum = Sum { duplicates: answer["totals"]["duplicates"].as_u64().unwrap_or(0), ..Sum::default() };
    let mut violations = Vec::new();
    let origins = answer["origins"].as_array().cloned().unwrap_or_default();
    for one in trial.boards.incarnations() {
        let origin = origins.iter().find(|origin| is_of(origin, one));
        let damaged = Damages {
            queue: trial.damaged_in_queues.of(one.device, one.boot),
            journal: trial.damaged_in_journal.of(one.device, one.boot),
        };
        for what in incarnation(&api, one, origin, &damaged, &mut sum).await? {
            violations.push(format!("{} boot {:016x}: {what}", one.device, one.boot.0));
        }
    }
    for origin in &origins {
        if !trial.boards.incarnations().iter().any(|one| is_of(origin, one)) {
            violations.push(format!("nobody measured {origin}"));
        }
    }
    let data = trial.ingest_data();
    let rows = lake::try_query(&data, "SELECT count(*), count(DISTINCT (device, boot, seq)) FROM LAKE");
    if let Some(row) = rows.as_ref().ok().and_then(|rows| rows.first())
        && row[0] != row[1]
    {
        violations.push(format!("the lake holds {} rows of {} readings", row[0], row[1]));
    }
    sum.rows = rows.map_or("not looked at (no DuckDB)".to_owned(), |rows| rows[0][0].to_string());
    if sum.stored == 0 {
        violations.push("nothing was stored: this run shows nothing".to_owned());
    }
    Ok((sum, violations))
}

fn tell(sum: &Sum, report: &mut Report) {
    report.figure("rows in the lake, none twice", &sum.rows);
    report.figure("readings measured", sum.measured);
    report.figure("readings stored, once and bit for bit", sum.stored);
    for (reason, count) in &sum.lost {
        report.figure(&format!("readings declared lost: {reason}"), count);
    }
    report.figure("readings of unplugged boards nobody heard of", sum.unheard);
    report.figure("duplicates refused", sum.duplicates);
}

fn is_of(origin: &Json, one: &Incarnation) -> bool {
    origin["device"] == one.device.as_str() && origin["boot"] == one.boot.to_string()
}

/// The reasons that are held against what happened.
const EXPLAINED: [&str; 5] = ["ring-overflow", "corrupt", "unclean-tail", "unaccounted", "evicted"];

struct Damages {
    queue: RangeSet,
    journal: RangeSet,
}

/// What is wrong with one boot of one board.
async fn incarnation(
    api: &Api,
    one: &Incarnation,
    origin: Option<&Json>,
    damaged: &Damages,
    sum: &mut Sum,
) -> Result<Vec<String>, String> {
    let measured = one.measured();
    let count = measured.len() as u64;
    sum.measured += count;
    let Some(origin) = origin else {
        sum.unheard += count;
        let acknowledged = one.status.acknowledged > 0 || !(one.unplugged || count == 0);
        let wrong =
            acknowledged.then(|| format!("the cloud never heard of {count} readings: {:?}", one.status));
        return Ok(wrong.into_iter().collect());
    };
    let mut wrong = Vec::new();
    let stored = stored(api, one, &measured, &mut wrong).await?;
    sum.stored += stored.count();
    let number = |pointer: &str| origin.pointer(pointer).and_then(Json::as_u64).unwrap_or(u64::MAX);
    let lost: BTreeMap<String, u64> = serde_json::from_value(origin["lost"].clone()).unwrap_or_default();
    let (heard, outstanding) = (number("/measured/count"), number("/outstanding"));
    for (reason, count) in &lost {
        *sum.lost.entry(reason.clone()).or_default() += count;
    }

    // The ledger adds up, and knows all there was.
    let lost_count: u64 = lost.values().sum();
    if number("/conflicts") != 0 {
        wrong.push(format!("{} conflicts", number("/conflicts")));
    }
    if number("/stored") + lost_count + outstanding != heard {
        wrong.push(format!("the ledger does not add up: {origin}"));
    }
    let least = if one.unplugged { one.held_from() } else { count };
    if !(least..=count).contains(&heard) {
        wrong.push(format!("the ledger knows of {heard} readings, {least} to {count} were measured"));
    }
    sum.unheard += count.saturating_sub(heard);

    // What is not there is explained, reading by reading and reason by reason.
    let missing: Vec<u64> = (0..heard.min(count)).filter(|seq| !stored.contains(*seq)).collect();
    let held_from = if one.unplugged { one.held_from() } else { u64::MAX };
    let of = |reason: &str| lost.get(reason).copied().unwrap_or_default();
    let within = |ranges: &RangeSet| missing.iter().filter(|seq| ranges.contains(**seq)).count() as u64;
    let (in_queue, in_journal) = (within(&damaged.queue), within(&damaged.journal));
    let unexplained = missing.iter().filter(|seq| {
        let flipped = damaged.queue.contains(**seq) || damaged.journal.contains(**seq);
        !(flipped || **seq >= held_from || of("ring-overflow") > 0 || of("evicted") > 0)
    });
    let unexplained: Vec<&u64> = unexplained.take(10).collect();
    if !unexplained.is_empty() {
        wrong.push(format!("missing, and no fault explains it: {unexplained:?} …; {origin}"));
    }
    let unavailable = number("/stored").saturating_sub(stored.count());
    let bounds = [
        ("lost to ring-overflow", of("ring-overflow"), one.status.lost),
        ("lost as corrupt", of("corrupt"), in_queue + in_journal),
        ("lost to an unclean tail", of("unclean-tail"), heard.saturating_sub(held_from)),
        ("lost as unaccounted", of("unaccounted"), in_queue),
        ("outstanding", outstanding, 0),
        ("stored, and nowhere to be had", unavailable, 0),
        ("lost for other reasons", lost_count - EXPLAINED.map(of).iter().sum::<u64>(), 0),
    ];
    for (what, found, most) in bounds {
        if found > most {
            wrong.push(format!("{found} {what}, at most {most} are explained: {origin}"));
        }
    }
    Ok(wrong)
}

/// The seqs that the cloud has of it; holds each against what was measured.
async fn stored(
    api: &Api,
    one: &Incarnation,
    measured: &[Reading],
    wrong: &mut Vec<String>,
) -> Result<RangeSet, String> {
    let mut found = RangeSet::default();
    let mut cursor = String::new();
    loop {
        let (device, boot) = (one.device, one.boot);
        let path =
            format!("/api/v1/readings?site={SITE}&device={device}&boot={boot}&limit={PAGE}&cursor={cursor}");
        let page = api.try_get(&path).await?;
        for reading in page["readings"].as_array().into_iter().flatten() {
            let seq = reading["seq"].as_u64().unwrap_or(u64::MAX);
            if found.contains(seq) {
                wrong.push(format!("seq {seq} is stored twice"));
            }
            found.insert(SeqRange::new(seq, seq.saturating_add(1)));
            let original = usize::try_from(seq).ok().and_then(|seq| measured.get(seq));
            if !original.is_some_and(|original| is_same(reading, original, &one.channels)) {
                wrong.push(format!("seq {seq} was measured as {original:?} and is stored as {reading}"));
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return Ok(found),
        }
    }
}

fn is_same(stored: &Json, measured: &Reading, channels: &[String]) -> bool {
    let value = match measured.value {
        Value::Bool(state) => stored["value"] == state,
        other => stored["value"].as_f64().is_some_and(|value| value.to_bits() == other.as_f64().to_bits()),
    };
    let channel =
        channels.get(usize::from(measured.channel.0)).is_some_and(|name| stored["channel"] == name.as_str());
    let quality = serde_json::to_value(measured.quality).is_ok_and(|quality| stored["quality"] == quality);
    value && channel && quality && stored["tick_ms"] == measured.tick.0 && stored["seq"] == measured.seq.0
}
