//! Rows into a Parquet file. The columns are a promise to those who read the lake: see `docs/lake.md`.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMillisecondArray,
        UInt64Array,
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use tidegate_protocol::{Quality, Value, ValueKind};

use super::{
    LakeError, file_error, parquet_error,
    rows::{Group, Row, Rows},
};
use crate::failpoint::FailPoint;

/// Rows in a row group: what a reader skips or reads as one.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows put together at a time.
const CHUNK_ROWS: usize = 32_768;

pub(super) const KINDS: [&str; 4] = ["bool", "decimal", "f32", "f64"];
pub(super) const QUALITIES: [&str; 3] = ["good", "uncertain", "bad"];

pub(super) fn kind_code(value: Value) -> usize {
    let kind = match value {
        Value::Bool(_) => ValueKind::Bool,
        Value::Decimal { .. } => ValueKind::Decimal,
        Value::F32(_) => ValueKind::F32,
        Value::F64(_) => ValueKind::F64,
    };
    kind as usize
}

fn schema() -> SchemaRef {
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let field = |name, kind| Field::new(name, kind, false);
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        field("site", text()),
        field("device", text()),
        field("boot", text()),
        field("seq", DataType::UInt64),
        field("channel", text()),
        field("unit", text()),
        field("tick_ms", DataType::UInt64),
        Field::new("time", time, true),
        field("time_quality", text()),
        field("value", DataType::Float64),
        field("kind", text()),
        field("quality", text()),
        field("gateway", text()),
    ]))
}

/// Writes sorted rows and syncs the file.
pub(super) fn write(path: &Path, rows: &Rows) -> Result<u64, LakeError> {
    let file = File::create(path).map_err(|error| file_error(path, error))?;
    let file = write_rows(file, rows).map_err(|error| parquet_error(path, error))?;
    file.sync_all().map_err(|error| file_error(path, error))?;
    file.metadata().map(|metadata| metadata.len()).map_err(|error| file_error(path, error))
}

fn write_rows(file: File, rows: &Rows) -> Result<File, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(format!("tidegate-ingest {}", env!("CARGO_PKG_VERSION")))
        .build();
    // Without Arrow's own schema in it, every reader sees plain strings, not dictionaries.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let schema = schema();
    let texts = Texts::new(rows);
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)?;
    for chunk in rows.rows.chunks(CHUNK_ROWS) {
        let columns = texts.columns(rows, chunk)?;
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        FailPoint::MidLakeWrite.hit();
    }
    writer.into_inner()
}

/// The dictionaries of the text columns, one entry per group (or gateway).
struct Texts {
    site: ArrayRef,
    device: ArrayRef,
    boot: ArrayRef,
    channel: ArrayRef,
    unit: ArrayRef,
    time_quality: ArrayRef,
    kind: ArrayRef,
    quality: ArrayRef,
    gateway: ArrayRef,
}

impl Texts {
    fn new(rows: &Rows) -> Self {
        let of = |text: &dyn Fn(&Group) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.groups.iter().map(text)))
        };
        Self {
            site: of(&|group| group.site.to_string()),
            device: of(&|group| group.device.to_string()),
            boot: of(&|group| group.boot.to_string()),
            channel: of(&|group| group.channel.to_string()),
            unit: of(&|group| group.unit.clone()),
            time_quality: of(&|group| {
                group
                    .anchor
                    .map_or(tidegate_protocol::ClockQuality::Unsynced, |anchor| anchor.quality)
                    .name()
                    .to_owned()
            }),
            kind: Arc::new(StringArray::from_iter_values(KINDS)),
            quality: Arc::new(StringArray::from_iter_values(QUALITIES)),
            gateway: Arc::new(StringArray::from_iter_values(
                rows.gateways.iter().map(|gateway| gateway.as_str()),
            )),
        }
    }

    /// In the schema's order.
    fn columns(&self, rows: &Rows, chunk: &[Row]) -> Result<Vec<ArrayRef>, ArrowError> {
        let group = Int32Array::from_iter_values(chunk.iter().map(|row| row.group as i32));
        let text = |keys: &Int32Array, values: &ArrayRef| -> Result<ArrayRef, ArrowError> {
            Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys.clone(), Arc::clone(values))?))
        };
        let kinds = Int32Array::from_iter_values(chunk.iter().map(|row| kind_code(row.reading.value) as i32));
        let qualities = chunk.iter().map(|row| i32::from(row.reading.quality.code()));
        let gateways = Int32Array::from_iter_values(chunk.iter().map(|row| row.gateway as i32));
        let time = |row: &Row| {
            let anchor = rows.groups.get(row.group as usize)?.anchor?;
            Some(anchor.unix_ms_at(row.reading.tick))
        };
        Ok(vec![
            text(&group, &self.site)?,
            text(&group, &self.device)?,
            text(&group, &self.boot)?,
            Arc::new(UInt64Array::from_iter_values(chunk.iter().map(|row| row.reading.seq.0))),
            text(&group, &self.channel)?,
            text(&group, &self.unit)?,
            Arc::new(UInt64Array::from_iter_values(chunk.iter().map(|row| row.reading.tick.0))),
            Arc::new(chunk.iter().map(time).collect::<TimestampMillisecondArray>().with_timezone("UTC")),
            text(&group, &self.time_quality)?,
            Arc::new(Float64Array::from_iter_values(chunk.iter().map(|row| row.reading.value.as_f64()))),
            text(&kinds, &self.kind)?,
            text(&Int32Array::from_iter_values(qualities), &self.quality)?,
            text(&gateways, &self.gateway)?,
        ])
    }
}

/// The code of a quality's name.
pub(super) fn quality_of(name: &str) -> Option<Quality> {
    let code = QUALITIES.iter().position(|known| *known == name)?;
    Quality::from_code(code as u8)
}
