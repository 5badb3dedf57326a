//! Who changed what: a file that only grows.
//!
//! Each order is written down, durably, *before* it is carried out, and what came of it after. So nothing is changed without a
//! line, whatever dies when; an order without an outcome was cut off, and the log of its kind (alarms, rules) says whether it was
//! committed. That log has what was changed in detail: here is who, from where, with what right, and which revision
//! it became, by which it is found there. It lies beside the store: a restored backup does not take it back.
//!
//! ```text
//! access/changes.jsonl
//! {"number":7,"unix_ms":…,"actor":"eva","role":"operator","by":"session","token":null,"address":"10.0.0.7",
//!  "method":"POST","path":"/api/v1/alarms/…/acknowledge","before":null}
//! {"outcome_of":7,"unix_ms":…,"status":200,"after":"\"…\"","note":null}
//! ```
//!
//! In memory is where each order's lines are, 24 bytes an order.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::kept;

const FILE: &str = "changes.jsonl";
/// Paths, names and notes are bounded; a longer line was not written here.
const MAX_LINE_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 256 * 1024;

/// Who is about to change something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
    pub unix_ms: i64,
    /// Empty where nobody is asked who they are and nothing has said it yet.
    pub actor: String,
    pub role: Option<String>,
    /// `token`, `session`, `local` (nobody was asked) or `command` (on the data folder)
    pub by: String,
    pub token: Option<String>,
    pub address: Option<String>,
    pub method: String,
    pub path: String,
    /// The revision that it was to change, where it named one.
    pub before: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub outcome_of: u64,
    pub unix_ms: i64,
    /// As HTTP has it; 200 of a command.
    pub status: u16,
    /// Who said to have done it, where nobody was asked who they are.
    pub operator: Option<String>,
    /// The revision that it became.
    pub after: Option<String>,
    /// What was changed, where no other log says it.
    pub note: Option<String>,
}

/// An order and its outcome; without, it was cut off or goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    #[serde(flatten)]
    pub order: Order,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    order: u64,
    outcome: Option<u64>,
}

#[derive(Debug)]
pub struct Changes {
    file: File,
    folder: std::path::PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// So far it is known where what is.
    end: u64,
    /// Of order number 1 first; none where its line cannot be read.
    places: Vec<Option<Place>>,
}

impl Changes {
    /// In the folder of users and tokens.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).mode(0o600).open(folder.join(FILE))?;
        tidegate_service::durable::sync_folder(folder)?;
        let changes = Self { file, folder: folder.to_owned(), known: Mutex::default() };
        changes.with_known(|_| Ok(()))?;
        Ok(changes)
    }

    /// Gives the order its number; durable when this returns.
    pub fn begin(&self, mut order: Order) -> io::Result<u64> {
        self.with_known(|known| {
            order.number = known.places.len() as u64 + 1;
            self.append(known, &order)?;
            Ok(order.number)
        })
    }

    pub fn end(&self, outcome: &Outcome) -> io::Result<()> {
        self.with_known(|known| self.append(known, outcome))
    }

    /// At most `limit` orders before this number, the newest first.
    pub fn before(&self, number: Option<u64>, limit: usize) -> io::Result<Vec<Change>> {
        let places: Vec<Place> = self.with_known(|known| {
            let end = number.map_or(known.places.len(), |number| {
                usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX).min(known.places.len())
            });
            let before = known.places.get(..end).unwrap_or_default();
            Ok(before.iter().rev().flatten().copied().take(limit).collect())
        })?;
        let read = |place: Place| {
            let order = serde_json::from_slice(&self.line_at(place.order)?)?;
            let outcome =
                place.outcome.map(|at| Ok::<_, io::Error>(serde_json::from_slice(&self.line_at(at)?)?));
            Ok(Change { order, outcome: outcome.transpose()? })
        };
        places.into_iter().map(read).collect()
    }

    /// Nobody else writes meanwhile, and what they wrote before is known.
    fn with_known<T>(&self, done: impl FnOnce(&mut Known) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let _locked = kept::lock(&self.folder)?;
        self.catch_up(&mut known)?;
        done(&mut known)
    }

    fn append(&self, known: &mut Known, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        (&self.file).write_all(&bytes)?;
        self.file.sync_data()?;
        self.catch_up(known)
    }

    /// Reads what was added. A line that a cut left unfinished gets its end, so that the next one is whole.
    fn catch_up(&self, known: &mut Known) -> io::Result<()> {
        let mut length = self.file.metadata()?.len();
        let mut buffer = vec![0; READ_BYTES];
        while known.end < length {
            let read = self.file.read_at(&mut buffer, known.end)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                if read < READ_BYTES && known.end + read as u64 == length {
                    (&self.file).write_all(b"\n")?;
                    length += 1;
                    continue;
                }
                // No line is so long: what this is, nobody knows.
                known.end += read.max(1) as u64;
                continue;
            };
            for line in bytes.get(..=last).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                known.note(line);
                known.end += line.len() as u64;
            }
        }
        Ok(())
    }

    fn line_at(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; MAX_LINE_BYTES];
        let read = self.file.read_at(&mut buffer, at)?;
        buffer.truncate(read);
        let end = buffer.iter().position(|byte| *byte == b'\n').unwrap_or(read);
        buffer.truncate(end);
        Ok(buffer)
    }
}

impl Known {
    /// A line at the end of what is known.
    fn note(&mut self, line: &[u8]) {
        let at = self.end;
        if let Ok(order) = serde_json::from_slice::<Order>(line) {
            // Numbers are given without gaps; where a line was lost its place stays empty.
            let Ok(index) = usize::try_from(order.number.saturating_sub(1)) else { return };
            if index >= self.places.len() && index - self.places.len() < MAX_LINE_BYTES {
                self.places.resize(index, None);
                self.places.push(Some(Place { order: at, outcome: None }));
            }
        } else if let Ok(outcome) = serde_json::from_slice::<Outcome>(line)
            && let Ok(index) = usize::try_from(outcome.outcome_of.wrapping_sub(1))
            && let Some(Some(place)) = self.places.get_mut(index)
        {
            place.outcome.get_or_insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn order(actor: &str) -> Order {
        Order {
            number: 0,
            unix_ms: 5,
            actor: actor.to_owned(),
            role: Some("operator".to_owned()),
            by: "session".to_owned(),
            token: None,
            address: Some("10.0.0.7".to_owned()),
            method: "PUT".to_owned(),
            path: "/api/v1/rules".to_owned(),
            before: Some("\"1\"".to_owned()),
        }
    }

    fn outcome(of: u64) -> Outcome {
        Outcome {
            outcome_of: of,
            unix_ms: 6,
            status: 200,
            after: Some("\"2\"".to_owned()),
            ..Outcome::default()
        }
    }

    fn shown(changes: &Changes, before: Option<u64>, limit: usize) -> Vec<(u64, String, Option<u16>)> {
        let all = changes.before(before, limit).unwrap().into_iter();
        all.map(|each| (each.order.number, each.order.actor, each.outcome.map(|out| out.status))).collect()
    }

    #[test]
    fn orders_come_back_newest_first_with_what_came_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::open(folder.path()).unwrap();
        for (actor, number) in [("eva", 1), ("tom", 2), ("kim", 3)] {
            assert_eq!(changes.begin(order(actor)).unwrap(), number);
        }
        // Not in their order, and one never.
        changes.end(&outcome(3)).unwrap();
        changes.end(&outcome(1)).unwrap();
        let all =
            [(3, "kim".to_owned(), Some(200)), (2, "tom".to_owned(), None), (1, "eva".to_owned(), Some(200))];
        let again = Changes::open(folder.path()).unwrap();
        for changes in [&changes, &again] {
            assert_eq!(shown(changes, None, 9), all);
            assert_eq!(shown(changes, Some(3), 1), all[1..2]);
            assert_eq!(shown(changes, Some(1), 9), []);
            assert_eq!(shown(changes, Some(u64::MAX), 2), all[..2]);
            assert_eq!(shown(changes, Some(0), 2), []);
        }
        let whole = again.before(Some(2), 1).unwrap().remove(0);
        assert_eq!(whole.order, Order { number: 1, ..order("eva") });
        assert_eq!(whole.outcome, Some(outcome(1)));
    }

    #[test]
    fn two_programs_write_into_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [0, 1].map(|_| Changes::open(folder.path()).unwrap());
        assert_eq!(one.begin(order("eva")).unwrap(), 1);
        assert_eq!(other.begin(order("tom")).unwrap(), 2);
        one.end(&outcome(1)).unwrap();
        assert_eq!(one.begin(order("kim")).unwrap(), 3);
        assert_eq!(shown(&other, None, 9).len(), 3);
        assert_eq!(shown(&other, None, 9)[2], (1, "eva".to_owned(), Some(200)));
    }

    #[test]
    fn wherever_a_line_is_cut_those_before_stand_and_the_next_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::open(folder.path()).unwrap();
        changes.begin(order("eva")).unwrap();
        let first = fs::read(folder.path().join(FILE)).unwrap();
        changes.begin(order("tom")).unwrap();
        let whole = fs::read(folder.path().join(FILE)).unwrap();
        for cut in first.len()..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), &whole[..cut]).unwrap();
            let changes = Changes::open(folder.path()).unwrap();
            // All but the end of the line is there: then it is read.
            let number = if cut == whole.len() - 1 { 3 } else { 2 };
            assert_eq!(changes.begin(order("kim")).unwrap(), number, "{cut}");
            changes.end(&outcome(number)).unwrap();
            for changes in [&changes, &Changes::open(folder.path()).unwrap()] {
                let all = shown(changes, None, 9);
                assert_eq!(all.first(), Some(&(number, "kim".to_owned(), Some(200))), "{cut}");
                assert_eq!(all.last(), Some(&(1, "eva".to_owned(), None)), "{cut}");
            }
        }
    }

    #[test]
    fn noise_in_the_file_hides_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::open(folder.path()).unwrap();
        changes.begin(order("eva")).unwrap();
        let mut bytes = fs::read(folder.path().join(FILE)).unwrap();
        bytes.extend(vec![b'x'; 3 * READ_BYTES]);
        bytes.extend(b"\n{\"outcome_of\":0,\"unix_ms\":1,\"status\":200}\n{\"outcome_of\":99,\"unix_ms\":1,\"status\":200}\n");
        fs::write(folder.path().join(FILE), bytes).unwrap();
        let changes = Changes::open(folder.path()).unwrap();
        assert_eq!(changes.begin(order("tom")).unwrap(), 2);
        assert_eq!(shown(&changes, None, 9), [(2, "tom".to_owned(), None), (1, "eva".to_owned(), None)]);
    }
}
