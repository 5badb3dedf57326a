//! The committed state for the core. The newest readings are gathered from the lake's summary and from the end of the
//! journal, at most [`MAX_LATEST_SCAN_BYTES`] of it: a longer journal (no lake) may leave a silent channel's last value out
//! of the view of latest values, never out of the store.

use std::collections::HashMap;

use tidegate_protocol::{Reading, block::Decoder};

use super::{Look, StoreError};
use crate::{
    core::{Snapshot, batch::OriginNo},
    entries::accepted_of,
};

const MAX_LATEST_SCAN_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn read(look: &Look<'_>) -> Result<Snapshot, StoreError> {
    let mut origins = Vec::new();
    for (no, record) in look.origins()? {
        let description = look.description(no)?;
        origins.push((no, record, description));
    }
    let sealed = look.sealed()?.into_iter().map(|(no, record)| (no, record.site, record.origin)).collect();
    Ok(Snapshot {
        next_position: look.next_position()?,
        used_bytes: look.used_bytes()?,
        ledger: look.ledger_count()?,
        origins,
        sealed,
        expired: look.expired()?,
        gateways: look.gateways()?,
        settings: look.settings()?,
        alarms: look.alarms_to_keep()?,
        next_deed: look.next_deed()?,
        live: look.live()?,
        settled: look.settled()?,
        rules: look.rules()?,
        rules_edition: look.rules_edition()?,
        latest: latest(look)?,
    })
}

fn latest(look: &Look<'_>) -> Result<Vec<(OriginNo, Vec<Reading>)>, StoreError> {
    let mut newest: HashMap<(OriginNo, u8), Reading> = HashMap::new();
    let mut offer = |no: OriginNo, reading: &Reading| {
        let known = newest.entry((no, reading.channel.0)).or_insert(*reading);
        if known.seq < reading.seq {
            *known = *reading;
        }
    };
    for (no, readings) in look.latest()? {
        readings.iter().for_each(|reading| offer(no, reading));
    }
    let mut decoder = Decoder::new()?;
    let mut scanned = 0;
    look.journal_back(|head, bytes| {
        scanned += bytes.len();
        // A damaged entry costs its own readings, not the start; the roll puts it into quarantine.
        if let Ok(block) = decoder.decode(bytes) {
            for (accepted, _, readings) in accepted_of(&head, &block) {
                readings.iter().for_each(|reading| offer(accepted.origin, reading));
            }
        }
        Ok(scanned < MAX_LATEST_SCAN_BYTES)
    })?;
    let mut latest: HashMap<OriginNo, Vec<Reading>> = HashMap::new();
    for ((no, _), reading) in newest {
        latest.entry(no).or_default().push(reading);
    }
    Ok(latest.into_iter().collect())
}
