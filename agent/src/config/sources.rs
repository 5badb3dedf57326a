//! The `[[source]]` sections.

use std::{
    collections::HashSet,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use tidegate_protocol::DeviceId;
use tidegate_service::SettingsError;

use super::{BoardTcp, Checked, Source};
use crate::{
    settings::{SourceKind, SourceSettings},
    sources::{
        board_serial::{Place, SerialSettings},
        host::HostSettings,
    },
};

const DEFAULT_BOARD_LISTEN: &str = "127.0.0.1:7780";
const DEFAULT_MAX_LINKS: usize = 1_024;
const DEFAULT_BAUD: u32 = 115_200;
const DEFAULT_HOST_INTERVAL_MS: u64 = 1_000;

pub(super) fn sources(
    check: &Checked<'_>,
    settings: Vec<SourceSettings>,
    status_listen: &str,
) -> Result<Vec<Source>, SettingsError> {
    if settings.is_empty() {
        let remedy = "add a [[source]] section, such as type = \"host\"";
        return Err(check.refuse("source", "there is nothing to read from", remedy));
    }
    // What may be used once only. Port 0 is a new port each time.
    let mut taken = HashSet::new();
    taken.insert(format!("listen {status_listen}"));
    let mut sources = Vec::new();
    for (at, settings) in settings.into_iter().enumerate() {
        let key = |name: &str| format!("source[{at}].{name}");
        check_keys(check, &settings, at)?;
        let (source, name, used) = source(check, settings, at, &key)?;
        let any_port = name == "listen" && used.ends_with(":0");
        if !any_port && !taken.insert(used.clone()) {
            let problem =
                format_args!("{} is used twice", used.split_once(' ').map_or("it", |(_, what)| what));
            return Err(check.refuse(&key(name), problem, "give each source its own"));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// A source, and what of it no other may have.
fn source(
    check: &Checked<'_>,
    settings: SourceSettings,
    at: usize,
    key: &impl Fn(&str) -> String,
) -> Result<(Source, &'static str, String), SettingsError> {
    match settings.kind {
        SourceKind::BoardTcp => {
            let text = settings.listen.unwrap_or_else(|| DEFAULT_BOARD_LISTEN.to_owned());
            let listen = check.socket(&key("listen"), &text)?;
            let max_links = links(check, &key("max_links"), settings.max_links, DEFAULT_MAX_LINKS)?;
            let of_address = settings.max_links_per_address;
            let default = max_links.div_ceil(2);
            let max_links_per_address = links(check, &key("max_links_per_address"), of_address, default)?;
            let tcp = BoardTcp { listen, max_links, max_links_per_address };
            Ok((Source::BoardTcp(tcp), "listen", format!("listen {text}")))
        }
        SourceKind::BoardSerial => serial(check, settings, at, key),
        SourceKind::Host => {
            let Some(device) = settings.device else {
                return Err(check.refuse(
                    &key("device"),
                    "it is missing",
                    "name this computer, such as \"gw-a-host\"",
                ));
            };
            let device: DeviceId = check.name(&key("device"), &device)?;
            let interval_ms = settings.interval_ms.unwrap_or(DEFAULT_HOST_INTERVAL_MS);
            let interval_ms = check.between(&key("interval_ms"), interval_ms, 100, 86_400_000)?;
            let flush_interval_ms = settings.flush_interval_ms.unwrap_or_default();
            check.between(&key("flush_interval_ms"), flush_interval_ms, 0, 600_000)?;
            let used = format!("device {device}");
            let host =
                HostSettings { device, interval: Duration::from_millis(interval_ms), flush_interval_ms };
            Ok((Source::Host(host), "device", used))
        }
    }
}

fn serial(
    check: &Checked<'_>,
    settings: SourceSettings,
    at: usize,
    key: &impl Fn(&str) -> String,
) -> Result<(Source, &'static str, String), SettingsError> {
    let (place, name) = match (settings.path, settings.pattern) {
        (Some(path), None) => (line_path(check, &key("path"), &path)?, "path"),
        (None, Some(pattern)) => (line_pattern(check, &key("pattern"), &pattern)?, "pattern"),
        (None, None) => {
            let remedy = "name the line, such as \"/dev/ttyUSB0\", or give a pattern, such as \
                          \"/dev/serial/by-id/usb-*\"; `tidegate-agent serial` lists what is there";
            return Err(check.refuse(&key("path"), "it is missing", remedy));
        }
        (Some(_), Some(_)) => {
            let remedy = "keep one of them: path for one line, pattern for all whose names fit";
            return Err(check.refuse(&key("pattern"), "there is a path and a pattern", remedy));
        }
    };
    let baud = settings.baud.unwrap_or(DEFAULT_BAUD);
    check.between(&key("baud"), u64::from(baud), 300, 12_000_000)?;
    let used = format!("{name} {}", place.text());
    let flow_control = settings.flow_control.unwrap_or_default();
    Ok((Source::BoardSerial(SerialSettings { at, place, baud, flow_control }), name, used))
}

fn line_path(check: &Checked<'_>, key: &str, path: &Path) -> Result<Place, SettingsError> {
    let text = path.display();
    if !path.is_absolute() {
        let remedy = "lines have full paths, such as \"/dev/ttyUSB0\"";
        return Err(check.refuse(key, format_args!("\"{text}\" is relative"), remedy));
    }
    if path.to_string_lossy().contains(['*', '?']) {
        let remedy = format_args!("write it as pattern = \"{text}\"");
        return Err(check.refuse(
            key,
            format_args!("\"{text}\" is a pattern, and this names one line"),
            remedy,
        ));
    }
    // "/dev//ttyUSB0" and "/dev/./ttyUSB0" are the same line.
    Ok(Place::Path(path.components().collect()))
}

/// A pattern is for the names in one folder: no board's name depends on more than that, and looking stays cheap.
fn line_pattern(check: &Checked<'_>, key: &str, pattern: &str) -> Result<Place, SettingsError> {
    let refuse =
        |problem: &str, remedy: &str| Err(check.refuse(key, format_args!("\"{pattern}\" {problem}"), remedy));
    const WILD: [char; 4] = ['*', '?', '[', '{'];
    let (folder, names) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if !pattern.starts_with('/') {
        return refuse("is relative", "write it in full, such as \"/dev/serial/by-id/usb-*\"");
    }
    if folder.contains(WILD) {
        let remedy = "keep wildcards to the part behind the last /, and add a [[source]] for each folder";
        return refuse("has a wildcard in its folder", remedy);
    }
    if names.is_empty() {
        return refuse("names a folder and matches no line in it", "add what names to take, such as *");
    }
    if !names.contains(WILD) {
        return refuse("has no wildcard and can match one line only", "write it as path, or add a *");
    }
    let folder: PathBuf = Path::new("/").join(folder).components().collect();
    if folder.components().any(|part| part == Component::ParentDir) {
        return refuse("goes up with ..", "write the folder without it");
    }
    match globset::Glob::new(names) {
        Ok(glob) => Ok(Place::Pattern { folder, names: glob.compile_matcher() }),
        Err(error) => refuse(
            &format!("is no pattern ({})", error.kind()),
            "* is any text, ? any character, [ab] either",
        ),
    }
}

fn links(
    check: &Checked<'_>,
    key: &str,
    given: Option<usize>,
    default: usize,
) -> Result<usize, SettingsError> {
    match given.unwrap_or(default) {
        0 => Err(check.refuse(key, "no board could connect", "give 1 or more")),
        links => Ok(links),
    }
}

/// A key that means nothing for this type of source is a mistake that would otherwise go unseen.
fn check_keys(check: &Checked<'_>, settings: &SourceSettings, at: usize) -> Result<(), SettingsError> {
    let (kind, known): (_, &[&str]) = match settings.kind {
        SourceKind::BoardTcp => ("board-tcp", &["listen", "max_links", "max_links_per_address"]),
        SourceKind::BoardSerial => ("board-serial", &["path", "pattern", "baud", "flow_control"]),
        SourceKind::Host => ("host", &["device", "interval_ms", "flush_interval_ms"]),
    };
    let given = [
        ("listen", settings.listen.is_some()),
        ("max_links", settings.max_links.is_some()),
        ("max_links_per_address", settings.max_links_per_address.is_some()),
        ("path", settings.path.is_some()),
        ("pattern", settings.pattern.is_some()),
        ("baud", settings.baud.is_some()),
        ("flow_control", settings.flow_control.is_some()),
        ("device", settings.device.is_some()),
        ("interval_ms", settings.interval_ms.is_some()),
        ("flush_interval_ms", settings.flush_interval_ms.is_some()),
    ];
    match given.into_iter().find(|(name, given)| *given && !known.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(check.refuse(
            &format!("source[{at}].{name}"),
            format_args!("it means nothing for a source of type \"{kind}\""),
            format_args!("remove it; known here: {}", known.join(", ")),
        )),
    }
}
