//! What must hold for any bytes, door by door: never a panic, bounds that hold, and what is taken is taken as what it says.
//!
//! [`TARGETS`] lists every parser that can be reached from outside. Each has a target in `fuzz_targets`, for libFuzzer; inputs to begin
//! with in `corpus`, those named `seed-…` made by [`Target::seeds`]; and is run by `tests/tests/fuzzed.rs` over its corpus and damaged
//! copies of it, as a plain test. The bodies of protocol, alarms, trust and access stand beside those crates' own tests.
//!
//! ```text
//! hostile           frames, blocks, acknowledgements, settings, rules on their way (of protocol)
//! rules_file        rules files and documents (of alarms)        trusted   certificates (of trust)
//! asked             bearer tokens, cookies, forms (of access)    http      requests to the ingest
//! mqtt              packets to the broker                        broker_access  topics, filters, who may do what
//! enrolment         invitations, the authority's service and folder        tls_files  PEM
//! board_link        lines of boards                              gateway_messages  what the ingest hears
//! queue, agent_files, store, ingest_files                        what is read back from disk
//! configuration     settings of all programs                     recording, event_stream, words  what remains
//! golden            golden vectors as bytes
//! ```

mod agent_files;
#[path = "../../access/tests/support/hostile.rs"]
mod asked;
mod board_link;
mod broker_access;
mod configuration;
mod enrolment;
mod event_stream;
mod gateway_messages;
mod golden;
#[path = "../../protocol/tests/support/hostile.rs"]
mod hostile;
mod http;
mod ingest_files;
mod mqtt;
mod queue;
mod recording;
#[path = "../../alarms/tests/support/hostile.rs"]
mod rules_file;
mod store;
mod tls_files;
#[path = "../../trust/tests/support/hostile.rs"]
mod trusted;
mod words;

use std::cell::RefCell;

use golden::{base64url, body_of, golden, seeds_of, unbase64url};
use hostile::Blocks;

/// A parser that can be reached from outside.
pub struct Target {
    pub name: &'static str,
    /// What must hold for these bytes; panics where it does not.
    pub check: fn(&[u8]),
    /// Inputs by name, made by the encoders of what is parsed.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// The seeds have keys in them, which are other ones each time.
    pub random: bool,
    /// Damaged inputs that the plain test tries.
    pub cases: u32,
}

const fn target(
    name: &'static str,
    cases: u32,
    check: fn(&[u8]),
    seeds: fn() -> Vec<(String, Vec<u8>)>,
) -> Target {
    Target { name, check, seeds, random: false, cases }
}

const fn random(target: Target) -> Target {
    Target { random: true, ..target }
}

pub const TARGETS: &[Target] = &[
    target("ack", 16_000, hostile::ack, || seeds_of(&["ack-"])),
    random(target("authority", 400, enrolment::authority, enrolment::authority_seeds)),
    target("bearer", 16_000, bearer, golden::bearer),
    target("block", 8_000, block, || seeds_of(&["block-"])),
    target("board_link", 4_000, board_link::board_link, board_link::seeds),
    target("broker_access", 16_000, broker_access::broker_access, broker_access::seeds),
    random(target("certificate", 16_000, certificate, golden::certificate)),
    target("configuration", 800, configuration::configuration, configuration::seeds),
    target("devices", 4_000, agent_files::devices, agent_files::seeds),
    target("event_stream", 16_000, event_stream::event_stream, event_stream::seeds),
    target("form", 16_000, form, golden::form),
    target("frame_down", 16_000, hostile::frame_down, || seeds_of(&["down-"])),
    target("frame_keyed", 4_000, hostile::frame_keyed, || seeds_of(&["keyed-"])),
    target("frame_up", 16_000, hostile::frame_up, || seeds_of(&["up-"])),
    target("gateway_messages", 16_000, gateway_messages::gateway_messages, gateway_messages::seeds),
    target("http", 4_000, http::http, http::seeds),
    target("ingest_files", 2_000, ingest_files::ingest_files, ingest_files::seeds),
    target("invitation", 16_000, enrolment::invitation, enrolment::invitation_seeds),
    target("mqtt", 16_000, mqtt::mqtt, mqtt::seeds),
    target("queue", 16_000, queue::queue, queue::seeds),
    target("queue_file", 240, queue::queue_file, queue::file_seeds),
    target("recording", 4_000, recording::recording, recording::seeds),
    target("rules", 1_200, rules_file::rules, golden::rules),
    target("rules_on_their_way", 4_000, rules_on_their_way, golden::rules_on_their_way),
    target("settings", 16_000, hostile::settings, || seeds_of(&["settings-"])),
    target("store", 16_000, store::store, store::seeds),
    random(target("tls_files", 800, tls_files::tls_files, tls_files::seeds)),
    target("topics", 16_000, broker_access::topics, broker_access::seeds),
    target("words", 16_000, words::words, words::seeds),
];

/// Runs the target of this name; a target that is on no list is none.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("the target is on the list");
    (target.check)(bytes);
}

thread_local! {
    static BLOCKS: RefCell<Blocks> = RefCell::new(Blocks::new());
}

fn block(bytes: &[u8]) {
    BLOCKS.with_borrow_mut(|blocks| blocks.check(bytes));
}

fn bearer(bytes: &[u8]) {
    asked::authorization(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        asked::token(text);
        asked::origin(text);
    }
}

fn certificate(bytes: &[u8]) {
    trusted::certificate(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        trusted::identity(text);
    }
}

fn form(bytes: &[u8]) {
    asked::form(bytes);
    asked::cookies(bytes);
}

fn rules_on_their_way(bytes: &[u8]) {
    hostile::rules_on_their_way(bytes);
    rules_file::document(bytes);
}
