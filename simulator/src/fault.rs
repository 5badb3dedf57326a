//! What goes wrong with sensors, by script.

use tidegate_protocol::Quality;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Adds this much per second since the fault began.
    Drift { per_s: f64 },
    /// Adds this much.
    Spike { height: f64 },
    /// Repeats the last value from before the fault.
    Stuck,
    /// The sensor does not answer: the last value, quality bad.
    DropOut,
}

/// One fault, once or again and again, in milliseconds of the board's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    pub from_ms: u64,
    pub for_ms: u64,
    /// How often it comes back, counted from start to start; 0 for never.
    pub every_ms: u64,
}

impl Fault {
    pub const fn once(kind: FaultKind, from_ms: u64, for_ms: u64) -> Self {
        Self { kind, from_ms, for_ms, every_ms: 0 }
    }

    /// How long it has been on at `at_ms`; None while it is off.
    fn on_for_ms(&self, at_ms: u64) -> Option<u64> {
        let since = at_ms.checked_sub(self.from_ms)?;
        let since = if self.every_ms == 0 { since } else { since % self.every_ms };
        (since < self.for_ms).then_some(since)
    }
}

/// The faults of one channel, and the last sound value that some of them repeat.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    sound: Option<f64>,
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self { faults, sound: None }
    }

    /// What a faulty sensor says where the truth is `truth`.
    pub fn apply(&mut self, truth: f64, at_ms: u64) -> (f64, Quality) {
        let (mut value, mut quality, mut frozen) = (truth, Quality::Good, false);
        for fault in &self.faults {
            let Some(on_for_ms) = fault.on_for_ms(at_ms) else { continue };
            match fault.kind {
                FaultKind::Drift { per_s } => value += per_s * on_for_ms as f64 / 1_000.0,
                FaultKind::Spike { height } => value += height,
                FaultKind::Stuck => frozen = true,
                FaultKind::DropOut => {
                    frozen = true;
                    quality = Quality::Bad;
                }
            }
        }
        if frozen {
            return (self.sound.unwrap_or(truth), quality);
        }
        self.sound = Some(value);
        (value, quality)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_does_what_it_is_called() {
        let mut faults = Faults::new(vec![
            Fault::once(FaultKind::Drift { per_s: 2.0 }, 1_000, 1_000),
            Fault { every_ms: 10_000, ..Fault::once(FaultKind::Spike { height: 50.0 }, 3_000, 100) },
            Fault::once(FaultKind::Stuck, 4_000, 1_000),
            Fault::once(FaultKind::DropOut, 6_000, 1_000),
        ]);
        let mut at = |ms| faults.apply(ms as f64, ms);
        assert_eq!(at(0), (0.0, Quality::Good));
        assert_eq!(at(1_500), (1_501.0, Quality::Good));
        assert_eq!(at(2_000), (2_000.0, Quality::Good));
        assert_eq!(at(3_050), (3_100.0, Quality::Good));
        assert_eq!(at(4_500), (3_100.0, Quality::Good));
        assert_eq!(at(5_000), (5_000.0, Quality::Good));
        assert_eq!(at(6_500), (5_000.0, Quality::Bad));
        assert_eq!(at(13_000), (13_050.0, Quality::Good));
    }
}
