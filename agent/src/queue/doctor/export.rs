//! Readings of a queue as lines of JSON, one each, in the order of the blocks.
//!
//! ```text
//! {"device":…,"boot":…,"seq":…,"channel":…,"unit":…,"tick":…,"value":…,"quality":…}    a reading
//! {"key":…,"record":{…}}                                                               with records: what travels beside
//! {"quarantine":…,"reason":…,"raw_base64":…}                                           what does not decode
//! ```
//! A channel without a name known here has `channel_index` instead. A value that JSON has no number for (NaN, infinity)
//! is a text. Lines out of the quarantine carry `quarantine` and `reason`.

use std::{collections::BTreeMap, io::Write, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_protocol::{
    ChannelDecl, Origin, Reading, Value,
    block::{Block, Decoder, Description, Record},
};

use super::{Filter, Progress, decoder};
use crate::{
    core::Key,
    queue::{
        QueueError,
        look::{Looker, Table},
        records::{self, EntryHead},
    },
};

#[derive(Clone, Copy, Debug, Default)]
pub struct ExportOptions {
    pub filter: Filter,
    /// The quarantine instead of the queue.
    pub quarantine: bool,
    /// Losses, anchors and what else travels beside readings too.
    pub records: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub blocks: u64,
    pub readings: u64,
    pub records: u64,
    /// Blocks that do not decode: raw from the quarantine, left out from the queue.
    pub undecodable: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the export cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

pub fn export(
    data_dir: &Path,
    options: &ExportOptions,
    out: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let looker = Looker::open(data_dir)?;
    let table = if options.quarantine { Table::Quarantine } else { Table::Queue };
    let (records, total) = looker.look(|look| {
        let entries = look.tree(table).ok().flatten().map_or(0, |tree| tree.entries);
        (look.origins(&mut Vec::new()), entries)
    })?;
    let known = records.into_iter().filter_map(|(_, record)| record).map(|record| record.description);
    let mut exporter = Exporter {
        options,
        out,
        decoder: decoder()?,
        channels: known.map(|known| (known.origin, known.channels)).collect(),
        done: Exported::default(),
    };
    let mut met = 0;
    looker.each::<ExportError>(table, |found| {
        met += 1;
        progress(met, total);
        exporter.entry(found.key, &found.value.unwrap_or_default())
    })?;
    exporter.out.flush()?;
    Ok(exporter.done)
}

struct Exporter<'e> {
    options: &'e ExportOptions,
    out: &'e mut dyn Write,
    decoder: Decoder,
    channels: BTreeMap<Origin, Vec<ChannelDecl<String>>>,
    done: Exported,
}

/// Where a line comes from, if not from the queue.
#[derive(Clone, Copy, Serialize)]
struct FromQuarantine<'l> {
    quarantine: Key,
    reason: &'l str,
}

#[derive(Serialize)]
struct ReadingLine<'l> {
    device: &'l str,
    boot: String,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_index: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'l str>,
    tick: u64,
    value: Box<RawValue>,
    quality: &'static str,
    #[serde(flatten)]
    from: Option<FromQuarantine<'l>>,
}

#[derive(Serialize)]
struct RecordLine<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
    record: &'l Record,
    #[serde(flatten)]
    from: Option<FromQuarantine<'l>>,
}

#[derive(Serialize)]
struct RawLine<'l> {
    #[serde(flatten)]
    from: FromQuarantine<'l>,
    raw_base64: String,
}

impl Exporter<'_> {
    fn entry(&mut self, key: Key, value: &[u8]) -> Result<(), ExportError> {
        if !self.options.quarantine {
            let block = self.decoder.decode(EntryHead::read(value).1);
            return match block {
                Ok(block) => self.block(key, &block, None),
                Err(_) => {
                    self.done.undecodable += 1;
                    Ok(())
                }
            };
        }
        let (reason, bytes) = match records::quarantine_entry(value) {
            Some((reason, bytes)) => (reason.reason, bytes),
            None => ("unreadable".to_owned(), value),
        };
        let from = FromQuarantine { quarantine: key, reason: &reason };
        match self.decoder.decode(bytes) {
            Ok(block) => self.block(key, &block, Some(from)),
            Err(_) => {
                self.done.undecodable += 1;
                self.line(&RawLine { from, raw_base64: STANDARD.encode(bytes) })
            }
        }
    }

    fn block(
        &mut self,
        key: Key,
        block: &Block,
        from: Option<FromQuarantine<'_>>,
    ) -> Result<(), ExportError> {
        for record in &block.records {
            if let Record::Described(Description { origin, channels, .. }) = record {
                self.channels.insert(*origin, channels.clone());
            }
            if self.options.records && self.options.filter.takes_origin(record.origin()) {
                self.done.records += 1;
                self.line(&RecordLine { key: from.is_none().then_some(key), record, from })?;
            }
        }
        let before = self.done.readings;
        for of in &block.origins {
            for reading in &of.readings {
                if self.options.filter.takes(of.origin, reading.seq.0) {
                    self.reading(of.origin, reading, from)?;
                }
            }
        }
        self.done.blocks += u64::from(self.done.readings > before);
        Ok(())
    }

    fn reading(
        &mut self,
        origin: Origin,
        reading: &Reading,
        from: Option<FromQuarantine<'_>>,
    ) -> Result<(), ExportError> {
        let index = reading.channel.0;
        let declared = self.channels.get(&origin).and_then(|channels| channels.get(usize::from(index)));
        let line = ReadingLine {
            device: origin.device.as_str(),
            boot: origin.boot.to_string(),
            seq: reading.seq.0,
            channel: declared.map(|declared| declared.name.as_str()),
            channel_index: declared.is_none().then_some(index),
            unit: declared.map(|declared| declared.unit.as_str()),
            tick: reading.tick.0,
            value: json(reading.value)?,
            quality: reading.quality.name(),
            from,
        };
        serde_json::to_writer(&mut *self.out, &line).map_err(std::io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.done.readings += 1;
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        serde_json::to_writer(&mut *self.out, line).map_err(std::io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }
}

/// Every digit that the reading has, and none more.
fn json(value: Value) -> std::io::Result<Box<RawValue>> {
    let is_number = value.as_f64().is_finite();
    let text = if is_number { value.to_string() } else { format!("\"{value}\"") };
    Ok(RawValue::from_string(text)?)
}
