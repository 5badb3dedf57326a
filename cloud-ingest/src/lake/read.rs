//! Some origins' readings out of a lake file. Row groups whose device or boot cannot match are not read; the file is
//! sorted so that few remain.

use std::{collections::HashMap, fs::File, path::Path};

use arrow::{
    array::{AsArray, StringArray},
    datatypes::{Float64Type, UInt64Type},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::metadata::RowGroupMetaData,
};
use tidegate_protocol::{
    ChannelIndex, Origin, RangeSet, Reading, Seq, SiteId, Tick, Value, block::Description,
    reading::power_of_ten,
};

use super::{
    LakeError, file_error, parquet_error,
    parquet_file::{KINDS, quality_of},
};

const COLUMNS: [&str; 9] =
    ["site", "device", "boot", "seq", "channel", "tick_ms", "value", "kind", "quality"];

/// Readings of one origin that are wanted of a file.
pub struct Wanted {
    site: String,
    device: String,
    boot: String,
    description: Description,
    ranges: RangeSet,
}

/// A reading as the lake has it.
#[derive(Clone, Copy, Debug)]
pub struct LakeReading {
    pub reading: Reading,
    /// The value's column. A decimal beyond 2^53, or one of another scale than its channel's, comes back in `reading` as near as can
    /// be; this is what was written.
    pub written: f64,
}

impl Wanted {
    pub fn new(site: SiteId, description: Description, ranges: RangeSet) -> Self {
        let Origin { device, boot } = description.origin;
        let (site, device, boot) = (site.to_string(), device.to_string(), boot.to_string());
        Self { site, device, boot, description, ranges }
    }

    fn key(&self) -> (&str, &str, &str) {
        (&self.site, &self.device, &self.boot)
    }

    /// By the row group's statistics; where there are none, it may.
    fn may_be_in(&self, group: &RowGroupMetaData) -> bool {
        [("site", &self.site), ("device", &self.device), ("boot", &self.boot)].iter().all(|(name, text)| {
            let column = group.columns().iter().find(|column| column.column_path().string() == *name);
            let statistics = column.and_then(|column| column.statistics());
            let bounds = statistics.and_then(|known| known.min_bytes_opt().zip(known.max_bytes_opt()));
            bounds.is_none_or(|(min, max)| min <= text.as_bytes() && text.as_bytes() <= max)
        })
    }
}

/// Reads every column of every row, and counts the rows.
pub(super) fn count(path: &Path) -> Result<u64, LakeError> {
    let refused = |error| parquet_error(path, error);
    let file = File::open(path).map_err(|error| file_error(path, error))?;
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).map_err(refused)?.build().map_err(refused)?;
    let mut count = 0;
    for batch in rows {
        count += batch.map_err(|error| refused(error.into()))?.num_rows() as u64;
    }
    Ok(count)
}

/// Reads the file once for all that is wanted, and brings the readings of each, ascending by seq, in the given order.
pub(super) fn read(path: &Path, wanted: &[Wanted]) -> Result<Vec<Vec<LakeReading>>, LakeError> {
    let refused = |error| parquet_error(path, error);
    let file = File::open(path).map_err(|error| file_error(path, error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(refused)?;
    let groups = builder.metadata().row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| wanted.iter().any(|wanted| wanted.may_be_in(group)));
    let groups = groups.map(|(at, _)| at).collect();
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let batches = builder.with_row_groups(groups).with_projection(mask).build().map_err(refused)?;
    let by_key: HashMap<_, _> = wanted.iter().enumerate().map(|(at, wanted)| (wanted.key(), at)).collect();
    let mut found = vec![Vec::new(); wanted.len()];
    for batch in batches {
        let batch = batch.map_err(|error| refused(error.into()))?;
        let shape = |what| LakeError::Shape { path: path.to_owned(), what };
        take(&batch, wanted, &by_key, &mut found).map_err(shape)?;
    }
    found.iter_mut().for_each(|readings| readings.sort_unstable_by_key(|known| known.reading.seq));
    Ok(found)
}

fn take(
    batch: &RecordBatch,
    wanted: &[Wanted],
    by_key: &HashMap<(&str, &str, &str), usize>,
    found: &mut [Vec<LakeReading>],
) -> Result<(), &'static str> {
    let (site, device, boot) = (text(batch, "site")?, text(batch, "device")?, text(batch, "boot")?);
    let (channel, kind, quality) = (text(batch, "channel")?, text(batch, "kind")?, text(batch, "quality")?);
    let number = |name| {
        let column = batch.column_by_name(name).ok_or("a column is missing")?;
        column.as_primitive_opt::<UInt64Type>().ok_or("a column has another type")
    };
    let (seq, tick) = (number("seq")?, number("tick_ms")?);
    let value = batch.column_by_name("value").ok_or("a column is missing")?;
    let value = value.as_primitive_opt::<Float64Type>().ok_or("a column has another type")?;
    for row in 0..batch.num_rows() {
        let key = (site.value(row), device.value(row), boot.value(row));
        let Some(at) = by_key.get(&key).copied() else { continue };
        let Some((wanted, found)) = wanted.get(at).zip(found.get_mut(at)) else { continue };
        if !wanted.ranges.contains(seq.value(row)) {
            continue;
        }
        let channels = &wanted.description.channels;
        let index = channels.iter().position(|known| known.name.as_str() == channel.value(row));
        let index = index.ok_or("a channel is not described")?;
        let scale = channels.get(index).map_or(0, |channel| channel.scale);
        let written = value.value(row);
        let reading = Reading {
            seq: Seq(seq.value(row)),
            channel: ChannelIndex(index as u8),
            tick: Tick(tick.value(row)),
            value: restored(kind.value(row), written, scale).ok_or("a kind is unknown")?,
            quality: quality_of(quality.value(row)).ok_or("a quality is unknown")?,
        };
        found.push(LakeReading { reading, written });
    }
    Ok(())
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b StringArray, &'static str> {
    let column = batch.column_by_name(name).ok_or("a column is missing")?;
    column.as_string_opt::<i32>().ok_or("a column has another type")
}

/// The value as it was measured. A mantissa beyond 2^53 comes back as near as a double is.
fn restored(kind: &str, value: f64, scale: u8) -> Option<Value> {
    let [bool_kind, decimal, f32_kind, f64_kind] = KINDS;
    match kind {
        kind if kind == bool_kind => Some(Value::Bool(value != 0.0)),
        kind if kind == decimal => {
            Some(Value::Decimal { mantissa: (value * power_of_ten(scale)).round() as i64, scale })
        }
        kind if kind == f32_kind => Some(Value::F32(value as f32)),
        kind if kind == f64_kind => Some(Value::F64(value)),
        _ => None,
    }
}
