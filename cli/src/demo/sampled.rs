//! When which reading was measured, so that the way from a sample to its alarm can be timed.
//!
//! Of each device the last [`KEPT`] readings are remembered; an alarm on an older one is not timed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tidegate_protocol::{DeviceId, Reading};

pub const KEPT: usize = 4_096;

/// A device's readings in the order of their seqs.
type Readings = VecDeque<(u64, Instant)>;

#[derive(Clone, Debug, Default)]
pub struct Sampled {
    devices: Arc<Mutex<HashMap<DeviceId, Readings>>>,
}

impl Sampled {
    /// Called by each board as it measures.
    pub fn note(&self, device: &DeviceId, reading: &Reading, now: Instant) {
        let mut devices = self.devices();
        let of_device = devices.entry(*device).or_default();
        if of_device.len() == KEPT {
            of_device.pop_front();
        }
        of_device.push_back((reading.seq.0, now));
    }

    pub fn at(&self, device: &str, seq: u64) -> Option<Instant> {
        let device = DeviceId::new(device).ok()?;
        let devices = self.devices();
        let of_device = devices.get(&device)?;
        let at = of_device.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        of_device.get(at).map(|(_, at)| *at)
    }

    /// A poisoned lock means that a board panicked; what it noted is still right.
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Readings>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{ChannelIndex, Quality, Seq, Tick, Value};

    use super::*;

    #[test]
    fn a_reading_is_found_until_too_many_came_after_it() {
        let (sampled, device, now) = (Sampled::default(), DeviceId::new("b").unwrap(), Instant::now());
        let value = Value::Bool(true);
        let reading = |seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(0),
            value,
            quality: Quality::Good,
        };
        (0..=KEPT as u64).for_each(|seq| sampled.note(&device, &reading(seq), now));
        assert_eq!(sampled.at("b", 0), None);
        assert_eq!(sampled.at("b", 1), Some(now));
        assert_eq!(sampled.at("b", KEPT as u64), Some(now));
        assert_eq!(sampled.at("c", 1), None);
    }
}
