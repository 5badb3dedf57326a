//! The best clock anchor of every origin, as one small Parquet file that is always current:
//!
//! ```text
//! lake/anchors/anchors.parquet      (site, device, boot) → tick_ms, unix_ms, error_ms, time_quality, gateway
//! ```
//!
//! Files of readings never change, so their times are those of the anchors known when they were written. Joined with this
//! one, every reading has the time that the best anchor known now gives it, even if the anchor came after the last
//! reading of its origin had gone to the lake.
//!
//! The file is written anew at the start, and after commits that changed an anchor: under a temporary name, synced,
//! renamed over the one before, the folder synced. A reader sees the old or the new. On an error the old one stays, and
//! the next turn tries again.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use tidegate_protocol::{ClockAnchor, SiteId};

use super::{Lake, LakeError, TEMPORARY, file_error, folder::sync_folder, parquet_error};
use crate::{
    readings::ReadError,
    store::{LmdbStore, look::Owner},
};

/// Rows put together at a time.
const CHUNK_ROWS: usize = 32_768;

/// Keeps the file current.
pub struct Anchors {
    store: Arc<LmdbStore>,
    lake: Lake,
    interval_ms: u64,
    /// The revision that the file holds, and when it was written.
    written: Option<(u64, i64)>,
}

impl Anchors {
    /// The file is written at most once in `interval_ms`.
    pub fn new(store: Arc<LmdbStore>, lake: Lake, interval_ms: u64) -> Self {
        Self { store, lake, interval_ms, written: None }
    }

    /// Writes the file if anchors changed since: `revision` counts the commits that changed one. Returns its rows.
    pub fn write_if_changed(&mut self, now_unix_ms: i64, revision: u64) -> Result<Option<u64>, ReadError> {
        if let Some((written, at)) = self.written {
            // A clock that was set back must not hold it up.
            let waited = now_unix_ms.abs_diff(at) >= self.interval_ms;
            if written == revision || !waited {
                return Ok(None);
            }
        }
        let rows = self.write()?;
        self.written = Some((revision, now_unix_ms));
        Ok(Some(rows))
    }

    fn write(&self) -> Result<u64, ReadError> {
        let owners = self.store.look()?.owners()?;
        let mut rows: Vec<Row> = owners.iter().filter_map(|(_, owner)| row(owner)).collect();
        rows.sort_unstable_by_key(|(site, anchor)| (*site, anchor.origin));
        let folder = self.lake.folder.join("anchors");
        fs::create_dir_all(&folder).map_err(|error| file_error(&folder, error))?;
        let target = folder.join("anchors.parquet");
        let temporary = target.with_extension(TEMPORARY);
        write_file(&temporary, &rows)?;
        fs::rename(&temporary, &target).map_err(|error| file_error(&target, error))?;
        for folder in [&folder, &self.lake.folder] {
            sync_folder(folder)?;
        }
        Ok(rows.len() as u64)
    }
}

type Row = (SiteId, ClockAnchor);

fn row(owner: &Owner) -> Option<Row> {
    Some((owner.site, owner.anchor?))
}

fn schema() -> SchemaRef {
    let field = |name, kind, nullable| Field::new(name, kind, nullable);
    Arc::new(Schema::new(vec![
        field("site", DataType::Utf8, false),
        field("device", DataType::Utf8, false),
        field("boot", DataType::Utf8, false),
        field("tick_ms", DataType::UInt64, false),
        field("unix_ms", DataType::Int64, false),
        field("error_ms", DataType::Int64, true),
        field("time_quality", DataType::Utf8, false),
        field("gateway", DataType::Utf8, false),
    ]))
}

fn write_file(path: &Path, rows: &[Row]) -> Result<(), LakeError> {
    let file = File::create(path).map_err(|error| file_error(path, error))?;
    let file = write_rows(file, rows).map_err(|error| parquet_error(path, error))?;
    file.sync_all().map_err(|error| file_error(path, error))
}

fn write_rows(file: File, rows: &[Row]) -> Result<File, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(format!("tidegate-ingest {}", env!("CARGO_PKG_VERSION")))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let schema = schema();
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)?;
    for chunk in rows.chunks(CHUNK_ROWS) {
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns(chunk))?)?;
    }
    writer.into_inner()
}

/// In the schema's order.
fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let text = |of: &dyn Fn(&Row) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let error_ms =
        |(_, anchor): &Row| Some(i64::from(anchor.error_ms)).filter(|_| anchor.error_ms < u32::MAX);
    vec![
        text(&|(site, _)| site.to_string()),
        text(&|(_, anchor)| anchor.origin.device.to_string()),
        text(&|(_, anchor)| anchor.origin.boot.to_string()),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, anchor)| anchor.tick.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, anchor)| anchor.unix_ms))),
        Arc::new(rows.iter().map(error_ms).collect::<Int64Array>()),
        text(&|(_, anchor)| anchor.quality.name().to_owned()),
        text(&|(_, anchor)| anchor.gateway.to_string()),
    ]
}
