//! Golden vectors and other files of this repository, as inputs to begin with.

use std::{fs, path::Path};

use tidegate_enrolment::{
    authority::{Authority, Setup},
    identity::IdentityFile,
};
use tidegate_trust::{
    Identity,
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

use super::queue::in_memory;

type Seeds = Vec<(String, Vec<u8>)>;

/// Messages by name, as docs/wire.md has them.
pub fn golden() -> Seeds {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/golden/v1");
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the golden vectors") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a vector is text");
        let digits = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let bytes = digits.map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect();
        vectors.push((path.file_stem().expect("a name").to_string_lossy().into_owned(), bytes));
    }
    vectors.sort();
    vectors
}

/// Those whose names begin so, and what of them the bodies put good checksums to.
pub fn seeds_of(beginnings: &[&str]) -> Seeds {
    let mut seeds = Seeds::new();
    for (name, bytes) in golden() {
        if !beginnings.iter().any(|beginning| name.starts_with(beginning)) {
            continue;
        }
        let inner = match name.split('-').next() {
            Some("up" | "down" | "keyed") => body_of(&bytes),
            Some("block") => parts_of(&bytes),
            _ => bytes[..bytes.len() - 4].to_vec(),
        };
        if !inner.is_empty() {
            seeds.push((format!("{name}-inner"), inner));
        }
        seeds.push((name, bytes));
    }
    seeds
}

/// A frame's body, out of its line.
pub fn body_of(line: &[u8]) -> Vec<u8> {
    let mut raw = line.to_vec();
    let stuffed = raw.len() - 1;
    let len = cobs::decode_in_place(&mut raw[..stuffed]).expect("a golden line is stuffed well");
    raw[1..len - 4].to_vec()
}

/// What `assembled` makes a block of, where its directory is short.
fn parts_of(block: &[u8]) -> Vec<u8> {
    use tidegate_protocol::block::Header;
    let Header { readings, directory, body, .. } = Header::parse(block).expect("a golden block is good");
    let Ok(len) = u8::try_from(directory.len()) else { return Vec::new() };
    [&[readings as u8, (readings >> 8) as u8, len], directory, body].concat()
}

/// Each example of the reference is a file.
pub fn rules() -> Seeds {
    let reference = include_str!("../../docs/rules.md");
    let examples = reference.split("```toml\n").skip(1).filter_map(|after| after.split("```").next());
    let mut seeds: Seeds = (0..)
        .zip(examples)
        .map(|(at, text): (u32, _)| (format!("example-{at:02}"), text.as_bytes().to_vec()))
        .collect();
    seeds.push(("shipped".to_owned(), include_bytes!("../../deploy/rules.toml").to_vec()));
    seeds
}

pub fn rules_on_their_way() -> Seeds {
    use tidegate_alarms::{RuleBook, RuleSet, RulesSettings};
    let mut seeds = seeds_of(&["rules-", "verdicts"]);
    let settings: RulesSettings =
        toml::from_str(include_str!("../../deploy/rules.toml")).expect("it is shipped");
    let rules = RuleSet::from_settings(settings).expect("it is shipped");
    let document = RuleBook::from(rules).document().expect("it is short");
    seeds.push(("document-inner".to_owned(), document[1..document.len() - 4].to_vec()));
    seeds.push(("document".to_owned(), document));
    seeds
}

fn texts<const N: usize>(texts: [(&str, &str); N]) -> Seeds {
    texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into()
}

pub fn bearer() -> Seeds {
    texts([
        (
            "bearer",
            "Bearer tdg_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        ("token", "tdg_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("origin", "https://ingest.example"),
        ("v6", "[::1]:8080"),
        ("v4", "127.0.0.1:8080"),
        ("localhost", "localhost"),
    ])
}

pub fn form() -> Seeds {
    texts([
        ("form", "name=eva&password=tide+and%20gate&token=00"),
        ("cookies", "a=1; __Host-tidegate=0123456789abcdef; b=2"),
        ("twice", "__Host-tidegate=x;__Host-tidegate=y"),
    ])
}

/// Keys, and with them certificates, are other ones each time: they are made once and kept.
pub fn certificate() -> Seeds {
    let folder = in_memory();
    let setup = Setup::new("plant", "ca.example:1", "b.example:1");
    let authority = Authority::init(&folder.path().join("ca"), setup).expect("an authority");
    let mut seeds = Seeds::new();
    for (name, uri) in [("gateway", "tidegate://plant/gw-a"), ("role", "tidegate:role/observer/eva")] {
        let path = folder.path().join(name);
        let identity: Identity = uri.parse().expect("an identity");
        authority.issue_identity(&identity, &IdentityFile::new(&path)).expect("a certificate");
        seeds.push((name.to_owned(), CertificateDer::from_pem_file(&path).expect("it is PEM").to_vec()));
        seeds.push((format!("{name}-uri"), uri.as_bytes().to_vec()));
    }
    seeds
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 as invitations have it, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or_default()));
        let bits = a << 16 | b << 8 | c;
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]));
        text.extend(&digits[..=three.len()]);
    }
    text
}

pub fn unbase64url(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).expect("a digit") as u32;
    for four in text.as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | digit(byte)) << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
