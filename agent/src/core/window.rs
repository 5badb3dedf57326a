//! How much may be on its way at once, by what it does to the round trip.
//!
//! A link that is filled beyond its rate answers later, and what is sent after waits as long. So a window grows while
//! it is used up and the extra delay stays below a target, and shrinks when the delay passes it (the idea of LEDBAT,
//! RFC 6817). In-flight bytes are then about the target's worth of the link's rate, whatever that rate is.

use super::time::Time;

/// A window that is used up doubles with each round trip, so a small start costs a fast link little; a large one would be
/// seconds of a slow link.
const INITIAL_BYTES: u64 = 2 * 1024;
/// Less than a block, of which one always fits: on the slowest links blocks go one by one.
const MIN_BYTES: u64 = 1_024;
/// The shortest round trip is looked for over this long, so that a route that got longer is believed in time. Then
/// the link is let run empty for a moment, or our own queue in it would pass for the route.
const MIN_RTT_SPAN_US: u64 = 10_000_000;

/// Before anything was answered.
const INITIAL_RTT_US: u64 = 2_000_000;
/// Longer round trips are of a cloud that was away.
const MAX_RTT_US: u64 = 10_000_000;
/// Commits take their time now and then, and make no block lost.
const LEAST_MARGIN_US: u64 = 100_000;
const LEAST_PATIENCE_US: u64 = 500_000;
const MOST_PATIENCE_US: u64 = 1_000_000;
/// A silence that one probe did not break.
const LEAST_OUTAGE_US: u64 = 2_000_000;

/// Round trips from a block's transmission to its durable acknowledgement.
#[derive(Debug, Default)]
pub struct RoundTrip {
    smoothed_us: Option<u64>,
    /// How far round trips are from that, on average.
    variation_us: u64,
    latest_us: u64,
    /// The minima of the current and of the past span.
    minima: [Option<u64>; 2],
    span_since: Time,
}

impl RoundTrip {
    /// True when a new span begins.
    pub fn sample(&mut self, now: Time, rtt_us: u64) -> bool {
        // An answer that the cloud owed from before it was away says nothing of the route.
        let likely_us = rtt_us.min(MAX_RTT_US);
        self.latest_us = likely_us;
        // RFC 6298, section 2.
        (self.smoothed_us, self.variation_us) = match self.smoothed_us {
            None => (Some(likely_us), likely_us / 2),
            Some(before) => {
                let variation_us = (self.variation_us * 3 + before.abs_diff(likely_us)) / 4;
                (Some((before * 7 + likely_us) / 8), variation_us)
            }
        };
        let new_span = now.us_since(self.span_since) > MIN_RTT_SPAN_US;
        if new_span {
            self.minima = [None, self.minima[0]];
            self.span_since = now;
        }
        self.minima[0] = Some(self.minima[0].map_or(rtt_us, |least| least.min(rtt_us)));
        new_span
    }

    pub const fn smoothed_us(&self) -> Option<u64> {
        self.smoothed_us
    }

    pub fn least_us(&self) -> u64 {
        self.minima.iter().flatten().copied().min().unwrap_or_default()
    }

    /// What a round trip may take: one that takes longer is as good as lost, if later ones were made meanwhile.
    pub fn at_most_us(&self) -> u64 {
        let usual_us = self.smoothed_us.unwrap_or(INITIAL_RTT_US) + self.variation_us * 4;
        usual_us.max(self.latest_us * 9 / 8).max(LEAST_MARGIN_US)
    }

    /// How long nothing at all may be answered before that is silence. Hiccups make nobody wait longer than a second, only a
    /// route that never was shorter does.
    pub fn patience_us(&self) -> u64 {
        if self.smoothed_us.is_none() {
            return INITIAL_RTT_US;
        }
        let most_us = MOST_PATIENCE_US.max(self.least_us().min(MAX_RTT_US) * 2);
        self.at_most_us().clamp(LEAST_PATIENCE_US, most_us)
    }

    /// How long a silence may last before the cloud is taken to be away.
    pub fn outage_us(&self) -> u64 {
        self.patience_us().max(LEAST_OUTAGE_US)
    }
}

#[derive(Debug)]
pub struct Window {
    bytes: u64,
    max_bytes: u64,
    cut_at: Time,
    /// It held something back since the last acknowledgement; otherwise growth would mean nothing.
    used_up: bool,
    /// The link runs empty until then; after that the window is this again.
    pause: Option<(Time, u64)>,
}

impl Window {
    pub fn new(max_bytes: u64) -> Self {
        Self {
            bytes: INITIAL_BYTES.min(max_bytes),
            max_bytes,
            cut_at: Time::default(),
            used_up: false,
            pause: None,
        }
    }

    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One block always fits, so that a small window is slow, never stuck.
    pub fn fits(&mut self, in_flight: u64, len: u64) -> bool {
        let fits = in_flight == 0 || in_flight.saturating_add(len) <= self.bytes;
        self.used_up |= !fits;
        fits
    }

    /// Lets what is in the link run out, so that the next round trips are the route's alone.
    pub fn run_empty(&mut self, now: Time, rtt_us: u64) {
        if self.pause.is_none() {
            self.pause = Some((now.plus_us(rtt_us * 2), self.bytes));
            self.bytes = MIN_BYTES;
        }
    }

    pub fn acked(&mut self, now: Time, len: u64, rtt_us: u64, least_us: u64, target_us: u64) {
        match self.pause {
            Some((until, bytes)) if now >= until => {
                self.bytes = bytes;
                self.pause = None;
            }
            Some(_) => return,
            None => {}
        }
        let extra_us = rtt_us.saturating_sub(least_us);
        if extra_us > target_us {
            // Far beyond the target, small steps would take many of these long round trips.
            let share = (target_us * 10 / extra_us).clamp(2, 7);
            self.cut_to(now, rtt_us, share);
            return;
        }
        // What is added waits in the link too: on a slow one a single block more is much.
        let grown = self.bytes.saturating_add(len).min(self.max_bytes);
        let foreseen_us = u128::from(extra_us) * u128::from(grown) / u128::from(self.bytes.max(1));
        if std::mem::take(&mut self.used_up) && foreseen_us <= u128::from(target_us) {
            self.bytes = grown;
        }
    }

    /// At most once a round trip, since that is how long a cut takes to show.
    pub fn cut(&mut self, now: Time, rtt_us: u64) {
        self.cut_to(now, rtt_us, 7);
    }

    fn cut_to(&mut self, now: Time, rtt_us: u64, tenths: u64) {
        if now.us_since(self.cut_at) > rtt_us {
            self.bytes = (self.bytes * tenths / 10).max(MIN_BYTES);
            self.cut_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET_US: u64 = 250_000;

    /// A link of a fixed rate and propagation time, always used up; what is in flight in the end.
    fn settled(bytes_per_s: u64, propagation_us: u64) -> u64 {
        const BLOCK: u64 = 2_000;
        let (mut window, mut rtt) = (Window::new(4 << 20), RoundTrip::default());
        let (mut now, mut in_flight) = (0_u64, std::collections::VecDeque::new());
        let mut link_free_at = 0;
        for _ in 0..25_000 {
            while window.fits(in_flight.len() as u64 * BLOCK, BLOCK) {
                link_free_at = now.max(link_free_at) + BLOCK * 1_000_000 / bytes_per_s;
                in_flight.push_back((now, link_free_at + propagation_us));
            }
            let Some((sent, acked)) = in_flight.pop_front() else { break };
            now = now.max(acked);
            if rtt.sample(Time(now), now - sent) {
                window.run_empty(Time(now), now - sent);
            }
            window.acked(Time(now), BLOCK, now - sent, rtt.least_us(), TARGET_US);
        }
        window.pause.map_or(window.bytes, |(_, before)| before)
    }

    #[test]
    fn what_is_in_flight_follows_the_links_rate() {
        for (bytes_per_s, propagation_us) in [(20_000, 50_000), (200_000, 50_000), (2_000_000, 5_000)] {
            let delay_us = settled(bytes_per_s, propagation_us) * 1_000_000 / bytes_per_s;
            assert!(delay_us < 3 * TARGET_US + propagation_us, "{bytes_per_s} B/s: {delay_us} µs in flight");
            assert!(delay_us > propagation_us, "{bytes_per_s} B/s: {delay_us} µs do not fill the link");
        }
    }

    #[test]
    fn a_window_that_is_not_used_up_does_not_grow() {
        let mut window = Window::new(1 << 20);
        let before = window.bytes();
        for at in 0..100 {
            window.acked(Time(at), 5_000, 1_000, 1_000, TARGET_US);
        }
        assert_eq!(window.bytes(), before);
    }
}
