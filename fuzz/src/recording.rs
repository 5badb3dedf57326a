//! Recordings of others, as CSV.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tidegate_protocol::Quality;
use tidegate_simulator::recording::{ReadOptions, Recording};

use super::queue::in_memory;

thread_local! {
    static FILE: (TempDir, PathBuf) = {
        let folder = in_memory();
        let path = folder.path().join("recording.csv");
        (folder, path)
    };
}

/// Read as a whole, with what cannot be read left out and counted; and once more strictly.
pub fn recording(bytes: &[u8]) {
    FILE.with(|(_, path)| {
        fs::write(path, bytes).expect("it can be written");
        let strict = Recording::read_with(path, &ReadOptions { strict: true, ..ReadOptions::default() });
        match Recording::read(path) {
            Ok(recording) => check(&recording, strict.is_ok(), bytes),
            Err(error) => {
                assert!(strict.is_err(), "strictness takes nothing that is refused without");
                assert!(error.to_string().contains("recording.csv"), "{error}");
            }
        }
    });
}

fn check(recording: &Recording, is_good: bool, bytes: &[u8]) {
    let (left_out, first) = recording.left_out();
    assert_eq!(left_out == 0, is_good);
    assert_eq!(left_out > 0, first.is_some());
    let rows = recording.rows();
    // Two characters and the end of a line are a row.
    assert!(!rows.is_empty() && rows.len() as u64 + left_out <= bytes.len() as u64);
    assert!(rows.iter().any(|row| row.tick.0 == 0), "the earliest is at tick 0");
    let bad = rows.iter().filter(|row| !row.value.is_finite()).count();
    assert_eq!(rows.iter().filter(|row| row.quality == Quality::Bad).count(), bad);
    let goes_on = |pair: &[tidegate_simulator::recording::Row]| match pair {
        [before, row] => row.quality != Quality::Good || before.tick < row.tick,
        _ => true,
    };
    assert!(rows.windows(2).all(goes_on), "what repeats or goes back is flagged");
    assert!(recording.flagged() < rows.len());
    let last = rows.iter().map(|row| row.tick.0).max().unwrap_or_default();
    assert!(last < 1 << 50, "a span of the years that exist");
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    [
        ("plain", "timestamp,value\n2013-12-02 21:15:00,73.96732207\n2013-12-02 21:20:00,1e-3\n"),
        (
            "repeats",
            "timestamp,value\n2013-12-02 21:20:00,2\n2013-12-02 21:20:00,3\n2013-12-02 21:10:00,-0\n",
        ),
        ("offsets", "value, Timestamp\n1,2013-12-02T21:25:00+01:00\nnan,1386019500\ninf,1386019500.25\n"),
        ("bad", "timestamp,value\nyesterday,1\n2013-12-02 21:15:00,warm\n\"2013-12-02 21:15:00\"\n1,1\n"),
        ("quoted", "\"timestamp\",\"value\",\"note\"\r\n\"1\",\"2.5\",\"a\"\"b,\n c\"\r\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}
