//! All that a data folder holds, as text: what a person could ask of it, not how it is kept.

use std::{fmt::Write, path::Path};

use tidegate_ingest::{lake::Lake, readings::Source, store::LmdbStore};
use tidegate_protocol::SeqRange;

pub fn of(folder: &Path) -> String {
    let store = LmdbStore::open(&folder.join("store"), super::MAP_BYTES).expect("it opens");
    let lake = Lake::open(&folder.join("lake")).expect("a lake");
    let look = store.look().expect("a look");
    let mut text = format!("position {}\n", look.next_position().expect("a position"));
    for (path, gateway) in look.gateways().expect("gateways") {
        writeln!(text, "gateway {} {} {:?}", path.site, path.gateway, gateway.last_block_unix_ms).unwrap();
        if let Some(set_back) = gateway.queue.set_back {
            writeln!(text, "  {set_back:?}").unwrap();
        }
    }
    for (_, file) in look.lake_files().expect("files") {
        writeln!(text, "lake file {} of [{}, {}) with {} rows", file.path, file.from, file.to, file.rows)
            .unwrap();
    }
    writeln!(text, "quarantined {}", look.quarantined().expect("a count")).unwrap();
    for (no, record) in look.origins().expect("origins") {
        let description = look.description(no).expect("a description").expect("it is described");
        let ledger = &record.ledger;
        writeln!(text, "origin {} {} {}", record.site, record.origin.device, record.origin.boot).unwrap();
        writeln!(text, "  {} {} {:?}", description.tag, description.firmware, description.channels).unwrap();
        writeln!(text, "  stored {:?}", ranges(ledger.stored().iter())).unwrap();
        for (reason, lost) in ledger.lost().filter(|(_, lost)| !lost.is_empty()) {
            writeln!(text, "  lost {} {:?}", reason.name(), ranges(lost.iter())).unwrap();
        }
        writeln!(text, "  outstanding {:?}", ranges(ledger.outstanding().iter())).unwrap();
        writeln!(text, "  next {} tail {:?}", ledger.next(), ledger.tail()).unwrap();
        writeln!(
            text,
            "  duplicates {} conflicts {:?} recovered {}",
            record.duplicates,
            ranges(record.conflicts.iter()),
            ledger.recovered()
        )
        .unwrap();
        writeln!(text, "  gateways {:?} last {}", record.gateways, record.last_arrival_unix_ms).unwrap();
        if let Some(anchor) = record.anchor {
            writeln!(
                text,
                "  tick 0 at {} {}",
                anchor.unix_ms_at(tidegate_protocol::Tick(0)),
                anchor.quality.name()
            )
            .unwrap();
        }
        let mut source = Source::new(&look, &lake).expect("a source");
        let each = |reading: &tidegate_protocol::Reading| {
            writeln!(
                text,
                "  {} channel {} tick {} {:?} {:?}",
                reading.seq.0, reading.channel.0, reading.tick.0, reading.value, reading.quality
            )
            .unwrap();
            true
        };
        source.read(no, SeqRange::new(0, u64::MAX), (0, u64::MAX), each).expect("it reads");
    }
    for (cursor, event) in look.events_after(0, usize::MAX).expect("events") {
        writeln!(text, "event {cursor} {}", serde_json::to_string(&event).expect("JSON")).unwrap();
    }
    for (no, known) in look.history().expect("history") {
        let cleared = known.cleared.map(|point| point.seq.0);
        writeln!(
            text,
            "occurrence {} {} {} raised {} cleared {cleared:?}",
            no.0, known.channel, known.rule, known.raised.seq.0
        )
        .unwrap();
    }
    text
}

fn ranges(ranges: impl Iterator<Item = SeqRange>) -> Vec<(u64, u64)> {
    ranges.map(|range| (range.start, range.end)).collect()
}
