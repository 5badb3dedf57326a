//! Time from TIMER0, a 32-bit count of microseconds (this chip has no SysTick), carried on to 64-bit milliseconds.
//! The count wraps every 71 minutes; the main loop reads it many times a second.

use core::cell::Cell;

use embedded_hal::delay::DelayNs;
use tidegate_board_support::{register::unmask, sleep::sleep_while};
use tidegate_protocol::Tick;

use crate::registers::*;

const BITS_32: u32 = 3;
/// 16 MHz / 2^4.
const MICROSECONDS: u32 = 4;
const COMPARE1: u32 = 1 << 17;

pub struct Clock {
    /// The count when it was last read, the whole milliseconds by then, and the microseconds beyond them.
    last: Cell<(u32, u64, u32)>,
}

impl Clock {
    pub fn start() -> Self {
        TIMER_MODE.write(0);
        TIMER_BITMODE.write(BITS_32);
        TIMER_PRESCALER.write(MICROSECONDS);
        TIMER_INTENSET.write(COMPARE1);
        unmask(TIMER0_IRQ);
        TIMER_START.write(1);
        Self { last: Cell::new((count(), 0, 0)) }
    }

    pub fn now(&self) -> Tick {
        let (before, milliseconds, rest) = self.last.get();
        let count = count();
        let microseconds = count.wrapping_sub(before).saturating_add(rest);
        let milliseconds = milliseconds + u64::from(microseconds / 1_000);
        self.last.set((count, milliseconds, microseconds % 1_000));
        Tick(milliseconds)
    }
}

fn count() -> u32 {
    TIMER_CAPTURE0.write(1);
    TIMER_CC0.read()
}

/// The compare interrupt: it has done its work by waking the processor.
pub fn alarm() {
    TIMER_COMPARE1.take();
}

/// Sleeps in WFI until a compare of the timer.
pub struct Sleep<'a> {
    clock: &'a Clock,
}

impl<'a> Sleep<'a> {
    pub fn new(clock: &'a Clock) -> Self {
        Self { clock }
    }

    fn until_count_is(&self, end: u32, length: u32) {
        // Time must not stand still in the clock while it sleeps over a wrap.
        self.clock.now();
        sleep_while(|| end.wrapping_sub(count()).wrapping_sub(1) < length);
    }
}

impl DelayNs for Sleep<'_> {
    fn delay_ns(&mut self, ns: u32) {
        /// A compare that is set closer than this may be passed before it counts.
        const SHORTEST_US: u32 = 20;
        let length = (ns / 1_000).saturating_add(1).max(SHORTEST_US);
        let end = count().wrapping_add(length);
        TIMER_CC1.write(end);
        self.until_count_is(end, length);
    }
}
