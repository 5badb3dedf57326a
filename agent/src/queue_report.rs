//! What `queue …` prints.

use std::io::{self, Write};

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_agent::{
    Config,
    core::Totals,
    queue::{
        self,
        doctor::{
            BlockContent, BlockView, Compacted, Exported, Filter, Held, Inspection, OriginView,
            QuarantinedBlock, Repaired, Replayed, Verified,
        },
    },
};
use tidegate_protocol::SeqRange;

/// Readings of a block that are shown.
const FIRST_READINGS: usize = 10;
/// Ranges of an origin that fit a line.
const FIRST_RANGES: usize = 4;

pub fn stats(config: &Config) -> Result<()> {
    let stats = queue::read_stats(&config.data_dir)?;
    let totals = stats.totals;
    println!("blocks      {}", totals.blocks);
    println!("readings    {}", totals.readings);
    println!("disk bytes  {} of {}", totals.bytes, config.queue.quota_bytes);
    println!("oldest      {}", time(stats.oldest_unix_ms));
    println!("quarantined {}", stats.quarantined.values().sum::<u64>());
    for (reason, blocks) in &stats.quarantined {
        println!("  {reason:<14} {blocks}");
    }
    println!("origins     {}", stats.origins.len());
    for record in &stats.origins {
        let state = if record.closed { "closed" } else { "open" };
        println!("  {}  floor {}  next {}  {state}", record.description.origin, record.floor, record.next);
    }
    if stats.entries != totals.blocks {
        println!("warning: {} blocks were counted, the totals say {}", stats.entries, totals.blocks);
    }
    Ok(())
}

fn time(unix_ms: Option<i64>) -> String {
    match unix_ms.map(Timestamp::from_millisecond) {
        None => "none".into(),
        Some(Ok(time)) => time.to_string(),
        Some(Err(_)) => "at no time there is".into(),
    }
}

fn json(value: &impl Serialize) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

fn json_line(value: &impl Serialize) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

pub fn inspection(seen: &Inspection, filter: &Filter, as_json: bool) -> Result<()> {
    let mut seen = seen.clone();
    seen.origins.retain(|origin| {
        let named = |only: &str, is: &str| only == is;
        filter.device.is_none_or(|device| named(device.as_str(), &origin.device))
            && filter
                .origin
                .is_none_or(|only| only.to_string() == format!("{}/{}", origin.device, origin.boot))
    });
    if as_json {
        return json(&seen);
    }
    let Totals { blocks, readings, bytes } = seen.totals;
    println!("format      {}", seen.format);
    println!("commits     {}", seen.commits.map_or("not counted".to_owned(), |commits| commits.to_string()));
    println!("blocks      {} (the totals say {blocks})", seen.blocks);
    println!("readings    {} (the totals say {readings})", seen.readings);
    println!("disk bytes  {bytes} of blocks, {} of the file, map of {}", seen.file_bytes, seen.map_bytes);
    println!("pages       {} of {} bytes, {} of them free", seen.pages, seen.page_bytes, seen.free_pages);
    match (seen.first_key, seen.last_key) {
        (Some(first), Some(last)) => println!("keys        {first} to {last}, next {}", seen.next_key),
        _ => println!("keys        none, next {}", seen.next_key),
    }
    if seen.alarm_blocks > 0 {
        println!("alarms      {} blocks, whose keys stand above all others", seen.alarm_blocks);
    }
    println!("oldest      {}", time(seen.oldest_unix_ms));
    println!("newest      {}", time(seen.newest_unix_ms));
    if seen.damaged_blocks > 0 {
        println!("damaged     {} blocks; `queue verify` says more", seen.damaged_blocks);
    }
    println!("quarantined {}", seen.quarantine.values().map(|of| of.blocks).sum::<u64>());
    for (reason, Totals { blocks, readings, bytes }) in &seen.quarantine {
        println!("  {reason:<14} {blocks} blocks, {readings} readings, {bytes} bytes");
    }
    println!("origins     {}", seen.origins.len());
    seen.origins.iter().for_each(origin);
    Ok(())
}

fn origin(view: &OriginView) {
    let OriginView { device, boot, tag, floor, next, closed, queued, queued_readings, .. } = view;
    let state = match closed {
        None => "no record",
        Some(true) => "closed",
        Some(false) => "open",
    };
    let of_board = floor.zip(*next).map(|(floor, next)| format!("  floor {floor}  next {next}"));
    println!("  {device}/{boot}  {tag}  {state}{}", of_board.unwrap_or_default());
    if *queued_readings > 0 {
        println!("    {queued_readings} readings queued: {}", ranges(queued));
    }
}

fn ranges(ranges: &[SeqRange]) -> String {
    let mut first: Vec<String> = ranges.iter().take(FIRST_RANGES).map(ToString::to_string).collect();
    if ranges.len() > FIRST_RANGES {
        first.push(format!("and {} ranges more", ranges.len() - FIRST_RANGES));
    }
    first.join(", ")
}

fn holds(held: &[Held]) -> String {
    let one = |held: &Held| format!("{}/{} {}", held.device, held.boot, ranges(&held.ranges));
    held.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub fn block_line(block: &BlockView, as_json: bool) -> Result<()> {
    if as_json {
        return json_line(block);
    }
    let BlockView { key, committed_unix_ms, readings, bytes, holds: held, damage } = block;
    let damage = damage.as_ref().map(|damage| format!("  DAMAGED: {damage}")).unwrap_or_default();
    let when = time(Some(*committed_unix_ms));
    writeln!(
        io::stdout(),
        "{key:>8}  {when}  {readings:>6} readings  {bytes:>7} bytes  {}{damage}",
        holds(held)
    )?;
    Ok(())
}

pub fn block(content: &BlockContent, as_json: bool) -> Result<()> {
    let readings = content.block.iter().flat_map(|block| &block.origins);
    let first: Vec<_> = readings
        .flat_map(|of| of.readings.iter().map(|reading| (of.origin, *reading)))
        .take(FIRST_READINGS)
        .collect();
    let records = content.block.as_ref().map(|block| block.records.as_slice()).unwrap_or_default();
    if as_json {
        #[derive(Serialize)]
        struct Full<'f> {
            #[serde(flatten)]
            view: &'f BlockView,
            records: &'f [tidegate_protocol::block::Record],
            first_readings: Vec<tidegate_protocol::Reading>,
        }
        let first_readings = first.into_iter().map(|(_, reading)| reading).collect();
        return json(&Full { view: &content.view, records, first_readings });
    }
    block_line(&content.view, false)?;
    for record in records {
        println!("  {record:?}");
    }
    for (origin, reading) in first {
        let (seq, channel, tick) = (reading.seq, reading.channel.0, reading.tick.0);
        println!(
            "  {origin} {seq}: channel {channel}, tick {tick}, {} {}",
            reading.value,
            reading.quality.name()
        );
    }
    Ok(())
}

pub fn verified(verified: &Verified, as_json: bool) -> Result<()> {
    if as_json {
        return json(verified);
    }
    let Verified { blocks, readings, quarantined, origins, damaged, findings, notes } = verified;
    println!("{blocks} blocks, {readings} readings, {quarantined} blocks in quarantine, {origins} origins");
    notes.iter().for_each(|note| println!("note: {note}"));
    findings.iter().for_each(|finding| println!("{finding}"));
    match damaged {
        0 => println!("the queue is whole"),
        _ => println!("{damaged} findings; `tidegate-agent queue repair` says what can be done"),
    }
    Ok(())
}

pub fn exported(exported: &Exported) {
    let Exported { blocks, readings, records, undecodable } = exported;
    eprintln!("{readings} readings and {records} records of {blocks} blocks");
    if *undecodable > 0 {
        eprintln!("{undecodable} blocks do not decode; `tidegate-agent queue verify` says why");
    }
}

pub fn repaired(repaired: &Repaired, as_json: bool) -> Result<()> {
    if as_json {
        return json(repaired);
    }
    if !repaired.is_needed() {
        println!("nothing is to be repaired");
        return Ok(());
    }
    let Repaired { written, file_damage, kept_as, damaged_blocks, .. } = repaired;
    file_damage.iter().for_each(|damage| println!("file: {damage}"));
    for block in damaged_blocks {
        let key = block.key.map_or("a block".to_owned(), |key| format!("block {key}"));
        match block.is_nameless {
            true => println!("{key}: {}; what of it is lost, the agent tells when it starts", block.what),
            false => println!(
                "{key}: {}; {} readings lost: {}",
                block.what,
                block.lost_readings,
                holds(&block.lost)
            ),
        }
    }
    if repaired.heads > 0 {
        println!("{} heads of blocks made anew", repaired.heads);
    }
    if repaired.given_up > 0 {
        let (blocks, readings) = (repaired.given_up, repaired.given_up_readings);
        println!(
            "{blocks} blocks that the quarantine had given up: {readings} readings declared lost (evicted)"
        );
    }
    let (restored, dropped) = (&repaired.origins_restored, &repaired.origins_dropped);
    println!("{} records of origins restored, {} given up", restored.len(), dropped.len());
    dropped.iter().for_each(|origin| println!("  {origin} comes back with its board's next hello"));
    if !file_damage.is_empty() {
        println!("{} blocks were found outside of the damaged trees", repaired.found_loose);
    }
    let Totals { blocks, readings, .. } = repaired.totals_after;
    let before = repaired
        .totals_before
        .map_or("unreadable".to_owned(), |of| format!("{} blocks with {} readings", of.blocks, of.readings));
    println!("totals: {before} before, {blocks} blocks with {readings} readings after");
    match (written, kept_as) {
        (true, Some(kept)) => {
            println!("a new queue is in place; the damaged one is kept as {}", kept.display())
        }
        (true, None) => println!("done"),
        (false, _) => println!("nothing was written; --yes does it"),
    }
    Ok(())
}

pub fn compacted(compacted: &Compacted) {
    println!("{} bytes before, {} bytes after", compacted.bytes_before, compacted.bytes_after);
}

pub fn replayed(replayed: &Replayed) {
    let Replayed { blocks, readings, undecodable, written } = replayed;
    let verb = if *written { "are in the queue again" } else { "would be put into the queue" };
    println!("{blocks} blocks with {readings} readings {verb}");
    if *undecodable > 0 {
        println!("{undecodable} blocks are damaged and stay in the quarantine");
    }
    if !written && *blocks > 0 {
        println!("nothing was written; --yes does it");
    }
}

pub fn quarantined(block: &QuarantinedBlock, as_json: bool) -> Result<()> {
    if as_json {
        return json_line(block);
    }
    let QuarantinedBlock { key, reason, since_unix_ms, bytes, is_whole, holds: held } = block;
    let state = if *is_whole { "whole" } else { "damaged" };
    let since = time(*since_unix_ms);
    writeln!(io::stdout(), "{key:>8}  {since}  {reason:<14} {state:<7} {bytes:>7} bytes  {}", holds(held))?;
    Ok(())
}
