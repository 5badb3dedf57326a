//! Boot ids: 64 bits that a device never uses twice, since they tell a resent reading from a new one.
//!
//! A board takes one from, in this order: a counter in its flash ([`from_counter`]), a hardware random number
//! generator ([`from_entropy`]), or its gateway (give the node no boot; it then sends nothing before a Welcome).

use tidegate_protocol::BootId;

/// A number that survives power loss: a word in flash, EEPROM or battery-backed RAM.
pub trait PersistedCounter {
    type Error;
    /// What was stored last; 0 where nothing was.
    fn load(&mut self) -> Result<u64, Self::Error>;
    /// Returns once the number would be read back after a power loss.
    fn store(&mut self, count: u64) -> Result<(), Self::Error>;
}

/// The next count, stored before it is returned: a power loss may skip a boot id but never repeats one.
pub fn from_counter<C: PersistedCounter>(counter: &mut C) -> Result<BootId, C::Error> {
    let count = counter.load()?.wrapping_add(1);
    counter.store(count)?;
    Ok(BootId(count))
}

/// Two words of a hardware random number generator. Not for pseudo-random ones seeded alike at each start.
pub const fn from_entropy(words: [u32; 2]) -> BootId {
    BootId((words[0] as u64) << 32 | words[1] as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flash {
        count: u64,
        fails: bool,
    }

    impl PersistedCounter for Flash {
        type Error = ();
        fn load(&mut self) -> Result<u64, ()> {
            Ok(self.count)
        }
        fn store(&mut self, count: u64) -> Result<(), ()> {
            if self.fails {
                return Err(());
            }
            self.count = count;
            Ok(())
        }
    }

    #[test]
    fn a_boot_that_could_not_be_stored_is_not_used() {
        let mut flash = Flash { count: 6, fails: false };
        assert_eq!(from_counter(&mut flash), Ok(BootId(7)));
        flash.fails = true;
        assert_eq!(from_counter(&mut flash), Err(()));
        flash.fails = false;
        assert_eq!(from_counter(&mut flash), Ok(BootId(8)));
    }

    #[test]
    fn entropy_fills_all_bits() {
        assert_eq!(from_entropy([0x0123_4567, 0x89ab_cdef]), BootId(0x0123_4567_89ab_cdef));
    }
}
