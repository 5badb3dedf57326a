//! Recordings, read plainly, and what a threshold rule must make of them.
//!
//! This is the other side of the comparison, so it shares no code with the simulator or the alarms crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::programs::workspace;

/// The values of a `timestamp,value` file, in file order: a reading's seq is its place.
pub fn values(file: &Path) -> Vec<f64> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let rows = text.lines().skip(1).filter(|line| !line.is_empty());
    let value = |line: &str| line.split(',').nth(1).and_then(|value| value.trim().parse().ok());
    rows.map(|line| value(line).unwrap_or_else(|| panic!("no value in `{line}`"))).collect()
}

/// The published recording `name`, from `$TIDEGATE_RECORDINGS` or `shared/data` beside the workspace.
///
/// # Panics
/// When it is in neither: the test that wants it cannot be passed without it.
pub fn published(name: &str) -> PathBuf {
    let folder = std::env::var_os("TIDEGATE_RECORDINGS")
        .map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let file = folder.join(name);
    assert!(
        file.is_file(),
        "this test wants the recording {name} (Numenta Anomaly Benchmark, realKnownCause) in {}; \
         TIDEGATE_RECORDINGS names another folder",
        folder.display()
    );
    file
}

/// From which seq to which an alarm was up; the last may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    pub raised: u64,
    pub cleared: Option<u64>,
}

/// What `below = limit` without deadband and delays must do: up at the first value below the limit, down at the
/// first that is not.
pub fn episodes_below(limit: f64, values: &[f64]) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    for (seq, value) in (0..).zip(values) {
        match episodes.last_mut().filter(|episode| episode.cleared.is_none()) {
            Some(up) if *value >= limit => up.cleared = Some(seq),
            None if *value < limit => episodes.push(Episode { raised: seq, cleared: None }),
            _ => {}
        }
    }
    episodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_start_below_and_end_at_the_limit() {
        let episode = |raised, cleared| Episode { raised, cleared };
        let values = [41.0, 39.9, 10.0, 40.0, 50.0, 39.0];
        assert_eq!(episodes_below(40.0, &values), [episode(1, Some(3)), episode(5, None)]);
        assert_eq!(episodes_below(40.0, &[40.0, f64::NAN]), []);
    }
}
