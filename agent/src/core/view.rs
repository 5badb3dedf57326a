//! Figures for people: counters, and what is held right now.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_protocol::{
    ClockQuality, LossReason,
    frame::{BoardCounters, FrameError},
    topic::Lane,
};

use super::{Admit, BacklogOrder, Core, PendingDevice, Policy, Rates, RulesView, Time};

/// What happened since the process started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    pub readings_received: u64,
    pub readings_duplicate: u64,
    /// Had from an earlier link, and sent once more so that the cloud compares them.
    pub readings_again: u64,
    /// Not what came before under the same numbers: two boards have one identity.
    pub readings_differing: u64,
    /// Became safe: committed here, or acknowledged by the cloud.
    pub readings_safe: u64,
    pub readings_acked: u64,
    pub readings_committed: u64,
    pub block_bytes_committed: u64,
    /// Blocks that went ahead because a rule raised or cleared in them.
    pub alarm_blocks: u64,
    pub blocks_acked: u64,
    pub blocks_rejected: u64,
    /// The cloud cannot read their version of the wire; they are sent until it can.
    pub blocks_unsupported: u64,
    pub blocks_quarantined: u64,
    pub blocks_damaged: u64,
    /// Answers to blocks that are not known any more: late or from before a reconnection.
    pub acks_unknown: u64,
    pub incarnations: u64,
    pub commits: u64,
    pub commits_failed: u64,
    /// Frames not taken because they would tear too many holes; boards send them again.
    pub frames_refused: u64,
    /// Of another boot than the one the link speaks for.
    pub frames_misaddressed: u64,
    pub origins_refused: u64,
    /// Hellos that were answered with another boot, since theirs was beyond that or is of two boards.
    pub hellos_gone_back: u64,
    /// Hellos and Calls that were not answered with a welcome, by why.
    pub hellos_held: BTreeMap<&'static str, u64>,
    pub local_samples_skipped: u64,
    /// Active here and not kept: there are too many that are no less urgent.
    pub local_alarms_refused: u64,
    /// How often the wall clock was set while this process ran.
    pub clock_steps: u64,
    pub bad_frames: BTreeMap<&'static str, u64>,
    /// What boards say went wrong on their side.
    pub board_troubles: BTreeMap<&'static str, u64>,
    pub losses: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(super) fn bad_frame(&mut self, error: FrameError) {
        let kind = match error {
            FrameError::TooLong => "too-long",
            FrameError::Stuffing => "stuffing",
            FrameError::Checksum => "checksum",
            FrameError::Version(_) => "version",
            FrameError::Body => "body",
            FrameError::Channels => "channels",
            FrameError::UnknownChannel(_) => "unknown-channel",
            FrameError::Clear => "in-clear",
            FrameError::NoSession => "no-session",
            FrameError::Tag => "tag",
            FrameError::Replayed => "replayed",
        };
        *self.bad_frames.entry(kind).or_default() += 1;
    }

    pub(super) fn hello_held(&mut self, why: &'static str) {
        *self.hellos_held.entry(why).or_default() += 1;
    }

    /// What a board counted between two heartbeats.
    pub(super) fn board_troubles(&mut self, before: BoardCounters, now: BoardCounters) {
        let kinds = [
            ("bad-frames", before.bad_frames, now.bad_frames),
            ("repeated", before.repeated, now.repeated),
            ("refused-acks", before.refused_acks, now.refused_acks),
            ("links-lost", before.links_lost, now.links_lost),
        ];
        for (kind, before, now) in kinds.into_iter().filter(|(_, before, now)| before != now) {
            *self.board_troubles.entry(kind).or_default() += u64::from(now.wrapping_sub(before));
        }
    }

    pub(super) fn lost(&mut self, reason: LossReason, count: u64) {
        // A board may declare any range: the sum must not overflow.
        let lost = self.losses.entry(reason.name()).or_default();
        *lost = lost.saturating_add(count);
    }
}

/// The core as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    pub uplink_up: bool,
    /// The link is down, or nobody answers.
    pub outage: bool,
    pub queue: QueueView,
    /// The last hour's.
    pub rates: Rates,
    pub ram: RamView,
    pub link: LinkView,
    pub clock: ClockView,
    /// The alarm rules that are in force here.
    pub rules: RulesView,
    /// How many alarms are active here, by priority.
    pub local_alarms: BTreeMap<&'static str, u64>,
    pub counters: Counters,
    pub admission: AdmissionView,
    /// Boards that are held.
    pub pending: Vec<PendingDevice>,
    pub devices: Vec<DeviceView>,
}

/// Which boards are welcomed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AdmissionView {
    /// Of those that are not on the list of devices.
    pub admit: Admit,
    /// How many are on it.
    pub listed: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct QueueView {
    pub blocks: u64,
    pub readings: u64,
    pub bytes: u64,
    pub quota_bytes: u64,
    pub policy: Policy,
    /// At the quota: readings are not committed until there is room.
    pub refusing: bool,
    pub commit_failures_in_a_row: u32,
    /// What the disk is known to take, when that is less than the quota.
    pub disk_takes_bytes: Option<u64>,
    /// The disk failed in a write: nothing is committed until the agent is started again.
    pub poisoned: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct RamView {
    pub readings_waiting: u64,
    pub records_waiting: u64,
    pub block_bytes: u64,
    pub limit_bytes: u64,
    /// Memory is at its bound and boards are not read.
    pub full: bool,
}

/// How far the gateway's wall clock is trusted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClockView {
    pub quality: ClockQuality,
    /// None while it was never set.
    pub error_ms: Option<u32>,
}

/// One lane, and what its cap leaves.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LaneView {
    pub lane: &'static str,
    pub block_bytes_sent: u64,
    pub bytes_per_s: Option<u64>,
    pub bytes_per_day: Option<u64>,
    /// Counted against the day's budget, with what MQTT and TCP add.
    pub bytes_today: u64,
    /// Nothing more goes today.
    pub spent: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct LinkView {
    pub round_trip_us: Option<u64>,
    pub credit_bytes: u32,
    pub blocks_in_flight: u64,
    pub live_in_flight_bytes: u64,
    pub backlog_in_flight_bytes: u64,
    pub live_window_bytes: u64,
    pub backlog_window_bytes: u64,
    pub blocks_sent: u64,
    pub block_bytes_sent: u64,
    pub blocks_resent: u64,
    /// Committed blocks that wait for the link.
    pub backlog_blocks: u64,
    pub backlog_order: BacklogOrder,
    pub lanes: [LaneView; 4],
}

#[derive(Clone, Debug, Serialize)]
pub struct DeviceView {
    pub device: String,
    pub boot: String,
    pub tag: String,
    pub firmware: String,
    pub channels: usize,
    pub connected: bool,
    pub local: bool,
    pub floor: u64,
    pub next: u64,
    /// The end of the safe run from the floor: what the board may forget.
    pub safe: u64,
    pub acknowledged: u64,
    pub described: bool,
    pub closed: bool,
    /// What the board counted of its link since its boot.
    pub board: BoardCounters,
}

impl Core {
    pub fn view(&self, at: Time) -> View {
        let totals = self.custodian.totals;
        let mut devices: Vec<DeviceView> = self
            .origins
            .iter()
            .map(|(_, state)| DeviceView {
                device: state.origin().device.to_string(),
                boot: state.boot().to_string(),
                tag: state.description.tag.clone(),
                firmware: state.description.firmware.clone(),
                channels: state.description.channels.len(),
                connected: state.link.is_some() || (state.local_flush_ms.is_some() && !state.closed),
                local: state.local_flush_ms.is_some(),
                floor: state.floor,
                next: state.next,
                safe: state.safe.run_end(state.floor),
                acknowledged: state.acked,
                described: state.described,
                closed: state.closed,
                board: state.troubles,
            })
            .collect();
        devices.sort_by(|a, b| (&a.device, &a.boot).cmp(&(&b.device, &b.boot)));
        View {
            uplink_up: self.outbox.link_is_up(),
            outage: self.outbox.is_outage(at),
            queue: QueueView {
                blocks: totals.blocks,
                readings: totals.readings,
                bytes: totals.bytes,
                quota_bytes: self.settings.quota_bytes,
                policy: self.settings.policy,
                refusing: self.custodian.is_refusing(),
                commit_failures_in_a_row: self.custodian.failures,
                disk_takes_bytes: self.custodian.ceiling.bytes(at),
                poisoned: self.custodian.poisoned,
            },
            rates: self.pace.rates(at),
            ram: RamView {
                readings_waiting: self.packer.readings() as u64,
                records_waiting: self.packer.records() as u64,
                block_bytes: self.outbox.held_bytes(),
                limit_bytes: self.settings.ram_limit_bytes,
                full: !self.takes_frames(),
            },
            link: self.link_view(),
            clock: ClockView {
                quality: self.clock.quality(),
                error_ms: Some(self.clock.error_ms()).filter(|error| *error < u32::MAX),
            },
            rules: self.rules.view(),
            local_alarms: self.local_alarms.by_priority(),
            counters: self.counters.clone(),
            admission: AdmissionView { admit: self.admission.admit(), listed: self.admission.permits() },
            pending: self.admission.pending(),
            devices,
        }
    }

    fn link_view(&self) -> LinkView {
        LinkView {
            round_trip_us: self.outbox.rtt_us(),
            credit_bytes: self.outbox.credit_bytes(),
            blocks_in_flight: self.outbox.in_flight() as u64,
            live_in_flight_bytes: self.outbox.in_flight_bytes(Lane::Live),
            backlog_in_flight_bytes: self.outbox.in_flight_bytes(Lane::Backlog),
            live_window_bytes: self.outbox.window_bytes(Lane::Live),
            backlog_window_bytes: self.outbox.window_bytes(Lane::Backlog),
            blocks_sent: self.outbox.sent,
            block_bytes_sent: self.outbox.sent_bytes.iter().sum(),
            blocks_resent: self.outbox.resent,
            backlog_blocks: self.backlog.blocks(),
            backlog_order: self.settings.backlog_order,
            lanes: Lane::ALL.map(|lane| self.lane_view(lane)),
        }
    }

    fn lane_view(&self, lane: Lane) -> LaneView {
        let cap = self.outbox.meters.cap(lane);
        LaneView {
            lane: lane.name(),
            block_bytes_sent: self.outbox.sent_bytes[lane as usize],
            bytes_per_s: cap.bytes_per_s,
            bytes_per_day: cap.bytes_per_day,
            bytes_today: self.outbox.meters.sent_today(lane),
            spent: self.outbox.is_spent(lane),
        }
    }
}
