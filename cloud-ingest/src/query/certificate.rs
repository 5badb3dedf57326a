//! The statement that a certificate signs, from the committed ledger and the stored readings.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tidegate_protocol::{
    ClockAnchor, ClockQuality, DeviceId, RangeSet, Reading, SeqRange, SiteId, Tick, Value, block::Tail,
};

use super::{QueryError, Selection, selected, selects};
use crate::{
    certificate::{
        Statement,
        keys::hex,
        statement::{self, BootStatement, Bracket, Content, End, SealedStatement, Totals, Window},
    },
    core::{
        batch::{OriginNo, OriginRecord},
        seal::SealedRecord,
    },
    lake::Lake,
    readings::Source,
    store::Look,
};

/// What is to be stated: all that the ledger heard of a device, or a span of wall time, in unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Needed where several sites have a device of that name.
    pub site: Option<SiteId>,
    pub device: DeviceId,
    pub window: Option<(i64, i64)>,
}

type Boot = (OriginNo, OriginRecord);

pub(super) fn statement(
    look: &Look<'_>,
    lake: &Lake,
    request: &CertificateRequest,
    issued: Timestamp,
) -> Result<Statement, QueryError> {
    let selection = Selection { site: request.site, device: Some(request.device), channel: None };
    let mut boots: Vec<Boot> = selected(look, &selection)?.collect();
    let mut ended = look.sealed()?;
    ended.retain(|(_, record)| selects(&selection, record.site, record.origin.device));
    let mut sites = boots.iter().map(|(_, record)| record.site);
    let mut sites = sites.by_ref().chain(ended.iter().map(|(_, record)| record.site));
    let site = sites.next().ok_or(QueryError::UnknownDevice)?;
    if sites.any(|other| other != site) {
        return Err(QueryError::SeveralSites);
    }
    let mut source = Source::new(look, lake)?;
    let mut told = Statement {
        format: statement::FORMAT.to_owned(),
        issued,
        issuer: concat!("tidegate-ingest ", env!("CARGO_PKG_VERSION")).to_owned(),
        journal_position: look.next_position()?,
        ledger: look.ledger_count()?,
        site: site.to_string(),
        device: request.device.to_string(),
        window: None,
        boots: Vec::new(),
        sealed: Vec::new(),
        totals: Totals::default(),
    };
    if let Some((from, to)) = request.window {
        let window = brackets(look, &mut source, &boots, from, to)?;
        let holds = |record: &OriginRecord| {
            let boot = record.origin.boot.to_string();
            boot == window.before.boot || boot == window.after.boot
        };
        let first = boots.iter().find(|(_, record)| record.origin.boot.to_string() == window.before.boot);
        let first =
            first.and_then(|(_, record)| began(record.anchor)).map_or(i128::MIN, |(earliest, _)| earliest);
        // A device is in one boot at a time. What no synchronised clock places outside is spoken of as a whole.
        let outside = |anchor| {
            began(anchor).is_some_and(|(earliest, latest)| earliest >= i128::from(to) || latest < first)
        };
        boots.retain(|(_, record)| holds(record) || !outside(record.anchor));
        ended.retain(|(_, record)| !outside(record.anchor));
        told.window = Some(window);
    }
    for (_, record) in &ended {
        let boot = sealed(record);
        told.totals.add_sealed(&boot);
        told.sealed.push(boot);
    }
    for (no, record) in &boots {
        let mut covers = SeqRange::new(0, record.ledger.next());
        if let Some(Window { before, after, .. }) = &told.window {
            let boot = record.origin.boot.to_string();
            covers.start = if boot == before.boot { before.seq } else { covers.start };
            covers.end = if boot == after.boot { after.seq + 1 } else { covers.end };
        }
        let boot = boot(&mut source, *no, record, covers)?;
        told.totals.add(&boot);
        told.boots.push(boot);
    }
    Ok(told)
}

fn boot(
    source: &mut Source<'_>,
    no: OriginNo,
    record: &OriginRecord,
    covers: SeqRange,
) -> Result<BootStatement, QueryError> {
    let ledger = &record.ledger;
    let lost = ledger.lost().map(|(reason, ranges)| (reason.name().to_owned(), clip(ranges, covers)));
    Ok(BootStatement {
        boot: record.origin.boot.to_string(),
        covers: (covers.start, covers.end),
        next: ledger.next(),
        end: match ledger.tail() {
            None => End::Open,
            Some(Tail::Known(_)) => End::Known,
            Some(Tail::AtLeast(_)) => End::AtLeast,
        },
        stored: clip(ledger.stored(), covers),
        lost: lost.filter(|(_, ranges)| !ranges.is_empty()).collect(),
        outstanding: clip(&ledger.outstanding(), covers),
        conflicts: statement::count(&clip(&record.conflicts, covers)),
        content: content(source, no, covers)?,
    })
}

fn sealed(record: &SealedRecord) -> SealedStatement {
    SealedStatement {
        boot: record.origin.boot.to_string(),
        next: record.next,
        stored: record.stored,
        lost: record.lost.iter().map(|(reason, count)| (reason.name().to_owned(), *count)).collect(),
        conflicts: record.conflicts,
        ledger_sha256: hex(&record.digest),
    }
}

fn clip(set: &RangeSet, covers: SeqRange) -> Vec<statement::Range> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    set.split(covers, &mut inside, &mut outside);
    inside.into_iter().map(|range| (range.start, range.end)).collect()
}

fn content(source: &mut Source<'_>, no: OriginNo, covers: SeqRange) -> Result<Content, QueryError> {
    let (mut hash, mut readings) = (Sha256::new(), 0);
    source.read(no, covers, (0, u64::MAX), |reading| {
        digest(&mut hash, reading);
        readings += 1;
        true
    })?;
    Ok(Content { readings, sha256: hex(&hash.finalize()) })
}

/// Values as doubles: that is what journal and lake give back alike.
fn digest(hash: &mut Sha256, reading: &Reading) {
    let kind = match reading.value {
        Value::Bool(_) => 0,
        Value::Decimal { .. } => 1,
        Value::F32(_) => 2,
        Value::F64(_) => 3,
    };
    hash.update(reading.seq.0.to_le_bytes());
    hash.update([reading.channel.0]);
    hash.update(reading.tick.0.to_le_bytes());
    hash.update([kind]);
    hash.update(reading.value.as_f64().to_bits().to_le_bytes());
    hash.update([reading.quality as u8]);
}

/// When a boot began, at the earliest and at the latest, in unix milliseconds; only a synchronised clock can tell.
fn began(anchor: Option<ClockAnchor>) -> Option<(i128, i128)> {
    let anchor = anchor.filter(|anchor| anchor.quality == ClockQuality::Synced)?;
    let (at, error) = (i128::from(anchor.unix_ms_at(Tick(0))), i128::from(anchor.error_ms));
    Some((at - error, at + error))
}

/// Finds the readings that hold a span of wall time between them: of all boots, the last before and the first after.
fn brackets(
    look: &Look<'_>,
    source: &mut Source<'_>,
    boots: &[Boot],
    from: i64,
    to: i64,
) -> Result<Window, QueryError> {
    let (mut before, mut after): (Option<Bracket>, Option<Bracket>) = (None, None);
    for boot in boots {
        let found = bracket(look, source, boot, from, Side::Before)?;
        let later = found.filter(|found| before.as_ref().is_none_or(|known| known.time < found.time));
        before = later.or(before);
        let found = bracket(look, source, boot, to, Side::After)?;
        let sooner = found.filter(|found| after.as_ref().is_none_or(|known| known.time > found.time));
        after = sooner.or(after);
    }
    let missing = |which, when, end| {
        let when = time(when).map_or_else(|| format!("{when} ms"), |time| time.to_string());
        QueryError::NotBracketed(format!(
            "no stored reading with a synchronised clock was surely taken at {when} or {which}; move `{end}`, \
             or leave the window out to certify all that the ledger heard of"
        ))
    };
    let before = before.ok_or_else(|| missing("before", from, "from"))?;
    let after = after.ok_or_else(|| missing("after", to, "to"))?;
    let (Some(from), Some(to)) = (time(from), time(to)) else {
        return Err(QueryError::NotBracketed("its times are beyond the calendar".to_owned()));
    };
    Ok(Window { from, to, before, after })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// The stored reading of a boot nearest to `unix_ms` that was surely taken on that side of it.
fn bracket(
    look: &Look<'_>,
    source: &mut Source<'_>,
    (no, record): &Boot,
    unix_ms: i64,
    side: Side,
) -> Result<Option<Bracket>, QueryError> {
    let Some(anchor) = record.anchor.filter(|anchor| anchor.quality == ClockQuality::Synced) else {
        return Ok(None);
    };
    let error = i128::from(anchor.error_ms);
    let sure = i128::from(unix_ms) - i128::from(anchor.unix_ms_at(Tick(0)))
        + if side == Side::Before { -error } else { error };
    let ticks = match (side, u64::try_from(sure)) {
        (Side::Before, Ok(latest)) => (0, latest),
        (Side::After, Ok(earliest)) => (earliest, u64::MAX),
        (Side::After, Err(_)) if sure < 0 => (0, u64::MAX),
        _ => return Ok(None),
    };
    let mut run = None;
    look.runs(*no, SeqRange::new(0, u64::MAX), |found| {
        let meets = found.ticks.0 <= ticks.1 && found.ticks.1 >= ticks.0;
        run = if meets { Some(found) } else { run };
        Ok(side == Side::Before || !meets)
    })?;
    let Some(run) = run else { return Ok(None) };
    let mut nearest = None;
    source.read(*no, run.range, ticks, |reading| {
        if (ticks.0..=ticks.1).contains(&reading.tick.0) {
            nearest = Some(*reading);
        }
        side == Side::Before || nearest.is_none()
    })?;
    let found = nearest.and_then(|reading| Some((reading.seq.0, time(anchor.unix_ms_at(reading.tick))?)));
    Ok(found.map(|(seq, time)| Bracket {
        boot: record.origin.boot.to_string(),
        seq,
        time,
        error_ms: anchor.error_ms,
    }))
}

fn time(unix_ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(unix_ms).ok()
}
