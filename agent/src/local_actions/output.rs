//! Something that is on while alarms are active: a horn, a beacon, a contact.

use std::io;

use tidegate_alarms::{Glob, Priority};

use super::{Alarms, Line};
use crate::{
    core::{AlarmKey, LocalAlarm, Time},
    settings::FailSafe,
};

/// How long after an error it is tried again.
pub const RETRY_MS: u64 = 1_000;

pub trait Output: Send {
    fn set(&mut self, on: bool) -> io::Result<()>;
}

/// Which alarms set a line.
#[derive(Clone, Debug)]
pub struct OutputRule {
    pub line: Line,
    pub min_priority: Priority,
    pub device: Glob,
    pub channel: Glob,
    pub tag: Glob,
    pub rule: Glob,
    pub fail_safe: FailSafe,
}

impl OutputRule {
    fn selects(&self, key: &AlarmKey, alarm: &LocalAlarm) -> bool {
        alarm.priority >= self.min_priority
            && self.device.matches(key.device.as_str())
            && self.channel.matches(key.channel.as_str())
            && self.tag.matches(&alarm.tag)
            && self.rule.matches(key.rule.as_str())
    }

    pub fn wants(&self, alarms: &Alarms) -> bool {
        alarms.iter().any(|(key, alarm)| self.selects(key, alarm))
    }
}

/// An output, and how it stands.
pub struct Driven {
    pub rule: OutputRule,
    output: Box<dyn Output>,
    /// None: not known, since it was never set or that failed.
    is_on: Option<bool>,
    failed_at: Option<Time>,
}

impl Driven {
    pub fn new(rule: OutputRule, output: Box<dyn Output>) -> Self {
        Self { rule, output, is_on: None, failed_at: None }
    }

    /// Sets it, if it stands otherwise; false when that failed.
    pub fn drive(&mut self, on: bool, now: Time) -> bool {
        if self.is_on == Some(on) || self.retry_at().is_some_and(|at| now < at) {
            return true;
        }
        match self.output.set(on) {
            Ok(()) => {
                if self.failed_at.take().is_some() {
                    tracing::info!(output = %self.rule.line, "the output can be set again");
                }
                self.is_on = Some(on);
                true
            }
            Err(error) => {
                if self.failed_at.is_none() {
                    tracing::error!(output = %self.rule.line, %error, on, "an output cannot be set; it is tried again");
                }
                (self.is_on, self.failed_at) = (None, Some(now));
                false
            }
        }
    }

    /// Sets it for the time after the agent, also if an error was just now.
    pub fn make_safe(&mut self) -> bool {
        self.failed_at = None;
        self.drive(self.rule.fail_safe == FailSafe::On, Time::default())
    }

    pub fn retry_at(&self) -> Option<Time> {
        self.failed_at.map(|at| at.plus_ms(RETRY_MS))
    }
}
