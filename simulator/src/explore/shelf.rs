//! The lake's files in memory.

use std::{collections::BTreeMap, rc::Rc};

use tidegate_ingest::{
    lake::Rows,
    store::keys::{Intent, LakeFile},
};
use tidegate_protocol::{Origin, Reading, SeqRange, block::ranges_of};

/// Ascending by seq.
#[derive(Debug, Default)]
pub struct File(BTreeMap<Origin, Vec<Reading>>);

impl File {
    fn of(rows: &Rows) -> Self {
        let mut file = Self::default();
        for (origin, reading) in rows.readings() {
            file.0.entry(origin).or_default().push(*reading);
        }
        file.0.values_mut().for_each(|readings| readings.sort_unstable_by_key(|reading| reading.seq));
        file
    }

    pub fn rows(&self) -> u64 {
        self.0.values().map(|readings| readings.len() as u64).sum()
    }

    pub fn readings(&self, origin: Origin, part: SeqRange) -> impl Iterator<Item = Reading> + '_ {
        let readings = self.0.get(&origin).into_iter().flatten().copied();
        readings.filter(move |reading| part.contains(reading.seq.0))
    }

    pub fn ranges(&self) -> impl Iterator<Item = (Origin, SeqRange)> + '_ {
        self.0
            .iter()
            .flat_map(|(origin, readings)| ranges_of(readings).into_iter().map(|range| (*origin, range)))
    }

    pub fn all(&self) -> impl Iterator<Item = (Origin, &Reading)> {
        self.0.iter().flat_map(|(origin, readings)| readings.iter().map(|reading| (*origin, reading)))
    }
}

/// By their names, temporary ones left out: nobody reads those, and a start removes them.
#[derive(Clone, Debug, Default)]
pub struct Shelf(BTreeMap<String, Rc<File>>);

impl Shelf {
    pub fn name_of(intent: &Intent) -> String {
        format!("{}-{}", intent.from, intent.to)
    }

    pub fn put(&mut self, intent: &Intent, rows: &Rows) -> LakeFile {
        let (path, file) = (Self::name_of(intent), File::of(rows));
        let rows = file.rows();
        self.0.insert(path.clone(), Rc::new(file));
        LakeFile { from: intent.from, to: intent.to, path, rows, bytes: rows }
    }

    pub fn remove(&mut self, intent: &Intent) {
        self.0.remove(&Self::name_of(intent));
    }

    pub fn get(&self, name: &str) -> Option<&File> {
        self.0.get(name).map(Rc::as_ref)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A backup takes what is registered.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_kept(name));
    }
}
