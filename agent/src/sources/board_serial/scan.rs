//! Which lines are there now, and which entry of the configuration each belongs to.
//!
//! A line is known by its device, the file that all its names lead to: whatever names it, it is served once. An entry
//! with a path goes before one with a pattern, so that one board of many may have a baud rate of its own; otherwise the
//! first in the configuration has it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::entry::{Place, SerialSettings};

/// One line to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name by which it was found.
    pub path: PathBuf,
    /// The device file that the name leads to, such as `/dev/ttyACM0`.
    pub device: PathBuf,
    /// The place of its entry among those that were scanned.
    pub entry: usize,
}

/// A name that leads to a line which another name has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubled {
    pub path: PathBuf,
    pub entry: usize,
    /// What serves the line.
    pub by: Found,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub lines: Vec<Found>,
    pub doubled: Vec<Doubled>,
    /// Entries that nothing is there for.
    pub empty: Vec<usize>,
}

/// Looks, and opens nothing.
pub fn scan(entries: &[SerialSettings]) -> Scan {
    let is_path = |place: &Place| matches!(place, Place::Path(_));
    let (paths, patterns): (Vec<_>, Vec<_>) =
        entries.iter().enumerate().partition(|(_, settings)| is_path(&settings.place));
    let mut scan = Scan::default();
    let mut taken: BTreeMap<PathBuf, Found> = BTreeMap::new();
    for (entry, settings) in paths.into_iter().chain(patterns) {
        let present = settings.place.present();
        if present.is_empty() {
            scan.empty.push(entry);
        }
        for path in present {
            // It may have gone since.
            let Some(device) = device(&path) else { continue };
            match taken.get(&device) {
                None => {
                    let found = Found { path, device: device.clone(), entry };
                    scan.lines.push(found.clone());
                    taken.insert(device, found);
                }
                Some(by) => scan.doubled.push(Doubled { path, entry, by: by.clone() }),
            }
        }
    }
    scan
}

/// The device file that a name leads to.
pub(super) fn device(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::settings::FlowControl;

    fn path(at: usize, path: &Path) -> SerialSettings {
        let place = Place::Path(path.to_owned());
        SerialSettings { at, place, baud: 9_600, flow_control: FlowControl::None }
    }

    fn pattern(at: usize, folder: &Path, names: &str) -> SerialSettings {
        let names = globset::Glob::new(names).unwrap().compile_matcher();
        let place = Place::Pattern { folder: folder.to_owned(), names };
        SerialSettings { at, place, baud: 115_200, flow_control: FlowControl::None }
    }

    /// Names of devices that every Linux has; none is opened.
    fn folder(names: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, device) in names {
            symlink(device, folder.path().join(name)).unwrap();
        }
        folder
    }

    fn served(scan: &Scan) -> Vec<(String, usize)> {
        let name = |found: &Found| found.path.file_name().unwrap().to_string_lossy().into_owned();
        scan.lines.iter().map(|found| (name(found), found.entry)).collect()
    }

    #[test]
    fn a_pattern_takes_what_fits_and_is_a_device() {
        let there = folder(&[("usb-b", "/dev/null"), ("usb-a", "/dev/zero"), ("other", "/dev/full")]);
        std::fs::write(there.path().join("usb-file"), "").unwrap();
        std::fs::create_dir(there.path().join("usb-folder")).unwrap();
        symlink("/dev/not-there", there.path().join("usb-gone")).unwrap();
        let scan = scan(&[pattern(0, there.path(), "usb-*")]);
        assert_eq!(served(&scan), [("usb-a".to_owned(), 0), ("usb-b".to_owned(), 0)]);
        assert_eq!(scan.lines[0].device, Path::new("/dev/zero"));
        assert!(scan.doubled.is_empty() && scan.empty.is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_error() {
        let there = folder(&[]);
        let entries = [pattern(0, &there.path().join("by-id"), "*"), path(1, &there.path().join("ttyUSB0"))];
        assert_eq!(scan(&entries), Scan { lines: vec![], doubled: vec![], empty: vec![1, 0] });
    }

    #[test]
    fn a_line_with_several_names_is_served_once_and_a_path_goes_before_a_pattern() {
        let there = folder(&[("usb-a", "/dev/null"), ("usb-a-too", "/dev/null"), ("usb-b", "/dev/zero")]);
        let entries = [
            pattern(0, there.path(), "usb-*"),
            path(1, Path::new("/dev/zero")),
            pattern(2, there.path(), "usb-b"),
        ];
        let scan = scan(&entries);
        assert_eq!(served(&scan), [("zero".to_owned(), 1), ("usb-a".to_owned(), 0)]);
        let doubled: Vec<_> = scan.doubled.iter().map(|twice| (twice.entry, twice.by.entry)).collect();
        assert_eq!(doubled, [(0, 0), (0, 1), (2, 1)]);
    }
}
