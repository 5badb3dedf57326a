//! Short texts that stand in topics, addresses, files and arguments: each has one form, and what has another is none.

use std::{
    fmt::{Debug, Display},
    net::IpAddr,
    str::FromStr,
};

use tidegate_access::{Role, TokenId};
use tidegate_alarms::{
    EventId, Glob, Revision,
    settings::{duration_ms, duration_text},
};
use tidegate_ingest::delivery::{address::is_internal, receiver::web_address};
use tidegate_protocol::{
    BootId, ChannelName, DeviceId, GatewayId, SiteId, frame::keyed::DeviceKey, topic::Lane,
};

/// Two lines, the second a pattern's text.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (word, other) = text.split_once('\n').unwrap_or((text, ""));
    one_form::<SiteId>(word);
    one_form::<GatewayId>(word);
    one_form::<DeviceId>(word);
    one_form::<ChannelName>(word);
    digits::<BootId>(word);
    one_form::<Lane>(word);
    one_form::<Role>(word);
    one_form::<TokenId>(word);
    digits::<EventId>(word);
    digits::<Revision>(word);
    one_form::<tidegate_access::Name>(word);
    if let Ok(name) = word.parse::<SiteId>() {
        assert!(name.as_str().len() <= 32 && !name.as_str().contains(['/', '+', '#', '\0']), "{name}");
    }
    if let Ok(key) = word.parse::<DeviceKey>() {
        assert_eq!(word.len(), 32);
        assert!(!format!("{key:?}").contains(word), "a key is shown");
    }
    if let Some(ms) = duration_ms(word) {
        assert_eq!(duration_ms(&duration_text(ms)), Some(ms), "{word}");
    }
    if let Ok(address) = word.parse() {
        internal(address);
    }
    if let Ok(url) = web_address(word, false) {
        assert!(
            url.scheme_str() == Some("https") && url.host().is_some_and(|host| !host.is_empty()),
            "{word}"
        );
        assert!(!url.authority().is_some_and(|authority| authority.as_str().contains('@')), "{word}");
        assert_eq!(web_address(word, true).ok(), Some(url));
    }
    let pattern = Glob::new(word);
    assert_eq!(
        pattern.matches(other),
        fits(&word.chars().collect::<Vec<_>>(), &other.chars().collect::<Vec<_>>())
    );
}

fn one_form<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}

/// What the standard library knows to be no address of the world is none to post to, however it is written.
fn internal(address: IpAddr) {
    let is_known = match address {
        IpAddr::V4(v4) => {
            assert_eq!(is_internal(address), is_internal(v4.to_ipv6_mapped().into()), "{v4}");
            v4.is_private() || v4.is_link_local() || v4.is_broadcast() || v4.is_documentation()
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    if is_known || address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        assert!(is_internal(address), "{address}");
    }
}

/// A number in hexadecimal may leave out what it begins with.
fn digits<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    let shown = read.to_string();
    assert!(shown.ends_with(text.to_ascii_lowercase().trim_start_matches('0')), "{shown} {text}");
    assert_eq!(shown.parse::<T>().ok(), Some(read));
}

/// A pattern in a table of beginnings, where the code goes back to the last star.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let mut row: Vec<bool> = (0..=text.len()).map(|at| at == 0).collect();
    for part in pattern {
        let before = row.clone();
        for at in 0..=text.len() {
            row[at] = match (part, at.checked_sub(1)) {
                ('*', last) => before[at] || last.is_some_and(|last| row[last]),
                (_, None) => false,
                ('?', Some(last)) => before[last],
                (same, Some(last)) => before[last] && text[last] == *same,
            };
        }
    }
    row[text.len()]
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    [
        "plant",
        "gw-a",
        "temperature.1",
        "0123456789abcdef",
        "live",
        "operator",
        "1h",
        "1500ms",
        "2d",
        "00112233445566778899aabbccddeeff",
        "Zone-*\nZone-7",
        "*a?c*\nxxabcd",
        "**?\nü",
        "10.0.0.1",
        "::ffff:169.254.1.1",
        "fe80::1",
        "https://example.org/hooks",
        "http://u@[::1]:80/",
    ]
    .iter()
    .enumerate()
    .map(|(at, text)| (format!("word-{at:02}"), text.as_bytes().to_vec()))
    .collect()
}
