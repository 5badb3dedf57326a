//! A gateway whose queue is younger than it was: its disk was set back to an older copy or replaced by an empty one, or a copy of it runs
//! beside it. What only the newer queue held is then nowhere else, and of boots that nobody speaks of again no account would show it.
//!
//! A queue counts its commits, and each process says by which commit it opened it ([`QueueAge`]): above all that a process before
//! it said. A process that is new here and opened the queue at or below what was heard already has another one.
//! A broker may bring what an ended process said (it was restarted, and has an old state): that process is known, and proves nothing.
//!
//! Who lies about the age of a queue is not found out by it.

use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    BootId, DeviceId,
    status::{GatewayStatus, QueueAge},
    topic::GatewayPath,
};

use super::{Core, system::GATEWAY_SET_BACK};

/// Processes whose words a broker may bring again.
const MAX_PROCESSES: usize = 8;

/// What a gateway's processes said of its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueHistory {
    /// The present one last.
    epochs: Vec<u64>,
    /// The most commits that the present one said.
    commits: u64,
    pub set_back: Option<SetBack>,
}

/// That it was seen, and the last time that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBack {
    pub times: u32,
    pub last_unix_ms: i64,
    /// What the queue had, and what it had when it was opened after that.
    pub had_commits: u64,
    pub has_commits: u64,
}

impl QueueHistory {
    /// Says whether the queue is younger than it was.
    fn told(&mut self, epoch: u64, age: QueueAge, is_online: bool, unix_ms: i64) -> bool {
        if self.epochs.last() == Some(&epoch) {
            self.commits = self.commits.max(age.commits);
            return false;
        }
        // Somebody who is gone or was here before: it may come late, and out of order.
        if !is_online || self.epochs.contains(&epoch) {
            return false;
        }
        let is_set_back = age.opened <= self.commits;
        if is_set_back {
            let times = self.set_back.map_or(0, |before| before.times).saturating_add(1);
            let (had_commits, has_commits) = (self.commits, age.opened);
            self.set_back = Some(SetBack { times, last_unix_ms: unix_ms, had_commits, has_commits });
        }
        if self.epochs.len() >= MAX_PROCESSES {
            self.epochs.remove(0);
        }
        self.epochs.push(epoch);
        self.commits = age.commits.max(age.opened);
        is_set_back
    }

    /// Whether it was set back once more since then.
    pub(super) fn has_news_since(&self, committed: Option<&Self>) -> bool {
        let times = |history: &Self| history.set_back.map_or(0, |set_back| set_back.times);
        times(self) > committed.map_or(0, times)
    }
}

impl Core {
    /// Says whether its record changed.
    pub(super) fn queue_told(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        status: &GatewayStatus,
        unix_ms: i64,
    ) -> bool {
        let epoch = u64::from_str_radix(&status.epoch, 16);
        let (Some(age), Ok(epoch), Some(gateway)) = (status.queue, epoch, self.gateways.get_mut(&from))
        else {
            return false;
        };
        let before = gateway.record.queue.clone();
        let is_set_back = gateway.record.queue.told(epoch, age, status.online, unix_ms);
        let is_news = gateway.record.queue != before;
        if is_set_back {
            self.tell_set_back(now_ms, from);
        }
        is_news
    }

    pub(super) fn tell_set_back(&mut self, now_ms: u64, path: GatewayPath) {
        let record = self.gateways.get(&path).map(|gateway| &gateway.record);
        let Some(set_back) = record.and_then(|record| record.queue.set_back) else { return };
        let Ok(device) = DeviceId::new(path.gateway.as_str()) else { return };
        let SetBack { last_unix_ms: unix_ms, had_commits, has_commits, .. } = set_back;
        let message = format!(
            "gateway {} was set back: its queue had {had_commits} commits and was opened as one of {has_commits}. An older copy of its \
             disk or an empty one took its place, or a copy runs; readings that only the newer queue held are nowhere else, see \
             tidegate audit",
            path.gateway
        );
        tracing::error!(site = %path.site, "{message}");
        self.raise_trouble(now_ms, GATEWAY_SET_BACK, path.site, device, BootId(0), unix_ms, message);
    }
}
