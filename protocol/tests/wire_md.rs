//! docs/wire.md is the contract: its examples and bounds are read from the page and compared with the code.
//!
//! An example is a fenced block of ```` ```hex NAME PART ```` or ```` ```bits NAME PART ````: a sample's name, and which
//! part of it (nothing: all of it as it travels). What follows a `;` is a comment.

#[path = "support/samples.rs"]
mod samples;

use std::{collections::BTreeMap, fs};

use tidegate_protocol::{
    SiteId, ack,
    block::{self, Encoder, HEADER_BYTES, Header, Stamp},
    frame::{self, MAX_FRAME, encode_down, encode_up, encoded_len},
    id, reading, rules, settings, status,
    topic::{self, Lane},
    unit,
};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every sample and its parts, by the name an example has.
fn messages() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut frame = |name: &str, line: &[u8]| {
        all.insert(name.to_owned(), line.to_vec());
        all.insert(format!("{name} raw"), cobs::decode_vec(&line[..line.len() - 1]).unwrap());
    };
    samples::each_up(|name, _, up| {
        let mut line = vec![0; encoded_len(MAX_FRAME)];
        let len = encode_up(up, &mut line).unwrap();
        frame(name, &line[..len]);
    });
    for (name, _, down) in samples::downs() {
        let mut line = [0; 64];
        let len = encode_down(&down, &mut line).unwrap();
        frame(name, &line[..len]);
    }
    for (name, _, line) in samples::keyed() {
        frame(&name, &line);
    }
    for (name, _, ack) in samples::acks() {
        all.insert(name.to_owned(), ack.encode().unwrap());
    }
    for (name, _, down) in samples::rules_down() {
        all.insert(name.to_owned(), down.encode().unwrap());
    }
    for (name, _, up) in samples::rules_up() {
        all.insert(name.to_owned(), up.encode().unwrap());
    }
    for (name, _, verdicts) in samples::verdicts() {
        all.insert(name.to_owned(), verdicts.encode().unwrap());
    }
    for (name, _, desired) in samples::desired() {
        all.insert(name.to_owned(), desired.encode().unwrap());
    }
    for (name, _, reported) in samples::reported() {
        all.insert(name.to_owned(), reported.encode().unwrap());
    }
    for (name, _, block) in samples::blocks() {
        let mut bytes = Encoder::new().unwrap().encode(&block).unwrap();
        block::stamp(&mut bytes, Stamp { lane: Lane::Backlog, epoch: 0x5555_6666_7777_8888, number: 17 })
            .unwrap();
        let header = Header::parse(&bytes).unwrap();
        all.insert(format!("{name} header"), bytes[..HEADER_BYTES].to_vec());
        all.insert(format!("{name} directory"), header.directory.to_vec());
        all.insert(format!("{name} body"), header.body.to_vec());
    }
    all
}

/// Kind, name and content of each example, comments and spaces left out.
fn examples(page: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some((kind, name)) = line.strip_prefix("```").and_then(|info| info.split_once(' ')) else {
            continue;
        };
        let content = lines.by_ref().take_while(|line| *line != "```");
        let content = content.map(|line| line.split(';').next().unwrap_or_default());
        let dense = content.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
        found.push((kind.to_owned(), name.to_owned(), dense));
    }
    found
}

fn written(kind: &str, bytes: &[u8]) -> String {
    match kind {
        "hex" => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        // As they are read: low bit first.
        "bits" => bytes.iter().map(|byte| format!("{:08b}", byte.reverse_bits())).collect(),
        _ => panic!("an example is hex or bits, not {kind}"),
    }
}

#[test]
fn every_example_is_what_the_code_writes() {
    let (page, messages) = (page(), messages());
    let examples = examples(&page);
    for (kind, name, content) in &examples {
        let bytes = messages.get(name).unwrap_or_else(|| panic!("no sample has {name}"));
        assert_eq!(*content, written(kind, bytes), "the example {name}");
    }
    for expected in ["up-heartbeat", "up-hello raw", "up-readings raw", "down-ack raw", "ack-outcomes"] {
        assert!(examples.iter().any(|(_, name, _)| name == expected), "the page lost its example {expected}");
    }
    for expected in
        ["settings-desired", "settings-reported", "rules-offer", "rules-part", "rules-wanting", "verdicts"]
    {
        assert!(examples.iter().any(|(_, name, _)| name == expected), "the page lost its example {expected}");
    }
    for expected in ["block-board header", "block-board directory", "block-board body"] {
        assert!(examples.iter().any(|(_, name, _)| name == expected), "the page lost its example {expected}");
    }
}

/// The rows of the table below a heading: their first two cells, backticks left out.
fn table(page: &str, heading: &str) -> BTreeMap<String, String> {
    let rows = page.lines().skip_while(|line| *line != heading).skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()));
    cells.filter_map(|mut cells| Some((cells.nth(1)?, cells.next()?))).collect()
}

#[test]
fn every_bound_is_the_codes() {
    let code = [
        ("MAX_NAME", id::MAX_NAME),
        ("MAX_UNIT", unit::MAX_UNIT),
        ("MAX_SCALE", reading::MAX_SCALE.into()),
        ("MAX_FRAME", frame::MAX_FRAME),
        ("MAX_DOWN_FRAME", frame::MAX_DOWN_FRAME),
        ("MAX_KEYED_FRAME", frame::keyed::MAX_KEYED_FRAME),
        ("MAX_KEYED_DOWN_FRAME", frame::keyed::MAX_KEYED_DOWN_FRAME),
        ("MAX_TEXT", frame::MAX_TEXT),
        ("MAX_CHANNELS", frame::MAX_CHANNELS),
        ("HEADER_BYTES", block::HEADER_BYTES),
        ("MAX_BLOCK_BYTES", block::MAX_BLOCK_BYTES),
        ("MAX_BODY_BYTES", block::MAX_BODY_BYTES),
        ("MAX_READINGS", block::MAX_READINGS),
        ("MAX_ORIGINS", block::MAX_ORIGINS),
        ("MAX_RECORDS", block::MAX_RECORDS),
        ("MAX_CHANNELS_PER_ORIGIN", block::MAX_CHANNELS_PER_ORIGIN),
        ("MAX_DESCRIBED_CHANNELS", block::MAX_DESCRIBED_CHANNELS),
        ("MAX_DESCRIPTION_TEXT", block::MAX_DESCRIPTION_TEXT),
        ("MAX_ACK_BYTES", ack::MAX_ACK_BYTES),
        ("MAX_OUTCOMES", ack::MAX_OUTCOMES),
        ("MAX_SETTINGS_BYTES", settings::MAX_SETTINGS_BYTES),
        ("MAX_SETTINGS", settings::MAX_SETTINGS),
        ("MAX_RULES_BYTES", rules::MAX_RULES_BYTES),
        ("MAX_RULES_PART", rules::MAX_RULES_PART),
        ("MAX_RULES_MESSAGE", rules::MAX_RULES_MESSAGE),
        ("MAX_VERDICTS", rules::MAX_VERDICTS),
        ("MAX_RULE_NAME", rules::MAX_RULE_NAME),
        ("MAX_STATUS_BYTES", status::MAX_STATUS_BYTES),
    ];
    let code: BTreeMap<_, _> =
        code.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
    assert_eq!(table(&page(), "## Bounds"), code);
}

#[test]
fn every_partition_is_the_codes() {
    let page = page();
    let rows = page
        .lines()
        .skip_while(|line| *line != "| site | pp |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let [_, site, pp, _] =
            row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        assert_eq!(format!("{:02x}", topic::partition(SiteId::new(site).unwrap())), pp, "{site}");
        checked += 1;
    }
    assert!(checked > 0, "the page lost its partitions");
}
