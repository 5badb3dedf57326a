//! Classes of topics: what the table in `docs/wire.md` has, for three gateways, and all of it bent.

use std::collections::BTreeMap;

const WIRE: &str = include_str!("../../../../docs/wire.md");
/// Partition, site, gateway.
const GATEWAYS: [[&str; 3]; 3] = [["4b", "plant", "gw1"], ["4b", "plant", "gw2"], ["e5", "default", "gw1"]];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// How it differs from a topic of the catalogue.
    pub bend: String,
    pub name: Vec<u8>,
}

impl Class {
    pub fn shown(&self) -> String {
        let start = &self.name[..self.name.len().min(100)];
        format!("{} ({}, {} bytes)", start.escape_ascii(), self.bend, self.name.len())
    }
}

/// The topics of the catalogue, spelled out.
pub fn catalogue() -> Vec<String> {
    let (_, table) = WIRE.split_once("\n## Topics\n").expect("wire.md has them");
    let rows =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let mut topics = Vec::new();
    for (template, what) in rows.filter(|(template, _)| template.contains('/')) {
        let words: Vec<&str> = if template.contains("{lane}") {
            words(what.split_once("lane is ").expect("the lanes").1)
        } else if template.contains("{what}") {
            words(what.split_once(';').expect("words and more").0)
        } else {
            vec![""]
        };
        for ([pp, site, gateway], word) in
            GATEWAYS.iter().flat_map(|place| words.iter().map(move |word| (place, word)))
        {
            let filled = [
                ("{pp}", *pp),
                ("{site}", *site),
                ("{gateway}", *gateway),
                ("{lane}", *word),
                ("{what}", *word),
                ("{device}", "press-4"),
                ("{channel}", "temperature"),
                ("{rule}", "too-hot"),
            ];
            let topic =
                filled.iter().fold(template.to_owned(), |topic, (name, value)| topic.replace(name, value));
            assert!(topic.starts_with("tidegate/v1/") && !topic.contains('{'), "{topic}");
            topics.push(topic);
        }
    }
    // 4 lanes, 3 words up, 3 down, the status, and an alarm of each site.
    assert_eq!(topics.len(), 3 * (4 + 3 + 3 + 1) + 3, "the table has changed: {topics:#?}");
    topics
}

fn words(text: &str) -> Vec<&str> {
    text.split(", ").flat_map(|part| part.split(" or ")).collect()
}

/// Each name once.
pub fn all() -> Vec<Class> {
    let mut classes = BTreeMap::new();
    let mut add = |bend: String, name: Vec<u8>| {
        classes.entry(name).or_insert(bend);
    };
    for topic in catalogue() {
        for (bend, name) in bent(&topic) {
            add(bend, name);
        }
    }
    for name in [
        "",
        "/",
        "//",
        "#",
        "+",
        "+/#",
        "+/+",
        "/#",
        "/+",
        "++",
        "#/",
        "$",
        "$SYS",
        "$SYS/#",
        "$SYS/+/x",
        "$share/g/#",
        "$share/g/home/x",
        "$queue/home/x",
        "home/x",
        "home/#",
        "tidegate",
        "tidegate/#",
        "tidegate/+",
        "tidegate/v2/x",
        "tidegate/v10/x",
        "tidegatex/v1/x",
        "Tidegate/v1/x",
        "tidegate-broker",
        "tidegate-broker/",
        "tidegate-broker/#",
        "tidegate-broker/probe/1",
        "tidegate-brokers/x",
        "+/probe/1",
        "x/tidegate-broker/y",
        "\u{e9}",
        "x/\u{e9}",
        "\u{feff}x",
        " ",
        "x y",
    ] {
        add(format!("{name:?}"), name.into());
    }
    for bytes in [1023, 1024, 1025, 65_535] {
        add(format!("of {bytes} bytes"), "x".repeat(bytes).into());
        add(format!("of {bytes} bytes, ours"), format!("tidegate/v1/{}", "x".repeat(bytes - 12)).into());
    }
    classes.into_iter().map(|(name, bend)| Class { bend, name }).collect()
}

fn bent(topic: &str) -> Vec<(String, Vec<u8>)> {
    let levels: Vec<&str> = topic.split('/').collect();
    let mut names: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |bend: &str, name: String| names.push((bend.to_owned(), name.into_bytes()));
    add("as it is", topic.to_owned());
    // A + in any of its levels.
    for wild in 1u32..1 << levels.len() {
        let level = |(place, level): (usize, &&str)| {
            if wild >> place & 1 == 1 { "+".to_owned() } else { (*level).to_owned() }
        };
        let filter = levels.iter().enumerate().map(level).collect::<Vec<_>>().join("/");
        add(&format!("{} of its levels +", wild.count_ones()), filter.clone());
        if wild.count_ones() < 3 {
            add(&format!("{} of its levels + and # below", wild.count_ones()), format!("{filter}/#"));
        }
    }
    for place in 0..levels.len() {
        let mut put = |bend: &str, level: &str| {
            let mut levels = levels.clone();
            levels[place] = level;
            add(&format!("level {place} {bend}"), levels.join("/"));
        };
        let level = levels[place];
        put("empty", "");
        put("longer", &format!("{level}x"));
        put("with a space", &format!(" {level}"));
        put("shorter", &level[1..]);
        put("in capitals", &level.to_uppercase());
        put("another partition", if level == "4b" { "e5" } else { "4b" });
        put("half wild", &format!("{level}+"));
        put("half #", &format!("{level}#"));
        put("# in between", "#");
        put("..", "..");
        put("two levels", &format!("{level}/{level}"));
        for word in [
            "up", "down", "status", "alarms", "plant", "default", "gw1", "gw2", "ack", "live", "settings",
            "$SYS",
        ] {
            put(word, word);
        }
        add(&format!("cut at {place}"), levels[..place].join("/"));
        add(&format!("cut at {place}, then nothing"), [&levels[..place], &[""]].concat().join("/"));
        add(&format!("# at {place}"), [&levels[..place], &["#"]].concat().join("/"));
    }
    for below in ["", "#", "+", "x", "ack", "+/#", "#/x"] {
        add(&format!("/{below} below"), format!("{topic}/{below}"));
    }
    for above in [
        "",
        "x/",
        "/",
        "//",
        "$share/g/",
        "$share//",
        "$SYS/",
        "$",
        "\u{e9}/",
        "tidegate-broker/",
        "+/",
        "tidegate/",
    ] {
        add(&format!("{above} above"), format!("{above}{topic}"));
    }
    add("overlong", format!("{topic}/{}", "x".repeat(1100)));
    let mut damaged = |bend: &str, byte: u8| {
        names.push((bend.to_owned(), [topic.as_bytes(), &[byte]].concat()));
        names.push((format!("{bend} first"), [&[byte], topic.as_bytes()].concat()));
    };
    damaged("a NUL", 0);
    damaged("no UTF-8", 0xff);
    damaged("half a character", 0xc3);
    names
}

/// What a name of a site, gateway or device is, by `docs/wire.md`.
pub fn named(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

pub fn client_ids() -> Vec<String> {
    let mut ids: Vec<String> =
        vec!["".into(), ".".into(), "..".into(), "viewer".into(), "ingest".into(), "\u{e9}".into()];
    for site in ["plant", "default", "other", "Plant", "", "plan", "plantx", &"s".repeat(32), &"s".repeat(33)]
    {
        for gateway in ["gw1", "gw2", "gw11", "gw", "GW1", "", "other"] {
            ids.extend(["", ".", ".x", ".x.y", "x", "-"].map(|end| format!("{site}.{gateway}{end}")));
            ids.push(format!("{site}{gateway}"));
            for bad in ["+", "#", "$", "/", "\n", "\u{7f}", "\0"] {
                ids.push(format!("{site}.{gateway}.{bad}"));
                ids.push(format!("{bad}{site}.{gateway}"));
            }
        }
    }
    // The ingest's, and what nearly is.
    for start in
        ["tidegate-ingest", "tidegate-inges", "Tidegate-ingest", "tidegate_ingest", "x-tidegate-ingest"]
    {
        ids.extend(
            ["", "-2", "s", ".", ".gw1", ".gw1.x", "..", "\u{e9}", "/", "\n"]
                .map(|end| format!("{start}{end}")),
        );
    }
    for length in [63, 64, 65] {
        ids.push("x".repeat(length));
        ids.push(format!("plant.gw1.{}", "x".repeat(length - 10)));
    }
    ids.sort();
    ids.dedup();
    ids
}
