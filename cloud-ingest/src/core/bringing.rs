//! Rules on their way to gateways.
//!
//! Of each site its gateways are offered the newest committed rules, by name: each time one is born, after a start of this ingest,
//! and when the rules change. A gateway that has others asks for them part by part. It is offered them again, at growing
//! intervals, until it says that they are in force, or why they will not be; so a message that is lost costs time only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tidegate_alarms::RuleBook;
use tidegate_protocol::{
    SiteId,
    rules::{RulesAnswer, RulesDown, RulesName, RulesUp},
    topic::GatewayPath,
};

use super::{Core, Effect, Mode};

/// How long after an offer a gateway gets the next; doubled each time, up to the longest.
const FIRST_OFFER_MS: u64 = 1_000;
const LONGEST_OFFER_MS: u64 = 300_000;

/// What a gateway made of the rules that it was offered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStanding {
    pub edition: u64,
    pub state: RulesState,
    pub unix_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RulesState {
    /// Committed there, and what it judges by.
    InForce,
    /// Its agent cannot read them.
    Unreadable,
    /// It keeps rules of its own.
    Declined,
    /// They do not fit into what is sent.
    TooLarge,
}

impl RulesState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Unreadable => "unreadable",
            Self::Declined => "declined",
            Self::TooLarge => "too-large",
        }
    }

    fn of(answer: RulesAnswer) -> Option<Self> {
        match answer {
            RulesAnswer::InForce => Some(Self::InForce),
            RulesAnswer::Unreadable => Some(Self::Unreadable),
            RulesAnswer::Declined => Some(Self::Declined),
            RulesAnswer::Wanting { .. } | RulesAnswer::Held => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Document {
    name: RulesName,
    bytes: Arc<[u8]>,
}

#[derive(Debug, Default)]
struct Offering {
    due_ms: Option<u64>,
    pause_ms: u64,
    /// What it said last since it was born, and of which rules.
    answered: Option<(RulesName, RulesState)>,
}

#[derive(Debug, Default)]
pub(super) struct Bringing {
    /// What is committed, and its edition.
    book: RuleBook,
    edition: u64,
    /// Newer rules, not to be told of before this batch is committed.
    uncommitted: Option<u64>,
    /// Of each site that has gateways; none where they are too many to be sent.
    documents: BTreeMap<SiteId, Option<Document>>,
    gateways: BTreeMap<GatewayPath, Offering>,
    next_due_ms: Option<u64>,
}

impl Bringing {
    pub const fn next_wakeup(&self) -> Option<u64> {
        self.next_due_ms
    }

    /// The rules of the edition are in this batch.
    pub fn wait_for(&mut self, batch: u64) {
        self.uncommitted = Some(batch);
    }

    fn document(&mut self, site: SiteId) -> Option<Document> {
        let (book, edition) = (&self.book, self.edition);
        let document = self.documents.entry(site).or_insert_with(|| {
            let bytes = book.for_site(site).document();
            let bytes = bytes.inspect_err(
                |error| tracing::error!(%site, %error, "the rules are too many to be brought to gateways"),
            );
            let bytes: Arc<[u8]> = bytes.ok()?.into();
            Some(Document { name: RulesName::of(edition, &bytes), bytes })
        });
        document.clone()
    }

    fn is_due(&mut self, path: GatewayPath, now_ms: u64) -> &mut Offering {
        self.next_due_ms = Some(self.next_due_ms.map_or(now_ms, |due| due.min(now_ms)));
        let offering = self.gateways.entry(path).or_default();
        offering.due_ms = Some(now_ms);
        offering.pause_ms = FIRST_OFFER_MS;
        offering
    }

    fn look_for_next(&mut self) {
        self.next_due_ms = self.gateways.values().filter_map(|offering| offering.due_ms).min();
    }

    /// Whether the gateway judges by the newest rules.
    pub fn is_in_force(&mut self, path: GatewayPath) -> bool {
        let Some(document) = self.document(path.site) else { return false };
        let offering = self.gateways.get(&path);
        offering.is_some_and(|offering| offering.answered == Some((document.name, RulesState::InForce)))
    }
}

impl Core {
    /// The rules are those that are committed; nobody has been told of them.
    pub(super) fn adopt_bringing(&mut self, committed: RuleBook, edition: u64) {
        let mut gateways = std::mem::take(&mut self.bringing.gateways);
        // What they answered may not have been committed.
        for offering in gateways.values_mut() {
            (offering.due_ms, offering.answered) = (Some(0), None);
        }
        let next_due_ms = (!gateways.is_empty()).then_some(0);
        self.bringing = Bringing { book: committed, edition, gateways, next_due_ms, ..Bringing::default() };
    }

    /// A gateway is offered what there is: it was born, or an account of its verdicts is wanted.
    pub(super) fn offer_rules(&mut self, now_ms: u64, path: GatewayPath, is_born: bool) {
        let offering = self.bringing.is_due(path, now_ms);
        if is_born {
            offering.answered = None;
        }
    }

    pub(super) fn offer_rules_to_all(&mut self, now_ms: u64) {
        for path in self.gateways.keys().copied().collect::<Vec<_>>() {
            self.offer_rules(now_ms, path, true);
        }
    }

    pub(super) fn rules_answered(&mut self, now_ms: u64, from: GatewayPath, up: RulesUp, unix_ms: i64) {
        if self.mode != Mode::Taking {
            return;
        }
        let Some(document) = self.bringing.document(from.site) else { return };
        if up.name != document.name {
            // It speaks of others: it is told which.
            self.bringing.is_due(from, now_ms);
            return;
        }
        if let RulesAnswer::Wanting { from: at } = up.answer {
            if let Some(down) = RulesDown::part_of(up.name, &document.bytes, at) {
                let offering = self.bringing.is_due(from, now_ms.saturating_add(FIRST_OFFER_MS));
                offering.answered = None;
                self.effects.push_back(Effect::Rules { to: from, down: Box::new(down) });
            }
            return;
        }
        let Some(state) = RulesState::of(up.answer) else { return };
        let offering = self.bringing.gateways.entry(from).or_default();
        offering.due_ms = None;
        let is_news = offering.answered.replace((up.name, state)) != Some((up.name, state));
        self.bringing.look_for_next();
        if is_news {
            self.rules_stand(now_ms, from, up.name.edition, state, unix_ms);
        }
    }

    fn rules_stand(&mut self, now_ms: u64, path: GatewayPath, edition: u64, state: RulesState, unix_ms: i64) {
        self.building.rules_standing.push((path, RulesStanding { edition, state, unix_ms }));
        self.touch_batch(now_ms);
        self.look_at_verdicts(now_ms);
    }

    /// Offers what is new and committed, and offers again where it is time.
    pub(super) fn bring_rules(&mut self, now_ms: u64) {
        self.release_rules(now_ms);
        if self.mode != Mode::Taking || self.bringing.next_due_ms.is_none_or(|due| due > now_ms) {
            return;
        }
        let is_due = |offering: &Offering| offering.due_ms.is_some_and(|due| due <= now_ms);
        let due: Vec<_> =
            self.bringing.gateways.iter().filter(|(_, of)| is_due(of)).map(|(path, _)| *path).collect();
        for path in due {
            self.offer(now_ms, path);
        }
        self.bringing.look_for_next();
    }

    fn offer(&mut self, now_ms: u64, path: GatewayPath) {
        // Nobody ever gave this cloud a rule: it has nothing to say about those of gateways.
        let is_there = self.gateways.get(&path).is_some_and(|gateway| gateway.heard);
        let document = if is_there && self.bringing.edition > 0 {
            Some(self.bringing.document(path.site))
        } else {
            None
        };
        let Some(offering) = self.bringing.gateways.get_mut(&path) else { return };
        offering.due_ms = None;
        match document {
            None => {}
            Some(None) => {
                let name = RulesName { edition: self.bringing.edition, checksum: 0 };
                let told = Some((name, RulesState::TooLarge));
                if offering.answered != told
                    && let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms)
                {
                    offering.answered = told;
                    self.rules_stand(now_ms, path, name.edition, RulesState::TooLarge, unix_ms);
                }
            }
            Some(Some(Document { name, bytes })) => {
                offering.due_ms = Some(now_ms.saturating_add(offering.pause_ms));
                offering.pause_ms =
                    offering.pause_ms.saturating_mul(2).clamp(FIRST_OFFER_MS, LONGEST_OFFER_MS);
                let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let down = Box::new(RulesDown::Offer { name, bytes });
                self.effects.push_back(Effect::Rules { to: path, down });
            }
        }
    }

    /// What was committed may be told.
    fn release_rules(&mut self, now_ms: u64) {
        let open = self.in_flight.unwrap_or(self.building.number);
        if self.bringing.uncommitted.take_if(|batch| *batch < open).is_none() {
            return;
        }
        self.bringing.book = self.book.clone();
        self.bringing.edition = self.edition;
        self.bringing.documents.clear();
        let present: BTreeSet<_> = self.gateways.keys().copied().collect();
        for path in present {
            self.bringing.is_due(path, now_ms);
        }
    }
}
