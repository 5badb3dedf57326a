//! Bytes flipped, files cut short, commands killed half way: what can be read is kept, the rest is named.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_agent::{
    failpoint::FailPoint,
    queue::{
        Queue, QueueError, QueueSettings,
        doctor::{Intent, repair, verify},
    },
};
use tokio::sync::mpsc::channel;

use super::made::{BLOCKS, MAP_BYTES, REJECTED, Told, copy, doctor, make, seqs, text, told};

const FLIPS: usize = 40;

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("queue/data.mdb")
}

fn flip(data_dir: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(file(data_dir)).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(file(data_dir), bytes).unwrap();
}

/// Whether the agent that starts on this owes an account.
fn opens(data_dir: &Path) -> Result<bool, QueueError> {
    let settings = QueueSettings { data_dir: data_dir.to_owned(), map_size_bytes: MAP_BYTES };
    Queue::open(&settings, channel(1).0).map(|(_, recovered)| recovered.account_due)
}

/// Readings that are neither there nor declared lost.
fn missing(before: &Told, after: &Told) -> BTreeSet<u64> {
    let told = |seq: &&u64| !after.values.contains_key(seq) && !after.lost.contains(seq);
    before.values.keys().filter(told).copied().collect()
}

#[test]
fn a_flipped_byte_costs_one_block_at_most_and_nothing_untold() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let whole = told(folder.path());
    let size = fs::metadata(file(folder.path())).unwrap().len() as usize;
    let damaged = folder.path().join("damaged");
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (mut found, mut salvaged, mut nameless, mut lost) = (0, 0, 0, 0);
    for round in 0..FLIPS {
        // Much of a page is empty; a third of the flips goes to where pages begin.
        let page = random.random_range(0..size / 4096) * 4096;
        let within = random.random_range(0..if round % 3 == 0 { 48 } else { 4096 });
        let (at, bit) = (page + within, random.random_range(0..8));
        copy(folder.path(), &damaged);
        flip(&damaged, at, bit);
        let context = format!("byte {at}, bit {bit}");
        let verified = verify(&damaged, &|_, _| {}).unwrap_or_else(|error| panic!("{context}: {error}"));
        let planned = repair(&damaged, Intent::Say, 5_000, &|_, _| {}).unwrap();
        let repaired = repair(&damaged, Intent::Write, 5_000 + round as i64, &|_, _| {}).unwrap();
        assert_eq!(planned.damaged_blocks.len(), repaired.damaged_blocks.len(), "{context}");
        if !verified.is_whole() {
            found += 1;
            assert!(repaired.written, "{context}: {:?}", verified.findings);
        }
        let again = verify(&damaged, &|_, _| {}).unwrap();
        assert!(again.is_whole(), "{context}: {:?} then {:?}", verified.findings, again.findings);
        let is_due = opens(&damaged).unwrap_or_else(|error| panic!("{context}: {error}"));
        let took = !repaired.damaged_blocks.is_empty() || repaired.kept_as.is_some();
        assert_eq!(is_due, took, "{context}");
        let after = told(&damaged);
        let invented = after
            .values
            .iter()
            .find(|(seq, value)| whole.values.get(seq) != Some(value) && !seqs(REJECTED).contains(seq));
        assert_eq!(invented, None, "{context}");
        let missing = missing(&whole, &after);
        salvaged += usize::from(repaired.kept_as.is_some());
        lost += usize::from(!after.lost.is_empty());
        if !missing.is_empty() {
            nameless += 1;
            let said = repaired.damaged_blocks.iter().any(|block| block.is_nameless);
            assert!(said || repaired.kept_as.is_some(), "{context}: {missing:?}");
            let block = (0..BLOCKS).find(|key| seqs(*key).contains(missing.first().unwrap())).unwrap();
            assert!(missing.iter().all(|seq| seqs(block).contains(seq)), "{context}: more than one block");
        }
        repaired.kept_as.map(fs::remove_dir_all).transpose().unwrap();
    }
    println!("{FLIPS} flips: {found} found, {salvaged} salvaged, {lost} lost by name, {nameless} without");
    assert!(found > FLIPS / 4 && salvaged > 1 && lost > FLIPS / 10, "{found} {salvaged} {lost} {nameless}");
}

#[test]
fn a_file_cut_short_is_refused_and_salvaged() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let whole = told(folder.path());
    let size = fs::metadata(file(folder.path())).unwrap().len();
    let cut = folder.path().join("cut");
    for keep in [size / 10 * 9 + 100, size / 2, 9_000, 4_096, 100] {
        copy(folder.path(), &cut);
        fs::OpenOptions::new().write(true).open(file(&cut)).unwrap().set_len(keep).unwrap();
        let refused = opens(&cut).unwrap_err();
        assert!(matches!(refused, QueueError::Damaged { .. }), "{keep}: {refused}");
        let verified = doctor(&cut, &["verify"]);
        assert_eq!(verified.status.code(), Some(1), "{keep}: {}", text(&verified));
        let repaired = repair(&cut, Intent::Write, 9_000, &|_, _| {}).unwrap();
        assert!(repaired.kept_as.is_some_and(|kept| kept.join("data.mdb").exists()), "{keep}");
        assert!(verify(&cut, &|_, _| {}).unwrap().is_whole(), "{keep}");
        assert!(opens(&cut).unwrap(), "{keep}");
        let after = told(&cut);
        let invented = after
            .values
            .iter()
            .find(|(seq, value)| whole.values.get(seq) != Some(value) && !seqs(REJECTED).contains(seq));
        assert_eq!(invented, None, "{keep}");
        if keep == size / 2 {
            assert!(
                after.values.len() > whole.values.len() / 4,
                "{} of {}",
                after.values.len(),
                whole.values.len()
            );
        }
        fs::remove_dir_all(&cut).unwrap();
    }
}

#[test]
fn totals_that_do_not_pass_their_checksum_are_counted_anew_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let whole = told(folder.path());
    let bytes = fs::read(file(folder.path())).unwrap();
    let mut tried = 0;
    // The record's key and the two letters before its value's bytes tell where it is.
    for at in bytes.windows(5).enumerate().filter(|(_, at)| *at == b"queue").map(|(at, _)| at) {
        let copied = folder.path().join(format!("copy-{at}"));
        copy(folder.path(), &copied);
        flip(&copied, at + 6, 3);
        let verified = verify(&copied, &|_, _| {}).unwrap();
        if verified.findings.iter().any(|finding| finding.table == "meta") {
            tried += 1;
            opens(&copied).unwrap();
            assert!(verify(&copied, &|_, _| {}).unwrap().is_whole());
            assert_eq!(told(&copied), whole);
        }
    }
    assert!(tried > 0, "no flip met the totals");
}

/// Runs the command with a failpoint armed; it must die there.
fn killed(data_dir: &Path, arguments: &[&str], point: FailPoint) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"));
    command.arg("queue").args(arguments).arg("--data-dir").arg(data_dir);
    let output = command.env("TIDEGATE_FAILPOINT", point.name()).output().unwrap();
    assert_eq!(output.status.code(), None, "{} was not met: {}", point.name(), text(&output));
}

#[test]
fn a_command_killed_anywhere_leaves_a_whole_queue() {
    for point in FailPoint::OF_THE_DOCTOR {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let whole = told(folder.path());
        killed(folder.path(), &["compact"], point);
        opens(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", point.name()));
        assert_eq!(told(folder.path()), whole, "{}", point.name());
        assert!(doctor(folder.path(), &["compact"]).status.success());
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the queue and its lock are left: {left:?}");
    }
}

#[test]
fn a_salvage_killed_anywhere_is_finished_or_done_again() {
    for point in FailPoint::OF_THE_DOCTOR {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let whole = told(folder.path());
        // The second meta's magic: LMDB would not open this.
        let (first, second) = (16, 4096 + 16);
        flip(folder.path(), if point == FailPoint::AmidSwap { first } else { second }, 1);
        killed(folder.path(), &["repair", "--yes"], point);
        let repaired = doctor(folder.path(), &["repair", "--yes"]);
        assert!(repaired.status.success(), "{}: {}", point.name(), text(&repaired));
        opens(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", point.name()));
        let after = told(folder.path());
        assert!(missing(&whole, &after).is_empty(), "{}", point.name());
        assert!(doctor(folder.path(), &["verify"]).status.success(), "{}", point.name());
    }
}
