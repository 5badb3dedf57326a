//! Every parser that can be reached from outside, over its corpus and over damaged copies of it: a fixed number of inputs, always the
//! same ones. `cargo xtask fuzz` gives the same bodies to libFuzzer.

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bodies::{TARGETS, Target};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Set to write the seeds anew, after a deliberate change of what is parsed.
const WRITE_SEEDS: &str = "TIDEGATE_WRITE_SEEDS";
/// Larger corpora are for whoever fuzzes, not for the repository.
const MAX_CORPUS_BYTES: u64 = 64 * 1024;
const MAX_INPUT_BYTES: usize = 8 * 1024;

macro_rules! tests {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}

tests! {
    ack authority bearer block board_link broker_access certificate configuration devices event_stream form frame_down
    frame_keyed frame_up gateway_messages http ingest_files invitation mqtt queue queue_file recording rules
    rules_on_their_way settings store tls_files topics words
}

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(of)
}

/// Inputs by file name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = folder("corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("it can be read"))
    };
    let mut inputs: Vec<_> = entries.map(read).collect();
    inputs.sort();
    inputs
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is on the list");
    let inputs: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
    assert!(!inputs.is_empty(), "there is nothing to begin with");
    inputs.iter().for_each(|bytes| check(target, bytes));
    let random = &mut ChaCha8Rng::seed_from_u64(1);
    for case in 0..target.cases {
        let bytes = if case % 16 == 0 { noise(random) } else { damaged(&inputs, random) };
        check(target, &bytes);
    }
}

/// What fails is kept, and the way to it is told.
fn check(target: &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| bodies::check(target.name, bytes))).is_ok() {
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{}", target.name));
    fs::write(&file, bytes).expect("the build's folder can be written");
    panic!("replay it: cargo xtask fuzz {} --input {}", target.name, file.display());
}

fn noise(random: &mut ChaCha8Rng) -> Vec<u8> {
    let length = random.random_range(0..200);
    (0..length).map(|_| random.random()).collect()
}

/// A few bytes turned over, cut out, doubled, or taken from another input.
fn damaged(inputs: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let pick = |random: &mut ChaCha8Rng| inputs.choose(random).expect("there is one").clone();
    let mut bytes = pick(random);
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len()).min(at + 16);
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            4 => {
                let other = pick(random);
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..64)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            way => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = match way {
                        5 => *[0, 1, 0x7f, 0x80, 0xfe, 0xff].choose(random).expect("there are six"),
                        6 => *byte ^ 1 << random.random_range(0..8),
                        _ => random.random(),
                    };
                }
            }
        }
    }
    bytes.truncate(MAX_INPUT_BYTES);
    bytes
}

fn names<'a>(all: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    all.into_iter().map(str::to_owned).collect()
}

/// A target that is forgotten in one place is forgotten.
#[test]
fn every_target_has_a_body_a_test_a_corpus_and_a_line_in_the_documentation() {
    let listed = names(TARGETS.iter().map(|target| target.name));
    assert_eq!(listed, names(TESTED.iter().copied()), "tests! in this file");
    let in_folder = |of: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder(of)).expect("the folder is there");
        let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_string_lossy().into_owned());
        entries.filter_map(|entry| stem(entry.expect("a file"))).collect()
    };
    assert_eq!(in_folder("fuzz_targets"), listed);
    assert_eq!(in_folder("corpus"), listed);
    let manifest: toml::Table =
        fs::read_to_string(folder("Cargo.toml")).expect("a manifest").parse().expect("TOML");
    let programs = manifest["bin"].as_array().expect("programs").iter();
    assert_eq!(names(programs.map(|program| program["name"].as_str().expect("a name"))), listed);
    for name in &listed {
        let program =
            fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).expect("a program");
        assert!(program.contains(&format!("check(\"{name}\", bytes)")), "{name} runs another body");
    }
    let documentation = include_str!("../../docs/security.md");
    let told = |name: &&String| documentation.contains(&format!("`{name}`"));
    assert_eq!(listed.iter().find(|name| !told(name)), None, "not in docs/security.md");
}

/// Those with keys in them are made once; all others are what the encoders of today make.
#[test]
fn seeds_are_what_their_encoders_make_and_corpora_are_small() {
    let writes = std::env::var_os(WRITE_SEEDS).is_some();
    for target in TARGETS {
        let folder = folder("corpus").join(target.name);
        fs::create_dir_all(&folder).expect("a folder");
        let is_seed = |(name, _): &(String, Vec<u8>)| name.starts_with("seed-");
        let seeds = || corpus(target).into_iter().filter(is_seed).collect::<Vec<_>>();
        let names = |all: &[(String, Vec<u8>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut made: Vec<_> =
            (target.seeds)().into_iter().map(|(name, bytes)| (format!("seed-{name}"), bytes)).collect();
        made.sort();
        if writes && !(target.random && names(&seeds()) == names(&made)) {
            seeds().iter().for_each(|(name, _)| fs::remove_file(folder.join(name)).expect("it was there"));
            made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).expect("it is ours"));
        }
        let total: u64 = corpus(target).iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert!(total <= MAX_CORPUS_BYTES, "{}: {total} bytes", target.name);
        let seeds = seeds();
        assert_eq!(names(&seeds), names(&made), "{}: {WRITE_SEEDS}=1 writes them", target.name);
        let differs = seeds.iter().zip(&made).find(|((_, kept), (_, made))| !target.random && kept != made);
        assert_eq!(differs.map(|((name, _), _)| name), None, "{}: {WRITE_SEEDS}=1 writes them", target.name);
    }
}
