//! Recordings: CSV files with a `timestamp` and a `value` column, as measured somewhere once.
//!
//! Ticks are milliseconds since the earliest timestamp, so that nothing of the file is lost on the way: rows stay in
//! the file's order, and a row whose timestamp repeats or goes back against the row before keeps its time with
//! quality uncertain. Values stay the f64 that the text means. A row that cannot be read is an error under `strict`;
//! otherwise it is left out and reported. A file is read into memory whole: 24 bytes a row.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use tidegate_protocol::{Quality, Tick};

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as acknowledgements make room for it.
    Max,
    /// This many times as fast as it was recorded.
    Times(f64),
}

impl std::str::FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(speed) if speed > 0.0 && f64::is_finite(speed) => Ok(Self::Times(speed)),
            _ => {
                Err("a speed is a number above 0 (1 is as recorded, 3600 an hour a second), or max"
                    .to_owned())
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("{file}: {problem}; name a readable CSV file")]
    Open { file: PathBuf, problem: io::Error },
    #[error("{file}, line {line}: {problem}")]
    Row { file: PathBuf, line: u64, problem: RowProblem },
    #[error("{file}: its first line must name the columns timestamp and value; it names {found}")]
    Columns { file: PathBuf, found: String },
    #[error("{file}: it has no rows that can be replayed")]
    Empty { file: PathBuf },
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    #[error("it is not a CSV row with as many fields as the first line: {0}")]
    Csv(String),
    #[error("`{0}` is no time; write 2013-12-02 21:15:00, 2013-12-02T21:15:00Z, or unix seconds")]
    Timestamp(String),
    #[error("`{0}` is no number")]
    Value(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub tick: Tick,
    pub value: f64,
    pub quality: Quality,
}

/// How a file is to be read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Where the file's local times were taken; times with an offset of their own ignore it.
    pub timezone: TimeZone,
    /// Refuse the file for one bad row.
    pub strict: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { timezone: TimeZone::UTC, strict: false }
    }
}

#[derive(Clone, Debug)]
pub struct Recording {
    start_unix_ms: i64,
    rows: Vec<Row>,
    bad_rows: u64,
    first_bad_row: Option<(u64, RowProblem)>,
}

impl Recording {
    /// Reads a file whose times are UTC, leaving out what cannot be read.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        Self::read_with(path, &ReadOptions::default())
    }

    pub fn read_with(path: &Path, options: &ReadOptions) -> Result<Self, RecordingError> {
        let open = |problem| RecordingError::Open { file: path.to_owned(), problem };
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(File::open(path).map_err(open)?);
        let columns = columns(path, &mut reader)?;
        let (mut times, mut bad_rows, mut first_bad_row) = (Vec::new(), 0, None);
        for record in reader.records() {
            let line = match &record {
                Ok(record) => record.position().map_or(0, csv::Position::line),
                Err(error) => error.position().map_or(0, csv::Position::line),
            };
            match record
                .map_err(|error| RowProblem::Csv(error.to_string()))
                .and_then(|record| row(&record, columns, options))
            {
                Ok(row) => times.push(row),
                Err(problem) if options.strict => {
                    return Err(RecordingError::Row { file: path.to_owned(), line, problem });
                }
                Err(problem) => {
                    bad_rows += 1;
                    first_bad_row.get_or_insert((line, problem));
                }
            }
        }
        let start_unix_ms = times.iter().map(|(unix_ms, _)| *unix_ms).min();
        let start_unix_ms = start_unix_ms.ok_or_else(|| RecordingError::Empty { file: path.to_owned() })?;
        Ok(Self { start_unix_ms, rows: rows(start_unix_ms, &times), bad_rows, first_bad_row })
    }

    /// The time at tick 0.
    pub fn start_unix_ms(&self) -> i64 {
        self.start_unix_ms
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Rows that repeat a timestamp or go back.
    pub fn flagged(&self) -> usize {
        self.rows.iter().filter(|row| row.quality == Quality::Uncertain).count()
    }

    /// How many rows were left out, and the first of them with its line.
    pub fn left_out(&self) -> (u64, Option<&(u64, RowProblem)>) {
        (self.bad_rows, self.first_bad_row.as_ref())
    }
}

#[derive(Clone, Copy)]
struct Columns {
    timestamp: usize,
    value: usize,
}

fn columns(path: &Path, reader: &mut csv::Reader<File>) -> Result<Columns, RecordingError> {
    let headers = reader.headers().map_err(|error| RecordingError::Row {
        file: path.to_owned(),
        line: 1,
        problem: RowProblem::Csv(error.to_string()),
    })?;
    let place = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    match (place("timestamp"), place("value")) {
        (Some(timestamp), Some(value)) => Ok(Columns { timestamp, value }),
        _ => Err(RecordingError::Columns {
            file: path.to_owned(),
            found: headers.iter().collect::<Vec<_>>().join(", "),
        }),
    }
}

fn row(
    record: &csv::StringRecord,
    columns: Columns,
    options: &ReadOptions,
) -> Result<(i64, f64), RowProblem> {
    let timestamp = record.get(columns.timestamp).unwrap_or_default();
    let value = record.get(columns.value).unwrap_or_default();
    let unix_ms =
        unix_ms(timestamp, &options.timezone).ok_or_else(|| RowProblem::Timestamp(timestamp.to_owned()))?;
    let value = value.parse().map_err(|_| RowProblem::Value(value.to_owned()))?;
    Ok((unix_ms, value))
}

/// RFC 3339 with an offset, a local date and time, or unix seconds.
fn unix_ms(text: &str, timezone: &TimeZone) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return local.to_zoned(timezone.clone()).ok().map(|zoned| zoned.timestamp().as_millisecond());
    }
    let seconds = text.parse::<f64>().ok()?;
    // The range of dates up to the year 9999, so that any other number is seen as the mistake it is.
    (0.0..2.6e11).contains(&seconds).then(|| (seconds * 1_000.0).round() as i64)
}

fn rows(start_unix_ms: i64, times: &[(i64, f64)]) -> Vec<Row> {
    let mut before = i64::MIN;
    let row = |&(unix_ms, value): &(i64, f64)| {
        let quality = if !f64::is_finite(value) {
            Quality::Bad
        } else if unix_ms <= before {
            Quality::Uncertain
        } else {
            Quality::Good
        };
        before = unix_ms;
        Row { tick: Tick(unix_ms.abs_diff(start_unix_ms)), value, quality }
    };
    times.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, options: &ReadOptions) -> Result<Recording, RecordingError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Recording::read_with(file.path(), options)
    }

    #[test]
    fn rows_keep_their_order_values_and_times() {
        let text = "timestamp,value\n2013-12-02 21:15:00,73.96732207\n2013-12-02 21:20:00,1e-3\n\
                    2013-12-02 21:20:00,2\n2013-12-02 21:10:00,3\n2013-12-02T21:25:00+01:00,-0\n1386019500,5\n";
        let recording = read(text, &ReadOptions::default()).unwrap();
        let seen: Vec<_> =
            recording.rows().iter().map(|row| (row.tick.0 / 1_000, row.value, row.quality)).collect();
        use Quality::{Good, Uncertain};
        // The fifth row, with an offset of its own, is the earliest of all.
        assert_eq!(recording.start_unix_ms(), 1_386_015_900_000);
        let hour = 3_600;
        assert_eq!(
            seen,
            [
                (hour - 600, 73.96732207, Good),
                (hour - 300, 0.001, Good),
                (hour - 300, 2.0, Uncertain),
                (hour - 900, 3.0, Uncertain),
                (0, 0.0, Uncertain),
                (hour, 5.0, Good),
            ]
        );
        assert!(recording.rows()[4].value.is_sign_negative());
        assert_eq!(recording.flagged(), 3);
    }

    #[test]
    fn local_times_are_those_of_the_time_zone() {
        let options = ReadOptions { timezone: TimeZone::get("Europe/Berlin").unwrap(), strict: true };
        let text = "timestamp,value\n2024-07-01 12:00:00,1\n2024-12-01 12:00:00,2\n";
        let recording = read(text, &options).unwrap();
        assert_eq!(
            recording.start_unix_ms(),
            "2024-07-01T10:00:00Z".parse::<Timestamp>().unwrap().as_millisecond()
        );
        let end = "2024-12-01T11:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(recording.rows()[1].tick.0 as i64, end - recording.start_unix_ms());
    }

    #[test]
    fn bad_rows_are_reported_with_their_line_or_refuse_the_file() {
        let text =
            "timestamp,value\n2024-07-01 12:00:00,1\nyesterday,2\n2024-07-01 12:00:02,warm\n2024-07-01\n";
        let recording = read(text, &ReadOptions::default()).unwrap();
        assert_eq!(recording.rows().len(), 1);
        let (count, first) = recording.left_out();
        assert_eq!((count, first.map(|(line, _)| *line)), (3, Some(3)));
        let strict = ReadOptions { strict: true, ..ReadOptions::default() };
        let error = read(text, &strict).unwrap_err().to_string();
        assert!(error.contains("line 3: `yesterday` is no time"), "{error}");
        let error = read("time,value\n1,2\n", &strict).unwrap_err().to_string();
        assert!(error.contains("it names time, value"), "{error}");
        let error = read("timestamp,value\n", &strict).unwrap_err();
        assert!(matches!(error, RecordingError::Empty { .. }));
    }
}
