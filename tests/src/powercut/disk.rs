//! A disk that forgets what was not synced.
//!
//! Of every file: what is certain, and the sectors and lengths that were written since and may have reached the disk, each
//! by itself. A sector written twice may be there in its first version, its second, or not at all. Of the names: the
//! same, each change by itself.

use std::collections::BTreeMap;

use super::trace::Step;

/// Something that may have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    Sector { file: usize, at: usize },
    Length { file: usize, at: usize },
    Name(usize),
}

/// Units of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    pub unit: Unit,
    /// Which recorded call it came from.
    pub call: usize,
    /// Its 4-KiB page in its file; 0 for lengths and names.
    pub page: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// As the process sees it.
    seen: Vec<u8>,
    /// As it certainly is on the disk.
    certain: Vec<u8>,
    sectors: Vec<Sector>,
    lengths: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Sector {
    call: usize,
    number: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Debug)]
struct NameChange {
    call: usize,
    /// Takes a name away, gives one, or both at once.
    from: Option<String>,
    to: Option<(String, Node)>,
}

type Names = BTreeMap<String, Node>;

/// Files by path, with their bytes; folders as paths that end with a slash.
pub type Tree = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
pub struct Disk {
    sector_bytes: usize,
    files: Vec<File>,
    seen: Names,
    certain: Names,
    changes: Vec<NameChange>,
    calls: usize,
}

impl Disk {
    pub fn new(sector_bytes: usize) -> Self {
        Self {
            sector_bytes,
            files: Vec::new(),
            seen: Names::new(),
            certain: Names::new(),
            changes: Vec::new(),
            calls: 0,
        }
    }

    /// Does to the disk what the process did.
    ///
    /// # Panics
    /// At a step that this model has no picture of: what would be tested then is not what happened.
    pub fn apply(&mut self, step: &Step) {
        self.calls += 1;
        match step {
            Step::Create { path } => {
                self.files.push(File::default());
                self.change_name(None, Some((path.clone(), Node::File(self.files.len() - 1))));
            }
            Step::MakeFolder { path } => self.change_name(None, Some((path.clone(), Node::Folder))),
            Step::Rename { from, to } => {
                let node = self.seen[from];
                self.change_name(Some(from.clone()), Some((to.clone(), node)));
            }
            Step::Remove { path } => self.change_name(Some(path.clone()), None),
            Step::Write { path, offset, bytes, through } => {
                let written = self.write(path, *offset as usize, bytes);
                if *through {
                    self.settle(path, written);
                }
            }
            Step::Length { path, len } => self.lengthen(path, *len as usize),
            Step::Sync { path } => {
                let file = self.file(path);
                file.certain.clone_from(&file.seen);
                file.sectors.clear();
                file.lengths.clear();
            }
            Step::SyncFolder { path } => self.sync_folder(path),
            Step::Begun(_) | Step::Acknowledged(_) => {}
            Step::MapWritable { .. } | Step::Unknown { .. } => panic!("not understood: {step:?}"),
        }
    }

    fn file(&mut self, path: &str) -> &mut File {
        match self.seen.get(path) {
            Some(Node::File(at)) => &mut self.files[*at],
            other => panic!("{path} is {other:?}, not a file that was created"),
        }
    }

    /// The sectors that it touches.
    fn write(&mut self, path: &str, offset: usize, bytes: &[u8]) -> std::ops::Range<usize> {
        let (size, call) = (self.sector_bytes, self.calls);
        let file = self.file(path);
        let end = offset + bytes.len();
        if end > file.seen.len() {
            file.seen.resize(end, 0);
            file.lengths.push((call, end));
        }
        file.seen[offset..end].copy_from_slice(bytes);
        let touched = offset / size..end.div_ceil(size);
        for number in touched.clone() {
            let bytes = file.seen[number * size..((number + 1) * size).min(file.seen.len())].to_vec();
            file.sectors.push(Sector { call, number, bytes });
        }
        touched
    }

    /// A write that was synced by itself: its own sectors are certain, with all that was in them; nothing else is.
    fn settle(&mut self, path: &str, sectors: std::ops::Range<usize>) {
        let size = self.sector_bytes;
        let file = self.file(path);
        let (start, end) = (sectors.start * size, (sectors.end * size).min(file.seen.len()));
        if file.certain.len() < end {
            file.certain.resize(end, 0);
            file.lengths.retain(|(_, len)| *len > end);
        }
        file.certain[start..end].copy_from_slice(&file.seen[start..end]);
        file.sectors.retain(|sector| !sectors.contains(&sector.number));
    }

    fn lengthen(&mut self, path: &str, len: usize) {
        let call = self.calls;
        let file = self.file(path);
        assert!(len >= file.seen.len(), "{path} shrinks: there is no picture of that");
        file.seen.resize(len, 0);
        file.lengths.push((call, len));
    }

    fn change_name(&mut self, from: Option<String>, to: Option<(String, Node)>) {
        let change = NameChange { call: self.calls, from, to };
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    fn sync_folder(&mut self, path: &str) {
        let certain = &mut self.certain;
        self.changes.retain(|change| {
            let stays = change.folder() != path;
            if !stays {
                change.apply(certain);
            }
            stays
        });
    }

    /// What may have reached the disk, in the order in which it happened.
    pub fn pending(&self) -> Vec<Pending> {
        let mut all = Vec::new();
        for (file, of) in self.files.iter().enumerate() {
            let sectors = of.sectors.iter().enumerate().map(|(at, sector)| Pending {
                unit: Unit::Sector { file, at },
                call: sector.call,
                page: sector.number * self.sector_bytes / 4096,
            });
            let lengths = of.lengths.iter().enumerate();
            let lengths = lengths.map(|(at, (call, _))| Pending {
                unit: Unit::Length { file, at },
                call: *call,
                page: 0,
            });
            all.extend(sectors.chain(lengths));
        }
        let names = self.changes.iter().enumerate();
        all.extend(names.map(|(at, change)| Pending { unit: Unit::Name(at), call: change.call, page: 0 }));
        all.sort_by_key(|pending| (pending.call, pending.page, pending.unit));
        all
    }

    /// The disk after a power cut, if of what is pending just `reached` had reached it.
    pub fn after_cut(&self, reached: &[Unit]) -> Tree {
        let mut files: Vec<Vec<u8>> = Vec::with_capacity(self.files.len());
        let (mut sectors, mut lengths, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for unit in reached {
            match *unit {
                Unit::Sector { file, at } => sectors.push((file, at)),
                Unit::Length { file, at } => lengths.push((file, at)),
                Unit::Name(at) => names.push(at),
            }
        }
        // In the order in which they happened: the last version of a sector that reached the disk is the one there.
        [&mut sectors, &mut lengths].into_iter().for_each(|units| units.sort_unstable());
        names.sort_unstable();
        for file in &self.files {
            let mut bytes = file.certain.clone();
            // Bytes that lie beyond the length that reached the disk are not seen.
            bytes.resize(file.seen.len(), 0);
            files.push(bytes);
        }
        for (file, at) in sectors {
            let Sector { number, bytes, .. } = &self.files[file].sectors[at];
            let start = number * self.sector_bytes;
            files[file][start..start + bytes.len()].copy_from_slice(bytes);
        }
        for (file, bytes) in files.iter_mut().enumerate() {
            let of = &self.files[file];
            let reached = lengths.iter().filter(|(at, _)| *at == file).map(|(_, at)| of.lengths[*at].1);
            bytes.truncate(reached.max().unwrap_or(0).max(of.certain.len()));
        }
        let mut tree_names = self.certain.clone();
        names.iter().for_each(|at| self.changes[*at].apply(&mut tree_names));
        reachable(&tree_names, &files)
    }

    /// As the process sees it.
    pub fn seen(&self) -> Tree {
        let files: Vec<Vec<u8>> = self.files.iter().map(|file| file.seen.clone()).collect();
        reachable(&self.seen, &files)
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((path, node)) = &self.to {
            names.insert(path.clone(), *node);
        }
    }

    fn folder(&self) -> &str {
        let path = self.to.as_ref().map(|(path, _)| path).or(self.from.as_ref()).map_or("", String::as_str);
        parent(path)
    }
}

/// Of a path relative to the recorded folder; that folder itself is "".
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Names whose folders all have names.
fn reachable(names: &Names, files: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    for (path, node) in names {
        let folder = parent(path);
        // Ascending by path: a folder comes before what is in it.
        if !folder.is_empty() && !tree.contains_key(&format!("{folder}/")) {
            continue;
        }
        match node {
            Node::Folder => tree.insert(format!("{path}/"), Vec::new()),
            Node::File(at) => tree.insert(path.clone(), files[*at].clone()),
        };
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str, offset: u64, byte: u8, len: usize, through: bool) -> Step {
        Step::Write { path: path.into(), offset, bytes: vec![byte; len], through }
    }

    fn disk(steps: &[Step]) -> Disk {
        let mut disk = Disk::new(512);
        disk.apply(&Step::Create { path: "a".into() });
        disk.apply(&Step::SyncFolder { path: String::new() });
        steps.iter().for_each(|step| disk.apply(step));
        disk
    }

    fn units(disk: &Disk) -> Vec<Unit> {
        disk.pending().into_iter().map(|pending| pending.unit).collect()
    }

    #[test]
    fn what_is_synced_is_there_and_what_is_not_may_be_there_in_part() {
        let disk = disk(&[
            write("a", 0, 1, 1024, false),
            Step::Sync { path: "a".into() },
            write("a", 0, 2, 1024, false),
        ]);
        let [first, second] = units(&disk)[..] else { panic!("two sectors may be there") };
        assert_eq!(disk.after_cut(&[])["a"], [1; 1024]);
        assert_eq!(disk.after_cut(&[second])["a"], [[1; 512], [2; 512]].concat());
        assert_eq!(disk.after_cut(&[first, second]), disk.seen());
    }

    #[test]
    fn a_write_that_is_synced_by_itself_syncs_no_other() {
        let disk = disk(&[
            write("a", 0, 1, 2048, false),
            Step::Sync { path: "a".into() },
            write("a", 512, 2, 512, false),
            write("a", 10, 3, 20, true),
        ]);
        assert_eq!(units(&disk).len(), 1);
        let bytes = &disk.after_cut(&[])["a"];
        assert_eq!((bytes[9], bytes[10], bytes[30], bytes[512]), (1, 3, 1, 1));
    }

    #[test]
    fn a_sector_written_twice_may_be_there_in_either_version() {
        let disk = disk(&[write("a", 0, 1, 512, false), write("a", 0, 2, 512, false)]);
        let units = units(&disk);
        let at = |wanted: &[usize]| {
            let reached: Vec<Unit> = wanted.iter().map(|at| units[*at]).collect();
            disk.after_cut(&reached)["a"].first().copied()
        };
        // A length, the first version, the second.
        assert_eq!(units.len(), 3);
        let (length, first, second) = (1, 0, 2);
        assert!(matches!(units[length], Unit::Length { .. }));
        assert_eq!(at(&[length]), Some(0), "a file may grow before its bytes are written");
        assert_eq!(at(&[first, second]), None, "and its bytes be written before it grows");
        assert_eq!(at(&[length, first]), Some(1));
        assert_eq!(at(&[length, second]), Some(2));
        assert_eq!(at(&[length, first, second]), Some(2));
    }

    #[test]
    fn a_name_lasts_once_its_folder_is_synced_and_with_the_names_above_it() {
        let mut disk = Disk::new(512);
        for step in [
            Step::MakeFolder { path: "day".into() },
            Step::Create { path: "day/tmp".into() },
            write("day/tmp", 0, 7, 5, false),
            Step::Sync { path: "day/tmp".into() },
            Step::Rename { from: "day/tmp".into(), to: "day/file".into() },
            Step::SyncFolder { path: "day".into() },
        ] {
            disk.apply(&step);
        }
        assert_eq!(disk.after_cut(&[]), Tree::new(), "its folder has no name yet");
        let there = Tree::from([("day/".into(), Vec::new()), ("day/file".into(), vec![7; 5])]);
        assert_eq!(disk.after_cut(&units(&disk)), there);
        disk.apply(&Step::SyncFolder { path: String::new() });
        assert_eq!(disk.after_cut(&[]), there);
    }
}
