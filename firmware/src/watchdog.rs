//! A hardware watchdog: it resets the board unless it is fed. The loops feed it once a round, so one that hangs in a driver is found out.

/// Any closure is one: `|| watchdog.feed()`.
///
/// Its time is to be longer than the slowest measurement and the longest frame on the line together. A link that holds a write back for as
/// long as nobody listens (USB, TCP) must give up by itself before that time: a reset loses what is in the ring.
pub trait Watchdog {
    fn feed(&mut self);
}

impl<F: FnMut()> Watchdog for F {
    fn feed(&mut self) {
        self();
    }
}

/// For a board that has none, or does not use it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn feed(&mut self) {}
}
