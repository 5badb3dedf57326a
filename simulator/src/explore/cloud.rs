//! The ingest: its own core over a store in memory.

use bytes::Bytes;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::core::{
    Core, Settings, VerifyJob,
    batch::{Batch, OriginNo, RewindTo},
};
use tidegate_protocol::{SeqRange, block::Decoder, topic::Lane};

use super::{dice::Dice, store::MemoryStore};

pub struct Cloud {
    pub settings: Settings,
    pub rules: RuleSet,
    pub store: MemoryStore,
    pub core: Option<Core>,
    pub life: u64,
    pub incarnation: u64,
    pub committing: Option<Box<Batch>>,
    pub wakes_at_us: Option<u64>,
    /// Subscribed at the broker; numbered, so that what was meant for an earlier connection is void.
    pub connected: bool,
    pub connection: u64,
    pub slow_until_us: u64,
    /// What others take of the store's quota.
    pub occupied_bytes: u64,
    pub backup: Option<MemoryStore>,
    pub seen_conflicts: u64,
    /// The lake's own, so that it takes none from others.
    pub lake_dice: Dice,
}

/// What the core waits for, besides a commit.
#[derive(Debug)]
pub enum Look {
    Verify { ticket: u64, job: VerifyJob },
    Load { origin: OriginNo, range: SeqRange },
    Rewind { origin: OriginNo, to: RewindTo },
}

/// A block on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub gateway: usize,
    pub lane: Lane,
    pub number: u64,
    pub bytes: Bytes,
}

impl Cloud {
    pub fn new(settings: Settings, lake_dice: Dice) -> anyhow::Result<Self> {
        Ok(Self {
            settings,
            rules: rules()?,
            store: MemoryStore::default(),
            core: None,
            life: 0,
            incarnation: 0,
            committing: None,
            wakes_at_us: None,
            connected: false,
            connection: 0,
            slow_until_us: 0,
            occupied_bytes: 0,
            backup: None,
            seen_conflicts: 0,
            lake_dice,
        })
    }

    pub fn start(&mut self, incarnation: u64) -> std::io::Result<()> {
        self.life += 1;
        self.incarnation = incarnation;
        self.committing = None;
        self.wakes_at_us = None;
        self.seen_conflicts = 0;
        let snapshot = self.store.snapshot(self.occupied_bytes);
        self.core =
            Some(Core::new(self.settings, self.rules.clone(), Decoder::new()?, snapshot, incarnation));
        Ok(())
    }

    pub fn used_bytes(&self) -> u64 {
        self.store.used_bytes() + self.occupied_bytes
    }
}

/// Rules that the boards' random walk meets often, with and without delays.
fn rules() -> anyhow::Result<RuleSet> {
    rule_set(serde_json::json!({ "rule": [
        { "id": "hot", "select": { "channel": "temperature" }, "above": 60.0, "deadband": 5.0 },
        { "id": "stays-cold", "select": { "channel": "temperature" }, "below": 30.0,
          "on_delay_ms": 400, "off_delay_ms": 200 },
        { "id": "open", "select": { "channel": "door" }, "above": 0.5 },
    ]}))
}

/// A rule that is met now and then.
pub fn edge_rules() -> anyhow::Result<RuleSet> {
    rule_set(serde_json::json!({ "rule": [
        { "id": "hot", "select": { "channel": "temperature" }, "above": 60.0, "deadband": 5.0 },
    ]}))
}

fn rule_set(rules: serde_json::Value) -> anyhow::Result<RuleSet> {
    let settings: RulesSettings = serde_json::from_value(rules)?;
    Ok(RuleSet::from_settings(settings)?)
}
