//! What a metered link may carry: bytes a second and bytes a day, for each lane by itself.
//!
//! The rate is a bucket that refills up to a second's worth and may go into debt by one block: over any stretch of time a
//! lane sends at most its rate, plus one second of it, plus one block. The day's budget is kept exactly, but for a
//! budget that is smaller than one block: that block goes, and then nothing.
//!
//! A day is one of UTC by the gateway's clock, and clocks jump. A clock that was never set does not say what day it is: then
//! a day lasts 24 hours of running time. A clock that is set back takes no budget away and gives none: the day it
//! shows goes on with what was sent, and ends no sooner than that much running time later. So no clock gives more than two
//! budgets in 24 hours of running time, and none holds a lane for longer than that.
//!
//! What was sent today is saved with any batch, and by one of its own after each [`SAVED_PARTS`]th of a budget: a killed
//! process forgets at most so much of it. How long the day has run is saved with it, at least each hour: a gateway without
//! a clock that restarts more often than once a day has days all the same.

use tidegate_protocol::{ClockQuality, topic::Lane};

use super::time::{Now, Time};

/// What MQTT, TCP and IP add to a block, roughly. Acknowledgements and keep-alives are not counted.
pub const PUBLISH_OVERHEAD_BYTES: u64 = 128;
const DAY_MS: i64 = 86_400_000;
const SAVED_PARTS: u64 = 64;
const RUN_SAVED_MS: u64 = 3_600_000;

/// How fast one lane may send, and how much in a day; without a figure, as the link allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCap {
    pub bytes_per_s: Option<u64>,
    pub bytes_per_day: Option<u64>,
}

/// By lane, in the order of [`Lane::ALL`].
pub type LaneCaps = [LaneCap; 4];

/// What each lane sent in the day under way; survives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SentToday {
    /// Days since 1970, as the gateway's clock counts them.
    pub day: i64,
    pub bytes: [u64; 4],
    /// How long the day has run, in all processes.
    pub ran_ms: u64,
}

/// A rate in bytes a second, and millionths of bytes that may go.
#[derive(Debug)]
struct Bucket {
    rate: i64,
    balance: i64,
    since: Time,
}

impl Bucket {
    fn new(bytes_per_s: u64, now: Time) -> Self {
        // Beyond this no link goes, and the sums below cannot overflow.
        let rate = bytes_per_s.clamp(1, 1 << 40) as i64;
        Self { rate, balance: Self::full(rate), since: now }
    }

    const fn full(rate: i64) -> i64 {
        rate.saturating_mul(1_000_000)
    }

    fn balance_at(&self, now: Time) -> i64 {
        let elapsed = i64::try_from(now.us_since(self.since)).unwrap_or(i64::MAX);
        self.balance.saturating_add(elapsed.saturating_mul(self.rate)).min(Self::full(self.rate))
    }

    fn spend(&mut self, now: Time, bytes: u64) {
        let spent = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        self.balance = self.balance_at(now).saturating_sub(spent);
        self.since = now;
    }

    /// When there is something to spend again.
    fn opens_at(&self) -> Time {
        let debt = self.balance.saturating_neg().max(0);
        self.since.plus_us((debt / self.rate) as u64 + 1)
    }
}

/// Counts what the lanes send against their caps.
#[derive(Debug)]
pub struct Meters {
    caps: LaneCaps,
    buckets: [Option<Bucket>; 4],
    today: SentToday,
    saved: SentToday,
    /// When the day under way began in this process, how long it had run in those before, and before when no new one
    /// may begin.
    day_began: Time,
    ran_before_ms: u64,
    not_before: Time,
}

const fn index(lane: Lane) -> usize {
    lane as usize
}

impl Meters {
    pub fn new(caps: LaneCaps, recovered: Option<SentToday>, now: Now) -> Self {
        let today = recovered.unwrap_or(SentToday { day: day_of(now.unix_ms), ..SentToday::default() });
        Self {
            caps,
            buckets: caps.map(|cap| cap.bytes_per_s.map(|rate| Bucket::new(rate, now.at))),
            today,
            saved: today,
            day_began: now.at,
            ran_before_ms: today.ran_ms,
            not_before: now.at,
        }
    }

    /// Follows the clock from day to day.
    pub fn clock(&mut self, now: Now, quality: ClockQuality) {
        let day = day_of(now.unix_ms);
        self.today.ran_ms = self.ran_before_ms.saturating_add(now.at.us_since(self.day_began) / 1_000);
        let a_day_of_running = self.today.ran_ms >= DAY_MS as u64;
        let shown = quality != ClockQuality::Unsynced;
        if a_day_of_running || (shown && day > self.today.day && now.at >= self.not_before) {
            self.today = SentToday { day: if shown { day } else { self.today.day }, ..SentToday::default() };
            self.day_began = now.at;
            self.ran_before_ms = 0;
            self.not_before = now.at;
        } else if shown && day < self.today.day {
            self.today.day = day;
            let rest_ms = DAY_MS - now.unix_ms.rem_euclid(DAY_MS);
            self.not_before = now.at.plus_ms(rest_ms as u64);
        }
    }

    /// Whether the lane may send a block of this length now.
    pub fn allows(&self, now: Time, lane: Lane, len: u64) -> bool {
        let rate = self.buckets[index(lane)].as_ref().is_none_or(|bucket| bucket.balance_at(now) > 0);
        rate && self.day_allows(lane, len)
    }

    fn day_allows(&self, lane: Lane, len: u64) -> bool {
        let sent = self.today.bytes[index(lane)];
        let after = sent.saturating_add(len).saturating_add(PUBLISH_OVERHEAD_BYTES);
        self.caps[index(lane)].bytes_per_day.is_none_or(|budget| sent == 0 || after <= budget)
    }

    pub fn spend(&mut self, now: Time, lane: Lane, len: u64) {
        let bytes = len.saturating_add(PUBLISH_OVERHEAD_BYTES);
        if let Some(bucket) = &mut self.buckets[index(lane)] {
            bucket.spend(now, bytes);
        }
        let sent = &mut self.today.bytes[index(lane)];
        *sent = sent.saturating_add(bytes);
    }

    /// When the lane's rate lets it go on.
    pub fn opens_at(&self, lane: Lane) -> Option<Time> {
        self.buckets[index(lane)].as_ref().map(Bucket::opens_at)
    }

    /// The day's budget of the lane is used up, as far as a block of this length goes.
    pub fn is_spent(&self, lane: Lane, len: u64) -> bool {
        !self.day_allows(lane, len)
    }

    pub const fn cap(&self, lane: Lane) -> LaneCap {
        self.caps[lane as usize]
    }

    pub const fn sent_today(&self, lane: Lane) -> u64 {
        self.today.bytes[lane as usize]
    }

    /// Enough was sent since the last save that it deserves a batch of its own.
    pub fn must_be_saved(&self) -> bool {
        let ran_ms = self.today.ran_ms.saturating_sub(self.saved.ran_ms);
        let long = ran_ms >= RUN_SAVED_MS && self.today.bytes != [0; 4];
        Lane::ALL.into_iter().any(|lane| {
            let (sent, saved) = (self.today.bytes[index(lane)], self.saved.bytes[index(lane)]);
            let unsaved = if self.today.day == self.saved.day { sent.saturating_sub(saved) } else { sent };
            let budget = self.caps[index(lane)].bytes_per_day;
            budget.is_some_and(|budget| unsaved > budget / SAVED_PARTS || long)
        })
    }

    pub fn is_saved(&self) -> bool {
        self.today == self.saved || self.caps.iter().all(|cap| cap.bytes_per_day.is_none())
    }

    /// What the next batch is to hold; none when nothing is new.
    pub fn save(&mut self) -> Option<SentToday> {
        let unsaved = !self.is_saved();
        self.saved = self.today;
        unsaved.then_some(self.today)
    }

    /// The batch was not written.
    pub fn not_saved(&mut self) {
        self.saved = SentToday { day: i64::MIN, ..SentToday::default() };
    }
}

const fn day_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    /// Ten in the morning of some day in 2027.
    const MORNING: i64 = 20_833 * DAY_MS + 10 * HOUR_MS as i64;

    fn meters(bytes_per_s: Option<u64>, bytes_per_day: Option<u64>) -> Meters {
        let mut caps = LaneCaps::default();
        caps[index(Lane::Live)] = LaneCap { bytes_per_s, bytes_per_day };
        Meters::new(caps, None, at(0, MORNING))
    }

    fn at(hours: u64, unix_ms: i64) -> Now {
        Now { at: Time::from_ms(hours * HOUR_MS), unix_ms }
    }

    #[test]
    fn over_any_time_a_lane_sends_its_rate_and_a_block() {
        let mut meters = meters(Some(1_000), None);
        let (mut now, mut sent) = (Time(0), 0);
        while now.0 < 60_000_000 {
            if meters.allows(now, Lane::Live, 700) {
                meters.spend(now, Lane::Live, 700);
                sent += 700 + PUBLISH_OVERHEAD_BYTES;
            } else {
                let opens = meters.opens_at(Lane::Live).unwrap();
                assert!(opens > now && !meters.allows(Time(opens.0 - 2), Lane::Live, 700));
                now = opens;
            }
        }
        assert!((59_000..=62_000).contains(&sent), "{sent} bytes in a minute at 1,000 B/s");
        assert!(meters.allows(now, Lane::Backlog, 1 << 20), "each lane for itself");
    }

    #[test]
    fn the_day_ends_at_midnight_and_a_block_beyond_any_budget_goes_alone() {
        let mut meters = meters(None, Some(10_000));
        assert!(meters.allows(Time(0), Lane::Live, 50_000), "or it would never go");
        meters.spend(Time(0), Lane::Live, 9_000);
        assert!(meters.allows(Time(0), Lane::Live, 700) && !meters.allows(Time(0), Lane::Live, 1_000));
        meters.clock(at(13, MORNING + 13 * HOUR_MS as i64), ClockQuality::Synced);
        assert!(meters.is_spent(Lane::Live, 1_000), "23 o'clock");
        meters.clock(at(14, MORNING + 14 * HOUR_MS as i64), ClockQuality::Synced);
        assert_eq!(meters.sent_today(Lane::Live), 0);
    }

    #[test]
    fn a_clock_that_swings_gives_no_budget_and_takes_none() {
        let mut meters = meters(None, Some(10_000));
        let tomorrow = MORNING + DAY_MS;
        meters.spend(Time(0), Lane::Live, 9_000);
        let spent = meters.sent_today(Lane::Live);
        meters.clock(at(0, MORNING - 400 * DAY_MS), ClockQuality::Synced);
        for _ in 0..10 {
            meters.clock(at(1, tomorrow), ClockQuality::Synced);
            meters.clock(at(1, MORNING), ClockQuality::Synced);
        }
        assert_eq!(meters.sent_today(Lane::Live), spent);
        // It showed ten in the morning when it was set back.
        meters.clock(at(13, tomorrow), ClockQuality::Synced);
        assert_eq!(meters.sent_today(Lane::Live), spent);
        meters.clock(at(14, tomorrow), ClockQuality::Synced);
        assert_eq!(meters.sent_today(Lane::Live), 0, "a day ends");
    }

    #[test]
    fn a_clock_that_was_in_the_future_holds_nothing_for_longer_than_a_day() {
        let mut meters = meters(None, Some(10_000));
        meters.clock(at(0, MORNING + 9_000 * DAY_MS), ClockQuality::Estimated);
        meters.spend(Time(0), Lane::Live, 9_000);
        meters.clock(at(1, MORNING), ClockQuality::Synced);
        assert!(meters.is_spent(Lane::Live, 5_000));
        meters.clock(at(15, MORNING + DAY_MS), ClockQuality::Synced);
        assert_eq!(meters.sent_today(Lane::Live), 0);
    }

    #[test]
    fn without_a_clock_a_day_is_24_hours_of_running() {
        let mut caps = LaneCaps::default();
        caps[index(Lane::Live)].bytes_per_day = Some(10_000);
        let before = SentToday { day: 20_833, bytes: [0, 9_000, 0, 0], ran_ms: 0 };
        let mut meters = Meters::new(caps, Some(before), at(0, 5_000));
        meters.clock(at(23, 23 * HOUR_MS as i64), ClockQuality::Unsynced);
        assert_eq!(meters.sent_today(Lane::Live), 9_000, "what the last run sent counts");
        meters.clock(at(23, MORNING), ClockQuality::Synced);
        assert_eq!(meters.sent_today(Lane::Live), 9_000, "the same day, as it turns out");
        meters.clock(at(24, 5_000), ClockQuality::Unsynced);
        assert_eq!(meters.sent_today(Lane::Live), 0);
    }

    #[test]
    fn without_a_clock_a_day_goes_on_over_restarts() {
        let mut caps = LaneCaps::default();
        caps[index(Lane::Live)].bytes_per_day = Some(10_000);
        let mut saved = SentToday { day: 0, bytes: [0, 9_000, 0, 0], ran_ms: 0 };
        for run in 1..=4 {
            let mut meters = Meters::new(caps, Some(saved), at(0, 5_000));
            meters.clock(at(6, 5_000), ClockQuality::Unsynced);
            assert_eq!(
                meters.sent_today(Lane::Live),
                if run < 4 { 9_000 } else { 0 },
                "run {run} of 6 hours"
            );
            assert!(run == 4 || meters.must_be_saved());
            saved = meters.save().unwrap();
        }
    }

    #[test]
    fn what_was_sent_is_saved_now_and_then_and_again_after_a_failure() {
        let mut meters = meters(None, Some(64_000));
        assert_eq!(meters.save(), None);
        meters.spend(Time(0), Lane::Live, 500);
        assert!(!meters.must_be_saved());
        meters.spend(Time(0), Lane::Live, 500);
        assert!(meters.must_be_saved());
        let saved = meters.save().unwrap();
        assert_eq!(saved.bytes[1], 1_000 + 2 * PUBLISH_OVERHEAD_BYTES);
        assert!(!meters.must_be_saved() && meters.save().is_none());
        meters.not_saved();
        assert!(meters.must_be_saved());
        assert_eq!(meters.save(), Some(saved));
    }
}
