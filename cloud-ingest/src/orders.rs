//! Operators' orders on their way to the core, and its answers on their way back. Whoever orders waits, at most
//! `PATIENCE`; an order whose answer comes later was carried out all the same, and is in the operator log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, mpsc as sync},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    core::{
        Event,
        batch::Damaged,
        desired::{SettingsDone, SettingsOrder},
        lifecycle::{AlarmDone, KnownAlarm},
        retire::{Operation, RetireOrder},
        rulebook::{RulesDone, RulesOrder},
    },
    operations::AlarmRequest,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// So many orders wait at a time.
const MAX_WAITING: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("{MAX_WAITING} orders are being carried out; give it again later")]
    Busy,
    #[error("the store did not take it, and nothing was changed; give it again")]
    NotCommitted,
    #[error(
        "there is no answer yet; the operator log, the channel's settings, or the alarm tell whether it was carried out"
    )]
    NoAnswer,
}

pub struct Orders {
    core: mpsc::Sender<Event>,
    clock: Clock,
    waiting: Mutex<Waiting>,
}

/// What the core made of an order.
#[derive(Clone, Debug)]
pub enum Answer {
    Retired(Option<Operation>),
    Settings(SettingsDone),
    Alarm(AlarmDone),
    Rules(RulesDone),
}

#[derive(Default)]
struct Waiting {
    next_ticket: u64,
    answers: HashMap<u64, sync::SyncSender<Answer>>,
}

impl Orders {
    pub fn new(core: mpsc::Sender<Event>, clock: Clock) -> Self {
        Self { core, clock, waiting: Mutex::default() }
    }

    /// Blocks until the order is carried out and committed.
    pub fn carry_out(&self, order: RetireOrder) -> Result<Operation, OrderError> {
        let order = Box::new(RetireOrder { unix_ms: self.clock.unix_ms(), ..order });
        match self.ask(|ticket| Event::Retire { ticket, order })? {
            Answer::Retired(done) => done.ok_or(OrderError::NotCommitted),
            _ => Err(OrderError::NoAnswer),
        }
    }

    /// Blocks until it is committed that these settings are wanted.
    pub fn want(&self, order: SettingsOrder) -> Result<SettingsDone, OrderError> {
        let order = Box::new(SettingsOrder { unix_ms: self.clock.unix_ms(), ..order });
        match self.ask(|ticket| Event::WantSettings { ticket, order })? {
            Answer::Settings(SettingsDone::NotCommitted) => Err(OrderError::NotCommitted),
            Answer::Settings(done) => Ok(done),
            _ => Err(OrderError::NoAnswer),
        }
    }

    /// Blocks until it is committed, or refused.
    pub fn act(
        &self,
        request: &AlarmRequest,
        committed: Option<KnownAlarm>,
    ) -> Result<AlarmDone, OrderError> {
        let order = Box::new(request.order(committed, self.clock.unix_ms()));
        match self.ask(|ticket| Event::AlarmAction { ticket, order })? {
            Answer::Alarm(AlarmDone::NotCommitted) => Err(OrderError::NotCommitted),
            Answer::Alarm(done) => Ok(done),
            _ => Err(OrderError::NoAnswer),
        }
    }

    /// Blocks until the rules are others, and that is committed.
    pub fn change_rules(&self, order: RulesOrder) -> Result<RulesDone, OrderError> {
        let order = Box::new(RulesOrder { unix_ms: self.clock.unix_ms(), ..order });
        match self.ask(|ticket| Event::ChangeRules { ticket, order })? {
            Answer::Rules(RulesDone::NotCommitted) => Err(OrderError::NotCommitted),
            Answer::Rules(done) => Ok(done),
            _ => Err(OrderError::NoAnswer),
        }
    }

    fn ask(&self, order: impl FnOnce(u64) -> Event) -> Result<Answer, OrderError> {
        let (answer, answered) = sync::sync_channel(1);
        let ticket = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.answers.len() >= MAX_WAITING {
                return Err(OrderError::Busy);
            }
            waiting.next_ticket += 1;
            let ticket = waiting.next_ticket;
            waiting.answers.insert(ticket, answer);
            ticket
        };
        let sent = self.core.blocking_send(order(ticket));
        let done = sent.ok().and_then(|()| answered.recv_timeout(PATIENCE).ok());
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&ticket);
        done.ok_or(OrderError::NoAnswer)
    }

    /// Somebody who asked met entries that cannot be read.
    pub fn entries_damaged(&self, damaged: Vec<Damaged>) {
        for damaged in damaged {
            // When the core is gone there is nobody to tell.
            let _gone = self.core.blocking_send(Event::Damaged(damaged));
        }
    }

    /// The core's answer; nobody may wait for it any more.
    pub fn answer(&self, ticket: u64, done: Answer) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = waiting.answers.get(&ticket) {
            let _gave_up = answer.try_send(done);
        }
    }
}
