//! What a `[[source]]` of type `board-serial` names: one line, or all of a folder whose names fit.

use std::{
    fmt, fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use globset::GlobMatcher;

use crate::settings::FlowControl;

#[derive(Clone, Debug)]
pub struct SerialSettings {
    /// Which `[[source]]` of the configuration this is, counted from 0.
    pub at: usize,
    pub place: Place,
    pub baud: u32,
    pub flow_control: FlowControl,
}

#[derive(Clone, Debug)]
pub enum Place {
    Path(PathBuf),
    Pattern { folder: PathBuf, names: GlobMatcher },
}

impl Place {
    /// As it is written in the configuration.
    pub fn text(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Pattern { folder, names } => folder.join(names.glob().glob()).display().to_string(),
        }
    }

    /// The names that are there now, in order. A folder that is missing has none: udev makes `/dev/serial/by-id` with
    /// the first board and removes it with the last.
    pub(super) fn present(&self) -> Vec<PathBuf> {
        match self {
            Self::Path(path) => {
                if path.exists() {
                    vec![path.clone()]
                } else {
                    Vec::new()
                }
            }
            Self::Pattern { folder, names } => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let fits = |path: &PathBuf| {
                    path.file_name().is_some_and(|name| names.is_match(Path::new(name))) && is_line(path)
                };
                let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(fits).collect();
                paths.sort();
                paths
            }
        }
    }
}

/// A pattern may fit a folder or a file, too; these are never opened.
pub(super) fn is_line(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

impl fmt::Display for SerialSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.place {
            Place::Path(_) => "path",
            Place::Pattern { .. } => "pattern",
        };
        write!(f, "source[{}] {kind} \"{}\"", self.at, self.place.text())
    }
}
