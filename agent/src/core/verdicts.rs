//! What is active here, told to the cloud beside the readings: its verdict comes from these, and where the two differ people are
//! shown it. Nothing here is kept for a cloud that is away: each time the link comes up, and whenever the cloud asks, an
//! account begins anew, and a number that is missing makes the cloud ask. That nothing is new is said as well, at growing
//! intervals, so that the loss of a last word is noticed.

use std::collections::BTreeMap;

use tidegate_protocol::rules::{MAX_VERDICTS, Verdict, VerdictRaise, Verdicts};

use super::{Core, Effect, local_alarms::AlarmKey, time::Time};

/// What comes within this time of the last message waits for company.
const PAUSE_MS: u64 = 250;
/// After a word so long, doubled each time, it is said that nothing is new.
const FIRST_QUIET_MS: u64 = 5_000;
const LONGEST_QUIET_MS: u64 = 3_600_000;

#[derive(Debug, Default)]
pub(super) struct Telling {
    number: u64,
    /// All that is active is to be told.
    account_due: bool,
    changed: BTreeMap<AlarmKey, Option<VerdictRaise>>,
    told_at: Option<Time>,
    /// How long to be quiet; none before anything was told on this link.
    quiet_ms: Option<u64>,
}

impl Telling {
    pub fn account_is_due(&mut self) {
        self.account_due = true;
    }

    pub fn changed(&mut self, key: &AlarmKey, raise: Option<VerdictRaise>) {
        self.changed.insert(key.clone(), raise);
    }

    fn is_waiting(&self) -> bool {
        self.account_due || !self.changed.is_empty()
    }

    pub fn due_at(&self) -> Option<Time> {
        let pause_ms = if self.is_waiting() { Some(PAUSE_MS) } else { self.quiet_ms };
        Some(self.told_at?.plus_ms(pause_ms?))
    }

    fn is_due(&self, now: Time) -> bool {
        match self.told_at {
            None => self.is_waiting(),
            Some(_) => self.due_at().is_some_and(|at| now >= at),
        }
    }
}

impl Core {
    /// The cloud may know nothing of what was told on the link before.
    pub(super) fn verdicts_link_came_up(&mut self) {
        (self.verdicts.quiet_ms, self.verdicts.told_at) = (None, None);
        self.verdicts.account_due = true;
    }

    pub(super) fn tell_verdicts(&mut self) {
        if !self.outbox.is_up() {
            // The next link begins with an account.
            self.verdicts.changed.clear();
            (self.verdicts.quiet_ms, self.verdicts.told_at) = (None, None);
            return;
        }
        if !self.verdicts.is_due(self.now.at) {
            return;
        }
        let begins = std::mem::take(&mut self.verdicts.account_due);
        let changed = std::mem::take(&mut self.verdicts.changed);
        let told: Vec<(AlarmKey, Option<VerdictRaise>)> = match begins {
            true => self.local_alarms.raises().map(|(key, raise)| (key.clone(), Some(raise))).collect(),
            false => changed.into_iter().collect(),
        };
        // Nobody asks a gateway without rules what is active by them.
        if told.is_empty() && self.rules.book.is_empty() && self.verdicts.quiet_ms.is_none() {
            return;
        }
        let is_news = begins || !told.is_empty();
        let longer = self.verdicts.quiet_ms.filter(|_| !is_news).map(|quiet_ms| quiet_ms.saturating_mul(2));
        self.verdicts.quiet_ms = Some(longer.unwrap_or(FIRST_QUIET_MS).min(LONGEST_QUIET_MS));
        self.verdicts.told_at = Some(self.now.at);
        let verdict = |(key, raised): &(AlarmKey, Option<VerdictRaise>)| Verdict {
            device: key.device,
            channel: key.channel,
            rule: key.rule.as_str().to_owned(),
            raised: *raised,
        };
        let mut parts: Vec<Vec<Verdict>> =
            told.chunks(MAX_VERDICTS).map(|part| part.iter().map(verdict).collect()).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for (place, verdicts) in parts.into_iter().enumerate() {
            self.verdicts.number += 1;
            let (epoch, number) = (self.settings.epoch, self.verdicts.number);
            let begins = begins && place == 0;
            self.effects.push_back(Effect::Verdicts(Verdicts { verdicts, epoch, number, begins }));
        }
    }
}
