//! Whether LMDB can be trusted with a file: every page of every tree is where it should be, in order, and nobody
//! else's; and whether the totals are those of the entries. One look: what it reads are heads, not blocks.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::{
    look::{Look, Table},
    pages::{Damage, Data, INTEGER_KEY, Tree},
    records::{EntryHead, key_of},
};
use crate::core::{ENTRY_HEAD_BYTES, Key, Totals, footprint, number_of};

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The pages of the trees: quick enough for every start.
    Trees,
    /// The head of each large value too, and with it the totals.
    Values,
}

/// What was found; LMDB may open the file when there is no damage.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    pub damage: Vec<Damage>,
    /// Pages that the file has and no state needs.
    pub free_pages: u64,
    pub used_pages: u64,
    /// Counted entry by entry.
    pub totals: Totals,
    pub highest_key: Option<Key>,
    pub highest_quarantined: Option<Key>,
    /// Pages that can be given away, as the file itself says.
    pub free: BTreeSet<u64>,
    pub used: BTreeSet<u64>,
}

/// The list of free pages alone.
pub fn free_list(look: &Look<'_>) -> Structure {
    let mut found = Structure::default();
    found.free_list(look);
    found
}

pub fn check(look: &Look<'_>, depth: Depth) -> Structure {
    let mut found = Structure::default();
    found.free_list(look);
    if (look.snapshot.free.flags, look.snapshot.main.flags) != (INTEGER_KEY, 0) {
        found.say(0, "the tables have another order of keys");
    }
    let mut tables = 0;
    let pages = {
        let damage = &mut found.damage;
        look.file.walk(&look.snapshot, look.snapshot.main, &[], damage, &mut |_, data| {
            tables += 1;
            if !matches!(data, Data::Table(_)) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
    };
    found.use_pages(pages);
    if tables != look.snapshot.main.entries {
        found.say(0, "the table of tables has not all its entries");
    }
    for table in Table::ALL {
        match look.tree(table) {
            Ok(Some(tree)) => found.table(look, table, tree, depth),
            Ok(None) => {}
            Err(damage) => found.damage.push(damage),
        }
    }
    found.in_the_file(look);
    found.damage.sort();
    found.damage.dedup();
    found
}

impl Structure {
    fn say(&mut self, page: u64, what: &str) {
        self.damage.push(Damage { page, what: what.to_owned() });
    }

    fn use_pages(&mut self, pages: impl IntoIterator<Item = u64>) {
        for page in pages {
            if !self.used.insert(page) {
                self.say(page, "belongs to two");
            }
        }
    }

    /// Values of the free table: a count, and as many page numbers, each lower than the one before.
    fn free_list(&mut self, look: &Look<'_>) {
        let (mut damage, mut lists, mut overflow) = (Vec::new(), Vec::new(), Vec::new());
        let pages = look.file.walk(&look.snapshot, look.snapshot.free, &[], &mut damage, &mut |_, data| {
            if let Data::Big { page, len } = data {
                overflow.extend(page..page.saturating_add(look.file.overflow_pages(len)));
            }
            lists.push(look.file.value(&look.snapshot, data));
            ControlFlow::Continue(())
        });
        self.damage.extend(damage);
        self.use_pages(pages);
        self.use_pages(overflow);
        if lists.len() as u64 != look.snapshot.free.entries {
            self.say(0, "the table of free pages has not all its entries");
        }
        for list in lists {
            let numbers = list.map(|bytes| {
                bytes.chunks_exact(8).map(|number| number.try_into().map_or(0, u64::from_le_bytes)).collect()
            });
            let numbers: Vec<u64> = match numbers {
                Ok(numbers) => numbers,
                Err(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            let Some((count, free)) = numbers.split_first() else {
                self.say(0, "a list of free pages is empty");
                continue;
            };
            let (free, inside) = (free.get(..*count as usize), 2..look.snapshot.pages);
            match free {
                Some(free)
                    if free.is_sorted_by(|a, b| a > b) && free.iter().all(|page| inside.contains(page)) =>
                {
                    self.free.extend(free);
                }
                _ => self.say(0, "a list of free pages makes no sense"),
            }
        }
    }

    fn table(&mut self, look: &Look<'_>, table: Table, tree: Tree, depth: Depth) {
        let (mut damage, mut overflow, mut entries) = (Vec::new(), Vec::new(), 0);
        let (mut totals, mut highest, mut heads) = (Totals::default(), None, Vec::new());
        let pages = look.file.walk(&look.snapshot, tree, &[], &mut damage, &mut |key, data| {
            entries += 1;
            if let Data::Big { page, len } = data {
                overflow.extend(page..page.saturating_add(look.file.overflow_pages(len)));
            }
            highest = highest.max(key_of(key).map(number_of));
            if depth == Depth::Values {
                heads.extend(look.file.value_head(data).err());
            }
            if table == Table::Queue && depth == Depth::Values {
                add(&mut totals, look, data);
            }
            ControlFlow::Continue(())
        });
        self.damage.extend(damage);
        self.damage.extend(heads);
        self.use_pages(pages);
        self.use_pages(overflow);
        if tree.flags != 0 {
            self.say(0, &format!("the table {} has another order of keys", table.name()));
        }
        if entries != tree.entries {
            self.say(0, &format!("the table {} has not all its entries", table.name()));
        }
        match table {
            Table::Queue => (self.totals, self.highest_key) = (totals, highest),
            Table::Quarantine => self.highest_quarantined = highest,
            Table::Origins | Table::Meta => {}
        }
    }

    fn in_the_file(&mut self, look: &Look<'_>) {
        let bytes = look.file.len().unwrap_or_default();
        let last_used = self.used.last().copied().unwrap_or_default();
        if last_used >= look.snapshot.pages || (last_used + 1) * look.file.page_bytes() > bytes {
            self.say(last_used, "lies beyond the end of the file");
        }
        if let Some(page) = self.free.iter().find(|page| self.used.contains(page)).copied() {
            self.say(page, "is in use and to be given away");
        }
        self.used_pages = self.used.len() as u64 + 2;
        self.free_pages = look.snapshot.pages.saturating_sub(self.used_pages);
    }
}

/// The same figures that the agent adds up when it commits.
fn add(totals: &mut Totals, look: &Look<'_>, data: Data<'_>) {
    let (len, head) = look.file.beginning(data, ENTRY_HEAD_BYTES);
    totals.blocks += 1;
    totals.readings += u64::from(EntryHead::read(&head).0.readings);
    totals.bytes += footprint((len as usize).saturating_sub(ENTRY_HEAD_BYTES));
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::{
        core::{Batch, OriginRecord, Put, Quarantined},
        queue::{folder, pages::PageFile, store::Store},
    };

    /// A queue of blocks large and small that lived for a while; after each commit its file is checked.
    fn live(data_dir: &std::path::Path, commits: u64, after_each: impl Fn()) {
        std::fs::create_dir_all(folder(data_dir)).unwrap();
        let store = Store::open(&folder(data_dir), 32 << 20).unwrap();
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut held: Vec<Key> = Vec::new();
        let mut next = 0;
        for commit in 0..commits {
            let mut batch = Batch { unix_ms: commit as i64, ..Batch::default() };
            for _ in 0..random.random_range(0..40) {
                let len = random.random_range(60..9_000);
                batch.puts.push(Put { key: next, readings: 1, block: vec![next as u8; len].into() });
                held.push(next);
                next += 1;
            }
            for _ in 0..random.random_range(0..38_usize.min(held.len() + 1)) {
                batch.deletes.push(held.remove(random.random_range(0..held.len())));
            }
            if let Some(key) = held.pop_if(|_| commit % 5 == 0) {
                batch.quarantine.push(Quarantined { keys: vec![key], block: None, reason: "sealed" });
            }
            batch.origins.push(record(commit));
            store.mend(&crate::queue::store::Mend { batch, ..Default::default() }).unwrap();
            after_each();
        }
        assert!(store.close());
    }

    fn record(boot: u64) -> OriginRecord {
        let origin = tidegate_protocol::Origin::new(
            tidegate_protocol::DeviceId::new("board").unwrap(),
            tidegate_protocol::BootId(boot),
        );
        let description = tidegate_protocol::block::Description {
            origin,
            tag: "T".repeat(50),
            firmware: String::new(),
            channels: Vec::new(),
        };
        OriginRecord {
            description,
            safe: Vec::new(),
            floor: 0,
            next: 0,
            described: false,
            closed: false,
            local: false,
        }
    }

    fn checked(data_dir: &std::path::Path) -> Structure {
        let file = PageFile::open(&folder(data_dir).join("data.mdb")).unwrap();
        match file.snapshot() {
            Ok(snapshot) => check(&Look { file: &file, snapshot }, Depth::Values),
            Err(damage) => Structure { damage: vec![damage], ..Structure::default() },
        }
    }

    #[test]
    fn what_lmdb_writes_is_in_order_after_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        live(folder.path(), 60, || {
            let structure = checked(folder.path());
            assert_eq!(structure.damage, []);
        });
        let structure = checked(folder.path());
        assert!(structure.totals.blocks > 20 && structure.highest_quarantined.is_some(), "{structure:?}");
        let missing = (2..structure.used_pages + structure.free_pages)
            .filter(|page| !structure.used.contains(page) && !structure.free.contains(page));
        assert_eq!(missing.count(), 0, "every page is in use or free");
    }

    /// Opening and walking may fail in any way but ending the process, and a file found whole is one that LMDB reads.
    #[test]
    fn no_flipped_byte_in_a_page_of_the_trees_passes_or_panics() {
        let folder = tempfile::tempdir().unwrap();
        const FLIPS: u32 = 400;
        live(folder.path(), 25, || {});
        let path = super::super::folder(folder.path()).join("data.mdb");
        let whole = std::fs::read(&path).unwrap();
        let good = checked(folder.path());
        assert_eq!(good.damage, []);
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let pages: Vec<u64> = good.used.iter().copied().collect();
        let mut found = 0;
        for _ in 0..FLIPS {
            let page = pages[random.random_range(0..pages.len())];
            let most = if random.random() { 16 } else { 4096 };
            let within = random.random_range(0..most);
            let at = page as usize * 4096 + within;
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.random_range(0..8);
            std::fs::write(&path, &bytes).unwrap();
            let damaged = checked(folder.path()).damage;
            found += u32::from(!damaged.is_empty());
            // Page numbers, flags and bounds are all checked; the rest of a head is padding.
            let in_head = within < 16 && within != 8 && within != 9;
            if in_head && !is_overflow_tail(&whole, page) {
                assert!(!damaged.is_empty(), "byte {within} of page {page}");
            }
        }
        assert!(found > FLIPS / 8, "{found} flips of {FLIPS} were noticed");
    }

    /// A page in the middle of a long value has no head of its own.
    fn is_overflow_tail(file: &[u8], page: u64) -> bool {
        let head = &file[page as usize * 4096..][..12];
        head[..8] != page.to_le_bytes() || ![1, 2, 4].contains(&head[10])
    }
}
