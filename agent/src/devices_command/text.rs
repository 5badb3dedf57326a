//! What the commands about devices print.

use std::{fmt::Write, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use tidegate_agent::{core::Admit, devices::DeviceList};
use tidegate_protocol::DeviceId;

use super::asking::{Answer, Pending};

#[derive(Serialize)]
pub struct Shown {
    device: String,
    allow: Option<bool>,
    has_key: bool,
}

pub fn listed(list: &DeviceList) -> Vec<Shown> {
    let shown = |(device, listed): (DeviceId, &tidegate_agent::devices::Listed)| Shown {
        device: device.to_string(),
        allow: listed.allow,
        has_key: listed.key.is_some(),
    };
    list.iter().map(shown).collect()
}

pub fn list(list: &DeviceList, admit: Admit) -> String {
    let mut text = String::new();
    for Shown { device, allow, has_key } in listed(list) {
        let allow = match allow {
            Some(true) => "allowed",
            Some(false) => "forbidden",
            None => "not decided",
        };
        let key = if has_key { "has a key" } else { "in clear" };
        let _infallible = writeln!(text, "{device:<32}  {allow:<11}  {key}");
    }
    let others = match admit {
        Admit::Any => "every other board is welcomed",
        Admit::Local => {
            "of the others, those on this machine's own lines are welcomed, and those from the network held"
        }
        Admit::None => "every other board is held",
    };
    let _infallible = writeln!(text, "{others} (devices.admit)");
    text
}

pub fn pending(answer: &Answer) -> String {
    let mut text = String::new();
    if answer.pending.is_empty() {
        let _infallible =
            writeln!(text, "no board is held (devices.admit is \"{}\")", answer.admission.admit);
    }
    for pending in &answer.pending {
        let _infallible = one(&mut text, pending);
    }
    text
}

fn one(text: &mut String, pending: &Pending) -> std::fmt::Result {
    let Pending { device, held, tag, firmware, from, asked, .. } = pending;
    writeln!(text, "{device}")?;
    let (why, remedy) = match held.as_str() {
        "in-clear" => (
            "it has a key here, and came without",
            "flash it with its key, or `devices remove` it if it is to have none".to_owned(),
        ),
        "key-unknown" => (
            "it comes under a key, and there is none of it here",
            format!("`devices key {device} --from FILE` takes its key"),
        ),
        "key-unproved" => (
            "it did not prove its key",
            format!("if this goes on its key is another: `devices key {device} --replace`"),
        ),
        _ if pending.proved_key => {
            ("it is not allowed; it proved its key", format!("`devices allow {device}`"))
        }
        _ => ("it is not known", format!("`devices allow {device}`")),
    };
    writeln!(text, "  held      {why}; {remedy}")?;
    if !(tag.is_empty() && firmware.is_empty()) {
        writeln!(text, "  is        {tag}, {firmware}")?;
    }
    if !pending.channels.is_empty() {
        writeln!(text, "  channels  {}", pending.channels.join(", "))?;
    }
    let from = if from.is_empty() { "this machine" } else { from };
    writeln!(text, "  from      {from}")?;
    let (first, last) = (time(pending.first_seen_unix_ms), time(pending.last_seen_unix_ms));
    writeln!(text, "  seen      first {first}, last {last}, asked {asked} times")
}

fn time(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(
        |_| "at no known time".to_owned(),
        |at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `key` is shown if it was made here.
pub fn key(device: DeviceId, key: Option<&str>, file: &Path) -> String {
    let mut text = format!("{device} has a key now, in {}\n", file.display());
    if let Some(key) = key {
        let bytes: Vec<_> =
            key.as_bytes().chunks(2).map(|pair| format!("0x{}", String::from_utf8_lossy(pair))).collect();
        let _infallible = write!(
            text,
            "It goes into the firmware of {device}, and is not shown again:\n\n    {key}\n\n    const KEY: DeviceKey = DeviceKey::new([{}]);\n\n",
            bytes.join(", ")
        );
    }
    text.push_str("From now on this device is taken under its key alone.\n");
    text
}
