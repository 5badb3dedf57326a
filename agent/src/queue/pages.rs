//! LMDB's file, read without LMDB, page by page, every length and number checked.
//!
//! LMDB trusts its file: a flipped bit in a page's header may end the process that walks it. Who looks for damage must
//! not die of it, so the doctor reads with this, and only what was found whole is given to LMDB.
//!
//! ```text
//! page    number u64, 2 bytes, flags u16 (1 branch, 2 leaf, 4 overflow, 8 meta), then
//!         branch, leaf: lower u16, upper u16 and a u16 for each node, where in the page it is
//!         overflow: u32, how many pages in a row; the value follows
//! node    lo u16, hi u16, flags u16, key length u16, key, value
//!         branch: the child's number is lo, hi, flags; leaf: the value's length is lo, hi; flags 1: the value is the
//!         number of an overflow page, 2: it is a table
//! table   u32, 2 × u16, branch, leaf, overflow pages, entries, root: u64 each
//! meta    magic u32, version u32, u64, map bytes u64, table of free pages, table of tables, last page u64, txn u64
//! ```
//! Integers are little-endian: a queue is not carried between machines of different order. Of the two metas the one
//! with the higher transaction counts. Damage is an answer, never a panic; a damaged page hides what is below it only.

mod nodes;

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fs::File,
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use nodes::{Nodes, tree_at, u16_at, u32_at, u64_at};

const MAGIC: u32 = 0xBEEF_C0DE;
/// A released LMDB's version, and that of its development branch; both lay the file out alike.
const VERSIONS: [u32; 2] = [1, 999];
const PAGE_HEAD: usize = 16;
const TABLE_BYTES: usize = 48;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
/// A tree's keys are numbers in the machine's order, not bytes.
pub const INTEGER_KEY: u16 = 8;
const NO_ROOT: u64 = u64::MAX;
/// Trees of 2^48 pages are less deep.
const MAX_DEPTH: u32 = 32;
/// No value of the queue is longer; what says so is damaged.
const MAX_VALUE_BYTES: u64 = 4 * 1024 * 1024;

/// What is wrong, and in which page of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("page {page}: {what}")]
pub struct Damage {
    pub page: u64,
    pub what: String,
}

fn damage<T>(page: u64, what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage { page, what: what.into() })
}

/// A B-tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    root: u64,
    pub entries: u64,
    pub flags: u16,
}

impl Tree {
    fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.flags & INTEGER_KEY != 0 { u64_at(a, 0).cmp(&u64_at(b, 0)) } else { a.cmp(b) }
    }
}

/// One committed state of the file.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    pub txn: u64,
    pub map_bytes: u64,
    /// Pages that were ever in use; the file has at least these.
    pub pages: u64,
    pub free: Tree,
    pub main: Tree,
}

/// A value where it is.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    Inline(&'a [u8]),
    Big { page: u64, len: u64 },
    Table(Tree),
}

pub struct PageFile {
    file: File,
    path: PathBuf,
    page_bytes: u64,
}

impl PageFile {
    /// Opens the file and finds its page size. What no page size fits is no LMDB file, or nothing of it is left.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut pages = Self { file, path: path.to_owned(), page_bytes: 4096 };
        let sizes = [4096, 16_384, 65_536, 8192, 32_768];
        // The size is in the metas, and the second one's place depends on it.
        let fits = |pages: &Self, number| {
            let said = pages.page(number).ok().and_then(|page| page_bytes_said(&page));
            said == Some(pages.page_bytes)
        };
        for page_bytes in sizes {
            pages.page_bytes = page_bytes;
            if fits(&pages, 0) || fits(&pages, 1) {
                return Ok(pages);
            }
        }
        pages.page_bytes = 4096;
        Ok(pages)
    }

    pub const fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn page(&self, number: u64) -> Result<Vec<u8>, Damage> {
        self.read(number, self.page_bytes)
    }

    fn read(&self, number: u64, len: u64) -> Result<Vec<u8>, Damage> {
        let Some(at) = number.checked_mul(self.page_bytes) else {
            return damage(number, "there is no such page");
        };
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) => damage(number, format!("cannot be read: {error}")),
        }
    }

    /// Bytes of the file, wherever; fewer at its end.
    pub fn bytes_at(&self, at: u64, len: usize) -> Vec<u8> {
        let (mut bytes, mut read) = (vec![0; len], 0);
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        bytes.truncate(read);
        bytes
    }

    /// Small values of a page that looks like one of a tree, whoever leads to it.
    pub fn loose_values(&self, number: u64) -> Vec<Vec<u8>> {
        let page = self.page(number).and_then(|page| Nodes::read(number, page));
        let Some(nodes) = page.ok().filter(|nodes| !nodes.is_branch) else { return Vec::new() };
        let inline = |at| match nodes.data(at) {
            Some(Data::Inline(bytes)) => Some(bytes.to_vec()),
            _ => None,
        };
        (0..nodes.len()).filter_map(inline).collect()
    }

    /// The newest state that the metas tell of. With a running agent the caller pins it first.
    pub fn snapshot(&self) -> Result<Snapshot, Damage> {
        let (first, second) = (self.meta(0)?, self.meta(1)?);
        Ok(if first.txn >= second.txn { first } else { second })
    }

    /// A state to look for remains in, when one of the metas is damaged: it may be older than the newest.
    pub fn any_snapshot(&self) -> Result<Snapshot, Damage> {
        self.snapshot().or_else(|_| self.meta(0)).or_else(|_| self.meta(1))
    }

    fn meta(&self, number: u64) -> Result<Snapshot, Damage> {
        // A commit may be writing it now: the same twice is whole.
        let mut page = self.page(number)?;
        for _ in 0..8 {
            let again = self.page(number)?;
            if again == page {
                break;
            }
            page = again;
        }
        if page_bytes_said(&page) != Some(self.page_bytes) {
            return damage(number, "is no meta page");
        }
        let at = PAGE_HEAD;
        let last = u64_at(&page, at + 24 + 2 * TABLE_BYTES);
        let (free, main) = (tree_at(&page, at + 24), tree_at(&page, at + 24 + TABLE_BYTES));
        let (Some(map_bytes), Some(free), Some(main), Some(last)) =
            (u64_at(&page, at + 16), free, main, last)
        else {
            return damage(number, "is too short");
        };
        let txn = u64_at(&page, at + 32 + 2 * TABLE_BYTES).unwrap_or_default();
        let pages = last.saturating_add(1);
        let in_file = |root| root == NO_ROOT || root < pages;
        if !in_file(free.root) || !in_file(main.root) || pages > 1 << 40 {
            return damage(number, "names pages that do not exist");
        }
        Ok(Snapshot { txn, map_bytes, pages, free, main })
    }

    /// A table of the main tree by its name.
    pub fn table(&self, snapshot: &Snapshot, name: &str) -> Result<Option<Tree>, Damage> {
        let mut found = None;
        let mut damaged = Vec::new();
        self.walk(snapshot, snapshot.main, &[], &mut damaged, &mut |key, data| {
            if let Data::Table(tree) = data
                && key == name.as_bytes()
            {
                found = Some(tree);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        match (found, damaged.into_iter().next()) {
            (None, Some(damage)) => Err(damage),
            (found, _) => Ok(found),
        }
    }

    /// Visits entries from the key `from` on, in order, until told to stop; returns the pages it met. A damaged page
    /// is noted and left out with all below it; an entry that stands in a wrong place is noted and visited.
    pub fn walk(
        &self,
        snapshot: &Snapshot,
        tree: Tree,
        from: &[u8],
        damaged: &mut Vec<Damage>,
        visit: &mut dyn FnMut(&[u8], Data<'_>) -> ControlFlow<()>,
    ) -> BTreeSet<u64> {
        let mut walk = Walk { file: self, snapshot, tree, from, seen: BTreeSet::new(), damaged, visit };
        if tree.root != NO_ROOT {
            let _stopped = walk.below(tree.root, MAX_DEPTH, None, None);
        }
        walk.seen
    }

    /// Reads a value; an overflow page must say the same of it as the leaf does.
    pub fn value(&self, snapshot: &Snapshot, data: Data<'_>) -> Result<Vec<u8>, Damage> {
        let (page, len) = match data {
            Data::Inline(bytes) => return Ok(bytes.to_vec()),
            Data::Big { page, len } => (page, len),
            Data::Table(Tree { root, .. }) => return damage(root, "is a table where a value should be"),
        };
        self.value_head(data)?;
        if len > MAX_VALUE_BYTES || page.saturating_add(self.overflow_pages(len)) > snapshot.pages {
            return damage(page, "a value reaches beyond the file");
        }
        let bytes = self.read(page, PAGE_HEAD as u64 + len)?;
        Ok(bytes.get(PAGE_HEAD..).unwrap_or_default().to_vec())
    }

    /// Whether the page of a large value says that it is that: LMDB frees as many pages as it says.
    pub fn value_head(&self, data: Data<'_>) -> Result<(), Damage> {
        let Data::Big { page, len } = data else { return Ok(()) };
        let head = self.read(page, PAGE_HEAD as u64)?;
        let is_overflow = u16_at(&head, 10) == Some(OVERFLOW);
        let pages = u32_at(&head, 12).map(u64::from);
        if u64_at(&head, 0) == Some(page) && is_overflow && pages == Some(self.overflow_pages(len)) {
            Ok(())
        } else {
            damage(page, "is no overflow page of that length")
        }
    }

    /// A value's length and its first bytes, unchecked; fewer where they cannot be read.
    pub fn beginning(&self, data: Data<'_>, most: usize) -> (u64, Vec<u8>) {
        match data {
            Data::Inline(bytes) => (bytes.len() as u64, bytes.get(..most).unwrap_or(bytes).to_vec()),
            Data::Big { page, len } => {
                let read = self.read(page, (PAGE_HEAD + most) as u64);
                (len, read.ok().and_then(|bytes| Some(bytes.get(PAGE_HEAD..)?.to_vec())).unwrap_or_default())
            }
            Data::Table(_) => (0, Vec::new()),
        }
    }

    /// How many pages a value of this length takes for itself.
    pub const fn overflow_pages(&self, len: u64) -> u64 {
        (PAGE_HEAD as u64 - 1 + len) / self.page_bytes + 1
    }
}

struct Walk<'w> {
    file: &'w PageFile,
    snapshot: &'w Snapshot,
    tree: Tree,
    from: &'w [u8],
    /// A page twice in one tree would be walked for ever.
    seen: BTreeSet<u64>,
    damaged: &'w mut Vec<Damage>,
    visit: &'w mut dyn FnMut(&[u8], Data<'_>) -> ControlFlow<()>,
}

impl Walk<'_> {
    /// Keys below this page are to be in `low..high`: LMDB finds them by that.
    fn below(&mut self, number: u64, depth: u32, low: Option<&[u8]>, high: Option<&[u8]>) -> ControlFlow<()> {
        match self.read(number, depth) {
            Ok(page) if page.is_branch => self.branch(&page, depth, low, high),
            Ok(page) => self.leaf(&page, low, high),
            Err(damage) => {
                self.damaged.push(damage);
                ControlFlow::Continue(())
            }
        }
    }

    fn read(&mut self, number: u64, depth: u32) -> Result<Nodes, Damage> {
        if depth == 0 || !self.seen.insert(number) {
            return damage(number, "is met twice in one tree");
        }
        if number < 2 || number >= self.snapshot.pages {
            return damage(number, "does not exist");
        }
        Nodes::read(number, self.file.page(number)?)
    }

    fn branch(
        &mut self,
        page: &Nodes,
        depth: u32,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> ControlFlow<()> {
        let is_free_list = self.tree.flags & INTEGER_KEY != 0;
        if page.len() < 2 && !is_free_list {
            self.damaged.push(Damage { page: page.number, what: "is a branch that does not branch".into() });
        }
        for at in 0..page.len() {
            // The first key of a branch stands for all that is lower.
            let first = if at == 0 { low } else { page.key(at) };
            let end = page.key(at + 1).or(high);
            let passed = end.is_some_and(|end| self.tree.order(end, self.from).is_le());
            if let (false, Some(child)) = (passed, page.child(at)) {
                self.below(child, depth - 1, first, end)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn leaf(&mut self, page: &Nodes, low: Option<&[u8]>, high: Option<&[u8]>) -> ControlFlow<()> {
        let mut before: Option<&[u8]> = None;
        for at in 0..page.len() {
            let (Some(key), Some(data)) = (page.key(at), page.data(at)) else { continue };
            let misplaced = low.is_some_and(|low| self.tree.order(key, low).is_lt())
                || high.is_some_and(|high| self.tree.order(key, high).is_ge())
                || before.is_some_and(|before| self.tree.order(key, before).is_le());
            if misplaced {
                self.damaged
                    .push(Damage { page: page.number, what: format!("its key {at} is out of order") });
            }
            before = Some(key);
            if self.tree.order(key, self.from).is_ge() {
                (self.visit)(key, data)?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn page_bytes_said(page: &[u8]) -> Option<u64> {
    let (flags, magic) = (u16_at(page, 10)?, u32_at(page, PAGE_HEAD)?);
    let version = u32_at(page, PAGE_HEAD + 4)?;
    let is_meta = flags & META != 0 && magic == MAGIC && VERSIONS.contains(&version);
    is_meta.then_some(u64::from(u32_at(page, PAGE_HEAD + 24)?))
}
