//! `tidegate-agent queue …` on real queues: whole, damaged byte by byte, in use, and killed half way.

mod damage;
mod in_use;
mod made;

use std::{fs, path::Path};

use made::{BLOCKS, REJECTED, doctor, files, make, seqs, text, told};

fn json(data_dir: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = doctor(data_dir, arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

#[test]
fn looking_tells_what_is_there_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    make(folder.path());
    made::copy(folder.path(), &copy);
    let before = files(&copy);
    let seen = json(&copy, &["inspect", "--json"]);
    assert_eq!((&seen["blocks"], &seen["totals"]["blocks"]), (&(BLOCKS - 1).into(), &(BLOCKS - 1).into()));
    assert_eq!((&seen["first_key"], &seen["last_key"]), (&0.into(), &(BLOCKS - 1).into()));
    assert_eq!(seen["quarantine"]["boot-conflict"]["blocks"], 1);
    let queued = seen["origins"][0]["queued"].as_array().unwrap();
    assert_eq!(
        (&queued[0]["end"], &queued[1]["start"]),
        (&seqs(REJECTED).start.into(), &seqs(REJECTED).end.into())
    );
    let blocks = text(&doctor(&copy, &["inspect", "--blocks", "--range", "0..45"]));
    assert_eq!(blocks.lines().count(), 2, "the blocks of seqs 0 to 44: {blocks}");
    let block = text(&doctor(&copy, &["inspect", "--key", "0"]));
    assert!(block.contains("Described") && block.contains("tank-1/000000000000b007 9:"), "{block}");
    let verified = doctor(&copy, &["verify"]);
    assert!(
        verified.status.success() && text(&verified).contains("the queue is whole"),
        "{}",
        text(&verified)
    );
    let quarantine = json(&copy, &["quarantine", "--json"]);
    assert_eq!((&quarantine["reason"], &quarantine["is_whole"]), (&"boot-conflict".into(), &true.into()));
    let told = told(&copy);
    let expected: u64 = (0..BLOCKS).filter(|key| *key != REJECTED).map(|key| seqs(key).count() as u64).sum();
    assert_eq!(told.values.len() as u64, expected);
    assert_eq!(files(&copy), before, "nothing is created or changed, not even a lock");
}

#[test]
fn exports_take_what_is_meant_and_no_file_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let out = folder.path().join("out.ndjson");
    let path = out.display().to_string();
    let to_file = ["export", "--range", "10..15", "--out", &path];
    assert!(doctor(folder.path(), &to_file).status.success());
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 5);
    let again = doctor(folder.path(), &to_file);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains("--force"), "{}", text(&again));
    let forced = ["export", "--device", "nobody", "--out", &path, "--force"];
    assert!(doctor(folder.path(), &forced).status.success());
    assert_eq!(fs::read_to_string(&out).unwrap(), "");
    let quarantined = doctor(folder.path(), &["export", "--quarantine"]);
    let lines = String::from_utf8(quarantined.stdout).unwrap();
    assert_eq!(lines.lines().count(), seqs(REJECTED).count());
    assert!(lines.lines().all(|line| line.contains("\"reason\":\"boot-conflict\"")), "{lines}");
}

#[test]
fn what_is_replayed_is_in_the_queue_again_once() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let said = text(&doctor(folder.path(), &["replay"]));
    assert!(said.contains("--yes"), "{said}");
    assert!(text(&doctor(folder.path(), &["replay", "--range", "0..3", "--yes"])).starts_with("0 blocks"));
    assert!(text(&doctor(folder.path(), &["replay", "--device", "tank-1", "--yes"])).starts_with("1 blocks"));
    assert!(text(&doctor(folder.path(), &["replay", "--yes"])).starts_with("0 blocks"));
    let told = told(folder.path());
    let all: u64 = (0..BLOCKS).map(|key| seqs(key).count() as u64).sum();
    assert_eq!(told.values.len() as u64, all);
    assert!(doctor(folder.path(), &["verify"]).status.success());
}

#[test]
fn compacting_leaves_all_and_frees_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let before = told(folder.path());
    let size = || fs::metadata(folder.path().join("queue/data.mdb")).unwrap().len();
    let large = size();
    let compacted = doctor(folder.path(), &["compact"]);
    assert!(compacted.status.success(), "{}", text(&compacted));
    assert!(size() < large, "{}", text(&compacted));
    assert_eq!(told(folder.path()), before);
    assert!(doctor(folder.path(), &["verify"]).status.success());
    assert!(!folder.path().join("queue.new").exists() && !folder.path().join("queue.old").exists());
}

#[test]
fn what_is_no_queue_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["inspect", "verify", "export", "repair", "compact", "replay", "quarantine"] {
        let refused = doctor(folder.path(), &[command]);
        assert_eq!(refused.status.code(), Some(1), "{command}");
        assert!(text(&refused).contains("there is no queue in"), "{command}: {}", text(&refused));
    }
    assert!(files(folder.path()).is_empty(), "nothing is made where nothing is");
    let wrong = doctor(folder.path(), &["export", "--range", "5..5"]);
    assert_eq!(wrong.status.code(), Some(2));
}
