//! Whether what comes on a line is frames at all. Bytes without any are, as a rule, bytes at another baud rate.

use crate::core::Time;

/// How long nothing may come. Boards speak every few seconds.
const SILENCE_US: u64 = 60_000_000;
/// How long bytes may come without a frame.
const PATIENCE_US: u64 = 10_000_000;
/// Fewer are the rest of a frame whose board was reset.
const LEAST_BYTES: u64 = 16;

/// Each is said once, until frames come again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Silence { seconds: u64 },
    Noise { bytes: u64, seconds: u64 },
    FramesAgain,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Silence,
    /// Silence after noise is no news.
    Noise,
}

/// Watches two counts that only grow.
pub(super) struct Hearing {
    frames: u64,
    /// Bytes up to the last frame, as far as that is known.
    bytes: u64,
    /// How many bytes there were, and since when no more came.
    last: (u64, Time),
    /// When bytes were first seen that no frame followed.
    unheard_since: Option<Time>,
    told: Told,
}

impl Hearing {
    pub fn new(now: Time, bytes: u64, frames: u64) -> Self {
        Self { frames, bytes, last: (bytes, now), unheard_since: None, told: Told::Nothing }
    }

    pub fn at(&mut self, now: Time, bytes: u64, frames: u64) -> Option<Verdict> {
        if frames > self.frames {
            let told = self.told;
            *self = Self::new(now, bytes, frames);
            return (told != Told::Nothing).then_some(Verdict::FramesAgain);
        }
        if bytes > self.last.0 {
            self.last = (bytes, now);
        }
        let waited = |since: Time| now.0.saturating_sub(since.0);
        let unheard = bytes.saturating_sub(self.bytes);
        if unheard > 0 {
            let waited = waited(*self.unheard_since.get_or_insert(now));
            if self.told < Told::Noise && unheard >= LEAST_BYTES && waited >= PATIENCE_US {
                self.told = Told::Noise;
                return Some(Verdict::Noise { bytes: unheard, seconds: waited / 1_000_000 });
            }
        }
        let silent = waited(self.last.1);
        if self.told < Told::Silence && silent >= SILENCE_US {
            self.told = Told::Silence;
            return Some(Verdict::Silence { seconds: silent / 1_000_000 });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    #[test]
    fn bytes_without_a_frame_are_told_once_until_frames_come() {
        let mut hearing = Hearing::new(s(0), 1_000, 50);
        assert_eq!(hearing.at(s(0), 1_000, 50), None);
        assert_eq!(hearing.at(s(5), 1_100, 50), None, "noise begins");
        assert_eq!(hearing.at(s(14), 1_700, 50), None);
        assert_eq!(hearing.at(s(15), 1_800, 50), Some(Verdict::Noise { bytes: 800, seconds: 10 }));
        assert_eq!(hearing.at(s(60), 9_000, 50), None, "said once");
        assert_eq!(hearing.at(s(61), 9_100, 51), Some(Verdict::FramesAgain));
        assert_eq!(hearing.at(s(62), 9_200, 52), None);
        assert_eq!(hearing.at(s(63), 9_300, 52), None);
        assert_eq!(hearing.at(s(73), 9_400, 52), Some(Verdict::Noise { bytes: 200, seconds: 10 }));
    }

    #[test]
    fn silence_is_told_and_the_rest_of_a_frame_is_no_noise() {
        let mut hearing = Hearing::new(s(0), 0, 0);
        assert_eq!(hearing.at(s(59), 0, 0), None);
        assert_eq!(hearing.at(s(60), 0, 0), Some(Verdict::Silence { seconds: 60 }));
        assert_eq!(hearing.at(s(500), 0, 0), None, "said once");
        assert_eq!(hearing.at(s(501), 15, 0), None);
        assert_eq!(hearing.at(s(600), 15, 0), None, "said before");
        assert_eq!(hearing.at(s(601), 16, 0), Some(Verdict::Noise { bytes: 16, seconds: 100 }));
        assert_eq!(hearing.at(s(900), 16, 0), None);
        assert_eq!(hearing.at(s(901), 60, 1), Some(Verdict::FramesAgain));
        assert_eq!(hearing.at(s(960), 60, 1), None);
        assert_eq!(hearing.at(s(961), 60, 1), Some(Verdict::Silence { seconds: 60 }));
    }
}
