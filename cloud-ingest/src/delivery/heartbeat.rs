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
        commits_are_well(&self.shown, self.clock.now_ms(), self.interval)
    }
}

/// The last commit did not fail, and the one that is under way does not take longer than the interval.
fn commits_are_well(shown: &Shown, now_ms: u64, interval: Duration) -> bool {
    let began_ms = shown.commit_began_ms.load(Ordering::Acquire);
    let takes_ms = if began_ms == 0 { 0 } else { now_ms.saturating_sub(began_ms) };
    u128::from(takes_ms) < interval.as_millis() && !shown.commit_failed.load(Ordering::Acquire)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A core that answers or does not; what the commits are like is set by hand.
    fn pulse(answers: bool) -> Pulse {
        let (core, mut asked) = mpsc::channel(1);
        let shown = Arc::new(Shown::default());
        let turns = Arc::clone(&shown);
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                turns.turns.fetch_add(u64::from(answers), Ordering::Release);
            }
        });
        Pulse { core, shown, clock: Clock::start(), interval: Duration::from_millis(200) }
    }

    #[tokio::test]
    async fn an_ingest_is_well_whose_core_answers_and_whose_commits_succeed() {
        assert!(pulse(true).is_well().await);
        assert!(!pulse(false).is_well().await, "its core hangs");
        let mut failing = pulse(true);
        failing.shown.commit_failed.store(true, Ordering::Release);
        assert!(!failing.is_well().await, "its disk is full");
        failing.shown.commit_failed.store(false, Ordering::Release);
        assert!(failing.is_well().await, "there is room again");
    }

    #[test]
    fn a_commit_may_take_its_time_but_not_longer_than_the_interval() {
        let (shown, interval) = (Shown::default(), Duration::from_secs(60));
        assert!(commits_are_well(&shown, u64::MAX, interval), "none is under way");
        shown.commit_began_ms.store(5_000, Ordering::Release);
        assert!(commits_are_well(&shown, 64_999, interval));
        assert!(!commits_are_well(&shown, 65_000, interval));
    }

    #[tokio::test]
    async fn one_whose_core_is_gone_is_not_well() {
        let (core, asked) = mpsc::channel(1);
        drop(asked);
        let interval = Duration::from_millis(200);
        assert!(!Pulse { core, shown: Arc::default(), clock: Clock::start(), interval }.is_well().await);
    }

    #[test]
    fn intervals_are_read_with_their_unit() {
        let cases = [("60s", Some(60_000)), ("5m", Some(300_000)), ("1h", Some(3_600_000))];
        for (text, ms) in cases.into_iter().chain([("60", None), ("s", None), ("1.5s", None), ("", None)]) {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
        let read = |interval: &str, url: Option<&str>| {
            let (interval, url) = (interval.to_owned(), url.map(str::to_owned));
            let raw = HeartbeatSettings { interval, url, ..HeartbeatSettings::default() };
            Heartbeat::from_settings(Path::new("ingest.toml"), raw).map_err(|error| error.to_string())
        };
        assert!(read("1h", Some("https://example.org/ping")).is_ok());
        for (interval, url, says) in [
            ("0s", None, "heartbeat.interval"),
            ("2000h", None, "heartbeat.interval"),
            ("60s", Some("http://example.org"), "insecure"),
            ("60s", Some("example"), "heartbeat.url"),
        ] {
            let said = read(interval, url).map(|_| ()).expect_err(says);
            assert!(said.contains(says), "{said}");
        }
    }
}
