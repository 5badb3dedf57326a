//! Alarm rules that the cloud brings: fetched in parts, committed, then in force, and answered for.
//!
//! A gateway that has a rules file of its own keeps to that, and says so. What was fetched is in force once it is committed, so that
//! a gateway that said so judges by the same rules after a power cut, with or without a cloud. The cloud offers again until it is
//! answered; fetching goes on where it was, at one part at a time.

use std::sync::Arc;

use tidegate_alarms::{RuleBook, RuleSet};
use tidegate_protocol::{
    SiteId,
    rules::{MAX_RULES_BYTES, RulesAnswer, RulesDown, RulesName, RulesUp},
};

use super::{Core, Effect, time::Time, watch::Watch};

/// Rules may take this part of the quota at most: they must never be what readings are given up for.
const PART_OF_QUOTA: u64 = 8;
/// When they are written again after a disk that did not take them.
const SAVE_AGAIN_MS: u64 = 60_000;

/// Rules as the cloud brought them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BroughtRules {
    pub name: RulesName,
    pub document: Arc<[u8]>,
}

/// By what readings are judged here, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RulesView {
    /// `file`, `cloud` or `none`.
    pub from: &'static str,
    /// Of the cloud's.
    pub edition: Option<u64>,
    pub rules: usize,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    /// What readings are judged by.
    pub book: RuleBook,
    /// They are those of a file of this gateway.
    is_own: bool,
    max_bytes: u64,
    /// Of what the cloud brought and is in force.
    in_force: Option<RulesName>,
    fetching: Option<Fetching>,
    /// Whole and readable, but not committed.
    held: Option<Held>,
    /// What was offered last and cannot be read.
    unreadable: Option<RulesName>,
}

#[derive(Debug)]
struct Fetching {
    name: RulesName,
    bytes: u32,
    document: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    brought: BroughtRules,
    book: RuleBook,
    save_at: Option<Time>,
}

impl Rules {
    /// A file's rules go before what the cloud brought once.
    pub fn recovered(own: &RuleSet, quota_bytes: u64, brought: Option<BroughtRules>) -> Self {
        if !own.rules().is_empty() {
            return Self { book: RuleBook::from(own.clone()), is_own: true, ..Self::default() };
        }
        let max_bytes = (quota_bytes / PART_OF_QUOTA).min(MAX_RULES_BYTES as u64);
        let read = brought.and_then(|brought| {
            let book = RuleBook::from_document(&brought.document).ok()?;
            Some((brought.name, book))
        });
        let (in_force, book) = read.unzip();
        Self { book: book.unwrap_or_default(), in_force, max_bytes, ..Self::default() }
    }

    pub fn view(&self) -> RulesView {
        let from = match (self.is_own, self.in_force) {
            (true, _) => "file",
            (false, Some(_)) => "cloud",
            (false, None) => "none",
        };
        RulesView { from, edition: self.in_force.map(|name| name.edition), rules: self.book.rules().count() }
    }

    fn offered(&mut self, name: RulesName, bytes: u32) -> RulesAnswer {
        if self.is_own {
            return RulesAnswer::Declined;
        }
        if self.held.as_ref().is_some_and(|held| held.brought.name == name) {
            return RulesAnswer::Held;
        }
        if self.in_force == Some(name) {
            self.fetching = None;
            return RulesAnswer::InForce;
        }
        if self.unreadable == Some(name) || bytes == 0 || u64::from(bytes) > self.max_bytes {
            return RulesAnswer::Unreadable;
        }
        let known = self.fetching.take_if(|fetching| (fetching.name, fetching.bytes) == (name, bytes));
        let fetching = known.unwrap_or(Fetching { name, bytes, document: Vec::new() });
        let from = fetching.document.len() as u32;
        self.fetching = Some(fetching);
        RulesAnswer::Wanting { from }
    }

    /// A part: what there is to say of it, if it is one that was asked for.
    fn part_came(&mut self, name: RulesName, at: u32, part: &[u8], now: Time) -> Option<RulesAnswer> {
        let fetching = self.fetching.as_mut().filter(|fetching| fetching.name == name)?;
        let have = fetching.document.len();
        if at as usize != have || have + part.len() > fetching.bytes as usize {
            return None;
        }
        fetching.document.extend_from_slice(part);
        if fetching.document.len() < fetching.bytes as usize {
            return Some(RulesAnswer::Wanting { from: fetching.document.len() as u32 });
        }
        let document = self.fetching.take()?.document;
        if RulesName::of(name.edition, &document) != name {
            // Parts of two documents, or one that was damaged: it is fetched anew with the next offer.
            return None;
        }
        match RuleBook::from_document(&document) {
            Ok(book) => {
                let brought = BroughtRules { name, document: document.into() };
                self.held = Some(Held { brought, book, save_at: Some(now) });
                Some(RulesAnswer::Held)
            }
            Err(_) => {
                self.unreadable = Some(name);
                Some(RulesAnswer::Unreadable)
            }
        }
    }

    pub fn must_be_saved(&self, now: Time) -> bool {
        self.save_at().is_some_and(|at| now >= at)
    }

    pub fn save_at(&self) -> Option<Time> {
        self.held.as_ref().and_then(|held| held.save_at)
    }

    /// What the next batch is to hold; none when nothing is new.
    pub fn save(&mut self, now: Time) -> Option<BroughtRules> {
        let held = self.held.as_mut().filter(|held| held.save_at.is_some_and(|at| now >= at))?;
        held.save_at = None;
        Some(held.brought.clone())
    }

    /// The batch with `saved` in it was not written.
    pub fn not_saved(&mut self, now: Time) {
        if let Some(held) = self.held.as_mut().filter(|held| held.save_at.is_none()) {
            held.save_at = Some(now.plus_ms(SAVE_AGAIN_MS));
        }
    }

    /// The last batch is written: says whether other rules are in force now.
    fn saved(&mut self) -> Option<RulesName> {
        let Held { brought, book, .. } = self.held.take_if(|held| held.save_at.is_none())?;
        self.book = book;
        self.in_force = Some(brought.name);
        self.in_force
    }
}

impl Core {
    pub(super) fn rules_came(&mut self, down: RulesDown) {
        let (name, answer) = match down {
            RulesDown::Offer { name, bytes } => {
                self.verdicts.account_is_due();
                (name, Some(self.rules.offered(name, bytes)))
            }
            RulesDown::Part { name, at, part } => (name, self.rules.part_came(name, at, &part, self.now.at)),
        };
        if let Some(answer) = answer {
            self.effects.push_back(Effect::AnswerRules(RulesUp { name, answer }));
        }
    }

    /// What was committed is in force from now on.
    pub(super) fn rules_committed(&mut self) {
        let Some(name) = self.rules.saved() else { return };
        self.watch_anew();
        self.effects.push_back(Effect::AnswerRules(RulesUp { name, answer: RulesAnswer::InForce }));
        self.verdicts.account_is_due();
    }

    /// Every channel is watched by what the rules are now; alarms of rules that are gone are active no more.
    fn watch_anew(&mut self) {
        let site: SiteId = self.settings.site;
        let slots: Vec<_> = self.origins.iter_mut().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(state) = self.origins.get_mut(slot) else { continue };
            let Some(before) = state.watch.take() else { continue };
            let mut watch = Watch::of(site, &state.description, &self.rules.book);
            watch.take_over(before);
            state.watch = Some(watch);
            self.drop_unwatched(slot);
        }
    }
}
