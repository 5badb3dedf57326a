//! A sign of life for somebody who misses it: while the ingest is well, a webhook is called, and a metric says when it was well
//! last. Well is an ingest whose core answers, whose commits end, and whose last commit did not fail; one that hangs, or
//! that can store nothing, is silent though its process runs.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tidegate_service::{SettingsError, Shutdown};
use tokio::{sync::mpsc, time::sleep};

use super::{
    http::{Limits, Place},
    receiver::web_address,
    settings::HeartbeatSettings,
    tls::Trust,
};
use crate::{clock::Clock, core::Event, shown::Shown};

const INTERVALS_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub place: Option<Place>,
    pub interval: Duration,
}

impl Heartbeat {
    pub fn from_settings(file: &Path, raw: HeartbeatSettings) -> Result<Self, SettingsError> {
        let wrong = |key: &str, problem: String, remedy: &str| {
            SettingsError::invalid(file, &format!("heartbeat.{key}"), problem, remedy)
        };
        let interval =
            duration_ms(&raw.interval).filter(|ms| INTERVALS_MS.contains(ms)).ok_or_else(|| {
                let problem = format!("\"{}\" is no interval", raw.interval);
                wrong("interval", problem, "write it as \"60s\", \"5m\" or \"1h\"; from 1 s to a day")
            })?;
        let place = match &raw.url {
            Some(url) => {
                let url = web_address(url, raw.allow_internal || raw.insecure)
                    .map_err(|(problem, remedy)| wrong("url", problem, &remedy))?;
                let ca_file = raw.ca_file.map(|path| file.parent().unwrap_or(Path::new("")).join(path));
                let trust = Trust::new(ca_file.as_deref())
                    .map_err(|problem| wrong("ca_file", problem, "name a file with certificates in PEM"))?;
                Some(Place { url, allow_internal: raw.allow_internal, trust: Arc::new(trust) })
            }
            None => None,
        };
        Ok(Self { place, interval: Duration::from_millis(interval) })
    }

    /// Until the ingest stops.
    pub(crate) async fn run(
        self,
        core: mpsc::Sender<Event>,
        shown: Arc<Shown>,
        clock: Clock,
        stopping: Shutdown,
    ) {
        let mut pulse = Pulse { core, shown, clock, interval: self.interval };
        loop {
            if pulse.is_well().await {
                pulse.shown.heartbeat_unix_ms.store(clock.unix_ms(), Ordering::Relaxed);
                if let Some(place) = &self.place {
                    call(place).await;
                }
            } else {
                tracing::error!("the ingest is not well: its heartbeat is left out");
            }
            tokio::select! {
                () = stopping.wait() => return,
                () = sleep(self.interval) => {}
            }
        }
    }
}

async fn call(place: &Place) {
    let body = br#"{"type":"heartbeat"}"#;
    match place.post(&[], body, Limits::default()).await {
        Ok(answer) if answer.status.is_success() => {}
        Ok(answer) => {
            tracing::warn!(to = place.shown(), status = %answer.status, "the heartbeat was not taken")
        }
        Err(error) => tracing::warn!(to = place.shown(), %error, "the heartbeat did not arrive"),
    }
}

struct Pulse {
    core: mpsc::Sender<Event>,
    shown: Arc<Shown>,
    clock: Clock,
    interval: Duration,
}

impl Pulse {
    /// Asks the core for a sign, and looks at the commits.
    async fn is_well(&mut self) -> bool {
        let before = self.shown.turns.load(Ordering::Acquire);
        let Ok(sent) = tokio::time::timeout(self.interval, self.core.send(Event::Wakeup)).await else {
            return false;
        };
        if sent.is_err() {
            return false;
        }
        // The core's thread has no way to tell a task that it has come by; it is looked for in short steps.
        let began_ms = self.clock.now_ms();
        while self.shown.turns.load(Ordering::Acquire) == before {
            if u128::from(self.clock.now_ms().saturating_sub(began_ms)) >= self.interval.as_millis() {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let commit_began = self.shown.commit_began_ms.load(Ordering::Acquire);
        let takes_ms = if commit_began == 0 { 0 } else { self.clock.now_ms().saturating_sub(commit_began) };
        u128::from(takes_ms) < self.interval.as_millis() && !self.shown.commit_failed.load(Ordering::Acquire)
    }
}

/// `60s`, `5m`, `1h`
fn duration_ms(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let factor = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        _ => return None,
    };
    text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(factor)
}
