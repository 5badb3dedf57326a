//! Vectors that are pinned for ever: a folder of one file each, and a `SHA256SUMS` of them all (`sha256sum -c` reads it, too).
//!
//! With `TIDEGATE_REGENERATE_GOLDEN=1` those that have no file yet get one. What has one is never written again.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

const SUMS: &str = "SHA256SUMS";

/// Takes the committed bytes: panics unless they still say the same.
pub type Check = Box<dyn Fn(&[u8])>;

/// One message.
pub struct Vector {
    pub name: String,
    pub description: String,
    /// What it says, for people.
    pub value: String,
    /// As it is written today.
    pub bytes: Vec<u8>,
    pub still_says_it: Check,
}

/// The committed vectors of one version.
pub struct Pinned {
    folder: PathBuf,
    vectors: Vec<Vector>,
}

impl Pinned {
    pub fn new(folder: impl AsRef<Path>, vectors: Vec<Vector>) -> Self {
        let pinned = Self { folder: folder.as_ref().to_owned(), vectors };
        if env::var_os("TIDEGATE_REGENERATE_GOLDEN").is_some_and(|set| set == "1") {
            pinned.add_what_is_new();
        }
        pinned
    }

    /// Each vector with its committed bytes.
    pub fn each(&self, mut look: impl FnMut(&Vector, Vec<u8>)) {
        for vector in &self.vectors {
            let path = self.path(&vector.name);
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            look(vector, bytes_of(&text));
        }
    }

    /// The folder holds the files of these vectors and no others, and each is byte for byte what its sum was taken of.
    pub fn assert_nothing_was_touched(&self) {
        let files = self.files();
        let mut named: Vec<_> = self.vectors.iter().map(|vector| format!("{}.hex", vector.name)).collect();
        named.sort();
        assert_eq!(files.keys().cloned().collect::<Vec<_>>(), named, "files, and what is checked");
        let sums = fs::read_to_string(self.folder.join(SUMS)).expect("the sums are committed");
        assert_eq!(sums, listed(&files), "a vector was changed: that is another wire, and another version");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.hex"))
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.folder).expect("the folder is committed");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let files = paths.filter(|path| !path.ends_with(SUMS));
        let named = files.map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file"))
        });
        named.collect()
    }

    fn add_what_is_new(&self) {
        for vector in &self.vectors {
            let path = self.path(&vector.name);
            if !path.exists() {
                fs::write(path, text_of(vector)).expect("the folder can be written");
            }
        }
        fs::write(self.folder.join(SUMS), listed(&self.files())).expect("the folder can be written");
    }
}

fn text_of(Vector { name, description, value, bytes, .. }: &Vector) -> String {
    let mut text = format!("# {name}: {description}\n");
    value.lines().for_each(|line| writeln!(text, "# {line}").expect("memory"));
    for line in bytes.chunks(16) {
        writeln!(text, "{}", hex(line, " ")).expect("memory");
    }
    text
}

fn bytes_of(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn listed(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.iter().map(|(name, bytes)| format!("{}  {name}\n", hex(&Sha256::digest(bytes), ""))).collect()
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}
