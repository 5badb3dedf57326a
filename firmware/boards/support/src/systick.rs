//! Milliseconds since boot from the processor's own SysTick, one interrupt each, carried on to 64 bits. The count wraps every
//! 49 days; the main loop reads it many times a second.

use core::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use embedded_hal::delay::DelayNs;
use tidegate_protocol::Tick;

use crate::sleep::sleep_while;

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

/// The board's SysTick exception calls this, and nobody else.
pub fn tick() {
    MILLISECONDS.store(MILLISECONDS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

pub struct Clock {
    /// The count when it was last read, and the milliseconds by then.
    last: Cell<(u32, u64)>,
}

impl Clock {
    /// At `core_hz`, which is below 16 GHz.
    pub fn start(mut systick: SYST, core_hz: u32) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload((core_hz / 1_000).saturating_sub(1));
        systick.clear_current();
        systick.enable_interrupt();
        systick.enable_counter();
        Self { last: Cell::new((MILLISECONDS.load(Ordering::Relaxed), 0)) }
    }

    pub fn now(&self) -> Tick {
        let (before, milliseconds) = self.last.get();
        let count = MILLISECONDS.load(Ordering::Relaxed);
        let milliseconds = milliseconds + u64::from(count.wrapping_sub(before));
        self.last.set((count, milliseconds));
        Tick(milliseconds)
    }
}

/// Sleeps in WFI; each tick wakes it.
impl DelayNs for &Clock {
    fn delay_ns(&mut self, ns: u32) {
        let until = self.now().0 + u64::from(ns.div_ceil(1_000_000));
        sleep_while(|| self.now().0 < until);
    }
}
