//! What a store holds as lines of JSON, for other programs and for looking at: readings of journal and lake alike, records of
//! the blocks in the journal, events, quarantined blocks.

use std::io::{self, Write};

use serde_json::json;
use tidegate_protocol::{DeviceId, Reading, SeqRange, Value, block::Decoder};

use super::{DoctorError, inspect::each_entry};
use crate::{
    lake::Lake,
    readings::Source,
    store::{LmdbStore, StoreError},
};

const EVENTS_AT_ONCE: usize = 1_000;

/// What is wanted; what is absent matches all.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    pub device: Option<DeviceId>,
    pub range: SeqRange,
}

impl Export {
    pub fn readings(&self, store: &LmdbStore, lake: &Lake, out: &mut impl Write) -> Result<(), DoctorError> {
        let owners = store.look()?.owners()?;
        for (no, owner) in owners.into_iter().filter(|(_, owner)| self.wants(owner.origin.device)) {
            let look = store.look()?;
            let Some(description) = look.description(no)? else { continue };
            let mut failed = Ok(());
            let each = |reading: &Reading| {
                let channel = description.channels.get(usize::from(reading.channel.0));
                failed = line(
                    out,
                    &json!({
                        "type": "reading", "site": owner.site, "device": owner.origin.device,
                        "boot": owner.origin.boot.to_string(), "seq": reading.seq.0,
                        "channel": channel.map(|channel| channel.name), "tick_ms": reading.tick.0,
                        "time_unix_ms": owner.anchor.map(|anchor| anchor.unix_ms_at(reading.tick)),
                        "value": value(reading.value), "quality": reading.quality,
                    }),
                );
                failed.is_ok()
            };
            Source::new(&look, lake)?.read(no, self.range, (0, u64::MAX), each)?;
            failed?;
        }
        Ok(())
    }

    pub fn records(&self, store: &LmdbStore, out: &mut impl Write) -> Result<(), DoctorError> {
        let mut decoder = Decoder::new().map_err(StoreError::from)?;
        each_entry(store, |_, position, _, bytes| {
            let Ok(block) = decoder.decode(bytes) else { return Ok(()) };
            for record in block.records.iter().filter(|record| self.wants(record.origin().device)) {
                let told = json!({ "type": "record", "position": position, "record": format!("{record:?}") });
                line(out, &told).map_err(StoreError::Folder)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    pub fn events(&self, store: &LmdbStore, out: &mut impl Write) -> Result<(), DoctorError> {
        let mut after = 0;
        loop {
            let events = store.look()?.events_after(after, EVENTS_AT_ONCE)?;
            let Some((last, _)) = events.last() else { return Ok(()) };
            after = *last;
            for (cursor, event) in events.iter().filter(|(_, event)| self.wants(event.device)) {
                line(out, &json!({ "type": "event", "cursor": cursor, "event": event }))?;
            }
        }
    }

    /// Quarantined blocks cannot be told apart by device.
    pub fn quarantine(&self, store: &LmdbStore, out: &mut impl Write) -> Result<(), DoctorError> {
        let mut failed = Ok(());
        store.look()?.quarantine(|_, block| {
            let hex: String = block.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            failed = line(
                out,
                &json!({
                    "type": "quarantine", "site": block.from.site, "gateway": block.from.gateway,
                    "arrival_unix_ms": block.arrival_unix_ms, "reason": block.reason,
                    "because": block.because, "bytes": hex,
                }),
            );
            failed.is_ok()
        })?;
        Ok(failed?)
    }

    fn wants(&self, device: DeviceId) -> bool {
        self.device.is_none_or(|wanted| wanted == device)
    }
}

fn value(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(on) => json!(on),
        other => json!(other.as_f64()),
    }
}

fn line(out: &mut impl Write, value: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
