//! What people write for an agent: the list of devices with their keys.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tidegate_agent::devices::{DeviceList, MAX_LISTED};
use tidegate_protocol::DeviceId;

use super::queue::in_memory;

thread_local! {
    static FILE: (TempDir, PathBuf) = {
        let folder = in_memory();
        let path = folder.path().join("devices.toml");
        (folder, path)
    };
}

/// What is read is written and read as the same; what is not is refused by the file's name, and without the secrets in it.
pub fn devices(bytes: &[u8]) {
    FILE.with(|(_, path)| {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .expect("it can be written");
        file.write_all(bytes).expect("it can be written");
        match DeviceList::load(path) {
            Ok(list) => {
                assert!(list.iter().count() <= MAX_LISTED);
                written_again(path, &list);
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("devices.toml"), "{said}");
                secrets_of(bytes).for_each(|key| assert!(!said.contains(key), "a key is shown: {said}"));
            }
        }
    });
}

/// With one device more, and without it again: the rest stands as it was.
fn written_again(path: &Path, list: &DeviceList) {
    let other = DeviceId::new("one-more").expect("a slug");
    if list.get(other).is_some() || list.iter().count() == MAX_LISTED {
        return;
    }
    DeviceList::update(path, |list| list.entry(other).allow = Some(true)).expect("it can be written");
    assert_eq!(
        DeviceList::load(path).expect("what was written is read").iter().count(),
        list.iter().count() + 1
    );
    DeviceList::update(path, |list| list.remove(other)).expect("it can be written");
    assert_eq!(&DeviceList::load(path).expect("what was written is read"), list);
}

/// What looks like a whole key, where a key stands.
fn secrets_of(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let values = text.split("key = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let keys = values.filter(|value| value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    keys.filter(|key| key.bytes().collect::<BTreeSet<_>>().len() > 2)
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    [
        (
            "two",
            "[tank-1]\nallow = true\nkey = \"00112233445566778899aabbccddeeff\"\n\n[tank-2]\nallow = false\n",
        ),
        ("inline", "a = { key = \"ffeeddccbbaa99887766554433221100\" }\n\"b\" = {}\n"),
        ("no-section", "key = \"00112233445566778899aabbccddeeff\"\n"),
        ("wrong-key", "[a]\nkey = \"0011223344556677889aabbccddeeff\"\n"),
        ("wrong-name", "[\"Tank 1\"]\nallow = true\n"),
        ("wrong-word", "[a]\nalow = true\nkey = \"00112233445566778899aabbccddeeff\"\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}
