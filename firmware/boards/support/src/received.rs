//! Received bytes between the receiver's interrupt and the main loop. Loads and stores only, as a Cortex-M0 has no
//! compare-and-swap: one side puts, the other takes. What does not fit is dropped, the frame's checksum then fails, and the
//! node counts it.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::sleep::sleep_while;

/// Two of the longest frames that a gateway sends.
const BYTES: usize = 128;

pub struct Received {
    bytes: [AtomicU8; BYTES],
    /// Counts of bytes put and taken.
    put: AtomicUsize,
    taken: AtomicUsize,
}

impl Received {
    pub const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; BYTES],
            put: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// By the interrupt alone.
    pub fn put(&self, byte: u8) {
        let put = self.put.load(Ordering::Relaxed);
        let waiting = put.wrapping_sub(self.taken.load(Ordering::Acquire));
        if waiting < BYTES
            && let Some(place) = self.bytes.get(put % BYTES)
        {
            place.store(byte, Ordering::Relaxed);
            self.put.store(put.wrapping_add(1), Ordering::Release);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.put.load(Ordering::Acquire) == self.taken.load(Ordering::Relaxed)
    }

    /// Waits for a byte, and takes as many as there are. By the main loop alone.
    pub fn read(&self, buffer: &mut [u8]) -> usize {
        sleep_while(|| self.is_empty());
        let mut len = 0;
        for target in buffer {
            let taken = self.taken.load(Ordering::Relaxed);
            if taken == self.put.load(Ordering::Acquire) {
                break;
            }
            if let Some(place) = self.bytes.get(taken % BYTES) {
                *target = place.load(Ordering::Relaxed);
            }
            self.taken.store(taken.wrapping_add(1), Ordering::Release);
            len += 1;
        }
        len
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}
