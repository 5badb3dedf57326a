//! The list of devices: which boards are welcomed, and their keys. A file of its own, since it holds secrets.
//!
//! `tidegate-agent devices` writes it, whole and by a rename; a running agent looks each second whether it is another file, and takes
//! it over. What cannot be read changes nothing: the list before stays in force.

mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidegate_protocol::{DeviceId, frame::keyed::DeviceKey};
use tidegate_service::{SettingsError, durable, settings};
use tidegate_trust::{FileError, files};

pub(crate) use watch::watch;

use crate::core::{Permit, Permits};

/// Devices on the list, so that a file that grew wild is refused and not read for ever.
pub const MAX_LISTED: usize = 4_096;

const HEAD: &str = "\
# Devices of this gateway, and their keys: keep it secret. `tidegate-agent devices` writes it; a running agent takes
# a change over within a second.
";

#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{}: it cannot be written ({error}); run this as the agent's user or as root", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("{}: it would have more than {MAX_LISTED} devices; remove some first", .0.display())]
    TooMany(PathBuf),
}

/// What is said of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// None where it only has a key: then it is as one that is not listed, but for that.
    pub allow: Option<bool>,
    pub key: Option<DeviceKey>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceList(BTreeMap<DeviceId, Listed>);

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    allow: Option<bool>,
    key: Option<String>,
}

impl DeviceList {
    /// What the file says; nothing where there is none.
    pub fn load(path: &Path) -> Result<Self, DevicesError> {
        let bytes = match files::secret(path) {
            Ok(bytes) => bytes,
            Err(FileError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8(bytes).map_err(|_| {
            SettingsError::invalid(path, "", "it is no text", "write it anew with `tidegate-agent devices`")
        })?;
        Ok(Self::parse(path, &text)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let written: BTreeMap<String, Entry> = settings::parse_secret(path, text)?;
        if written.len() > MAX_LISTED {
            let problem = format!("there are {} devices", written.len());
            return Err(SettingsError::invalid(path, "", problem, format!("list {MAX_LISTED} at most")));
        }
        let mut list = BTreeMap::new();
        for (name, Entry { allow, key }) in written {
            let device = DeviceId::new(&name).map_err(|error| {
                SettingsError::invalid(
                    path,
                    &name,
                    format!("it cannot be a device: {error}"),
                    "correct the name",
                )
            })?;
            let key = key.map(|key| key.parse()).transpose().map_err(|error| {
                let remedy = "make one with `tidegate-agent devices key`";
                SettingsError::invalid(path, &format!("{name}.key"), error, remedy)
            })?;
            list.insert(device, Listed { allow, key });
        }
        Ok(Self(list))
    }

    pub fn iter(&self) -> impl Iterator<Item = (DeviceId, &Listed)> {
        self.0.iter().map(|(device, listed)| (*device, listed))
    }

    pub fn get(&self, device: DeviceId) -> Option<&Listed> {
        self.0.get(&device)
    }

    pub fn entry(&mut self, device: DeviceId) -> &mut Listed {
        self.0.entry(device).or_default()
    }

    /// What was said of it.
    pub fn remove(&mut self, device: DeviceId) -> Option<Listed> {
        self.0.remove(&device)
    }

    pub fn permits(&self) -> Permits {
        let permit = |listed: &Listed| Permit { allowed: listed.allow, keyed: listed.key.is_some() };
        self.0.iter().map(|(device, listed)| (*device, permit(listed))).collect()
    }

    pub fn keys(&self) -> HashMap<DeviceId, DeviceKey> {
        self.0.iter().filter_map(|(device, listed)| Some((*device, listed.key.clone()?))).collect()
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (device, Listed { allow, key }) in &self.0 {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "\n[{device}]");
            if let Some(allow) = allow {
                let _infallible = writeln!(text, "allow = {allow}");
            }
            if let Some(key) = key {
                let _infallible = writeln!(text, "key = \"{}\"", hexadecimal(key));
            }
        }
        text
    }

    /// Reads the file, changes it and writes it, while nobody else does; returns what `change` did.
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, DevicesError> {
        let unwritable = |error| DevicesError::Unwritable { path: path.to_owned(), error };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritable)?;
        let lock = File::open(folder).map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        let mut list = Self::load(path)?;
        let before = list.clone();
        let done = change(&mut list);
        if list.0.len() > MAX_LISTED {
            return Err(DevicesError::TooMany(path.to_owned()));
        }
        if list != before {
            durable::replace(path, list.text().as_bytes(), 0o600).map_err(unwritable)?;
        }
        Ok(done)
    }
}

/// A key as its file and firmware's makers write it.
pub fn hexadecimal(key: &DeviceKey) -> String {
    key.bytes().iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_the_same_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.toml");
        assert_eq!(DeviceList::load(&path).unwrap(), DeviceList::default());
        let key: DeviceKey = "00112233445566778899aabbccddeeff".parse().unwrap();
        DeviceList::update(&path, |list| {
            *list.entry(device("board-7")) = Listed { allow: Some(true), key: Some(key.clone()) };
            list.entry(device("board-8")).allow = Some(false);
            list.entry(device("board-9")).key = Some(key.clone());
        })
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the making");
        let list = DeviceList::load(&path).unwrap();
        let permits = list.permits();
        assert_eq!(permits[&device("board-7")], Permit { allowed: Some(true), keyed: true });
        assert_eq!(permits[&device("board-8")], Permit { allowed: Some(false), keyed: false });
        assert_eq!(permits[&device("board-9")], Permit { allowed: None, keyed: true });
        assert_eq!(list.keys()[&device("board-9")], key);
        assert_eq!(list.keys().len(), 2);
        // A second change keeps what was there.
        DeviceList::update(&path, |list| list.remove(device("board-8"))).unwrap();
        assert_eq!(DeviceList::load(&path).unwrap().keys().len(), 2);
        assert_eq!(DeviceList::load(&path).unwrap().permits().len(), 2);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_says_nonsense_is_refused_with_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.toml");
        let refused = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            DeviceList::load(&path).unwrap_err().to_string()
        };
        let open = refused("[board-7]\nallow = true\n", 0o644);
        assert!(open.contains("0644") && open.contains("chmod 600"), "{open}");
        for (text, says) in [
            ("[board-7]\nkey = \"0011\"\n", "32 hexadecimal digits, not 4"),
            ("[board-7]\nkey = \"00000000000000000000000000000000\"\n", "all zeros"),
            ("[board-7]\nallowed = true\n", "allow"),
            ("[\"Board 7\"]\nallow = true\n", "cannot be a device"),
            ("[board-7\n", "TOML"),
        ] {
            let error = refused(text, 0o600);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(
            DeviceList::update(&path, |list| list.entry(device("board-7")).allow = Some(true)).is_err(),
            "and nothing is written over it"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "[board-7\n");
    }

    #[test]
    fn no_message_shows_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.toml");
        let key = "00112233445566778899aabbccddeeff";
        for text in [
            "[board-7]\nkey = \"00112233445566778899aabbccddeefg\"\n".to_owned(),
            // Its section was forgotten; found by fuzzing.
            format!("key = \"{key}\"\n"),
            format!("board-7 = \"{key}\"\n"),
            format!("[board-7]\nallow = \"{key}\"\n"),
            format!("[board-7]\nkey = [\"{key}\"]\n"),
        ] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = DeviceList::load(&path).unwrap_err().to_string();
            assert!(!error.contains("0011") && error.contains("(line "), "{text}: {error}");
        }
    }
}
