//! What the UART itself complains of, where its driver counts (TIOCGICOUNT). Pseudo-terminals do not.
//!
//! No crate offers this call, so it is made here, and nowhere else.
#![expect(unsafe_code, reason = "a device's own ioctl can be made no other way")]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::ioctl::{Getter, Opcode, ioctl};
use serde::Serialize;
use tokio_serial::SerialStream;

/// `struct serial_icounter_struct` of linux/serial.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Counts {
    _modem_lines: [i32; 4],
    _bytes: [i32; 2],
    framing: i32,
    overrun: i32,
    parity: i32,
    broken: i32,
    buffer_overrun: i32,
    _reserved: [i32; 9],
}

/// Errors of the line, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UartErrors {
    /// No stop bit: as a rule the wrong baud rate.
    pub framing: u64,
    pub parity: u64,
    /// The UART had no room for a byte.
    pub overrun: u64,
    /// The kernel had none.
    pub buffer_overrun: u64,
    /// The line was held low for longer than a byte.
    pub r#break: u64,
}

impl UartErrors {
    pub fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("framing", self.framing),
            ("parity", self.parity),
            ("overrun", self.overrun),
            ("buffer-overrun", self.buffer_overrun),
            ("break", self.r#break),
        ]
    }

    pub fn add(&mut self, more: &Self) {
        self.framing += more.framing;
        self.parity += more.parity;
        self.overrun += more.overrun;
        self.buffer_overrun += more.buffer_overrun;
        self.r#break += more.r#break;
    }
}

/// A line's counters. They may have counted for others before: what counts is what they add.
pub(super) struct Uart {
    line: OwnedFd,
    last: Counts,
}

impl Uart {
    /// None where the driver does not count.
    pub fn of(line: &SerialStream) -> Option<Self> {
        // SAFETY: the line is open as long as it is borrowed, which is longer than this.
        let line = unsafe { BorrowedFd::borrow_raw(line.as_raw_fd()) };
        let line = line.try_clone_to_owned().ok()?;
        let last = read(&line)?;
        Some(Self { line, last })
    }

    /// What went wrong since it was asked before.
    pub fn since(&mut self) -> UartErrors {
        let Some(now) = read(&self.line) else { return UartErrors::default() };
        let since = difference(&self.last, &now);
        self.last = now;
        since
    }
}

fn read(line: &OwnedFd) -> Option<Counts> {
    // SAFETY: TIOCGICOUNT writes one `serial_icounter_struct`, and `Counts` is laid out as that.
    unsafe { ioctl(line, Getter::<{ libc::TIOCGICOUNT as Opcode }, Counts>::new()) }.ok()
}

/// The kernel's counters wrap.
fn difference(before: &Counts, now: &Counts) -> UartErrors {
    let since = |before: i32, now: i32| u64::from(now.wrapping_sub(before).cast_unsigned());
    UartErrors {
        framing: since(before.framing, now.framing),
        parity: since(before.parity, now.parity),
        overrun: since(before.overrun, now.overrun),
        buffer_overrun: since(before.buffer_overrun, now.buffer_overrun),
        r#break: since(before.broken, now.broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(framing: i32) -> Counts {
        Counts {
            _modem_lines: [0; 4],
            _bytes: [0; 2],
            framing,
            overrun: 7,
            parity: 0,
            broken: 0,
            buffer_overrun: 0,
            _reserved: [0; 9],
        }
    }

    #[test]
    fn counters_that_wrap_or_began_elsewhere_add_only_what_is_new() {
        let since = difference(&counts(i32::MAX), &counts(i32::MIN + 1));
        assert_eq!(since, UartErrors { framing: 2, ..UartErrors::default() });
        let mut sum = since;
        sum.add(&UartErrors { framing: 1, parity: 4, ..UartErrors::default() });
        assert_eq!(sum.by_kind()[..2], [("framing", 3), ("parity", 4)]);
        assert_eq!(size_of::<Counts>(), 20 * size_of::<i32>());
    }

    #[tokio::test]
    async fn a_line_whose_driver_does_not_count_is_no_error() {
        let (_board, line) = SerialStream::pair().unwrap();
        assert!(Uart::of(&line).is_none());
    }
}
