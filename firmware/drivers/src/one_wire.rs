//! The 1-Wire bus of Maxim, by one open-drain pin with a pull-up: low for its times, else let go of and looked at. A slot
//! must not be stretched by more than some ten microseconds: on a busy board read it with interrupts held off.

use embedded_hal::{
    delay::DelayNs,
    digital::{InputPin, OutputPin},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    #[error("the pin failed: {0}")]
    Pin(E),
    #[error("nobody answers on the bus")]
    NobodyThere,
    /// The pull-up is missing, or something holds it down.
    #[error("the bus stays low")]
    Shorted,
    #[error("the checksum is wrong")]
    Checksum,
}

#[derive(Debug)]
pub struct OneWire<P, D> {
    pin: P,
    delay: D,
}

impl<P: InputPin + OutputPin, D: DelayNs> OneWire<P, D> {
    /// `pin` is open-drain: high lets go of the line.
    pub const fn new(pin: P, delay: D) -> Self {
        Self { pin, delay }
    }

    /// Calls all devices to attention; an error where none is there.
    pub fn reset(&mut self) -> Result<(), Error<P::Error>> {
        self.pin.set_high().map_err(Error::Pin)?;
        if self.pin.is_low().map_err(Error::Pin)? {
            return Err(Error::Shorted);
        }
        self.low_for(480)?;
        self.delay.delay_us(70);
        let is_there = self.pin.is_low().map_err(Error::Pin)?;
        self.delay.delay_us(410);
        if is_there { Ok(()) } else { Err(Error::NobodyThere) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error<P::Error>> {
        for byte in bytes {
            for bit in 0..8 {
                let (low_us, high_us) = if byte >> bit & 1 == 1 { (6, 64) } else { (60, 10) };
                self.low_for(low_us)?;
                self.delay.delay_us(high_us);
            }
        }
        Ok(())
    }

    pub fn read_bit(&mut self) -> Result<bool, Error<P::Error>> {
        self.low_for(6)?;
        self.delay.delay_us(9);
        let bit = self.pin.is_high().map_err(Error::Pin)?;
        self.delay.delay_us(55);
        Ok(bit)
    }

    /// Fills `bytes`, whose last one is the checksum of the others.
    pub fn read_checked(&mut self, bytes: &mut [u8]) -> Result<(), Error<P::Error>> {
        for byte in bytes.iter_mut() {
            *byte = 0;
            for bit in 0..8 {
                *byte |= u8::from(self.read_bit()?) << bit;
            }
        }
        // Over all of it, its own checksum included, a checksum is 0. All zeros have a good one, and are a bus that is held down.
        let is_silent = bytes.iter().all(|byte| *byte == 0);
        if is_silent || checksum(bytes) != 0 { Err(Error::Checksum) } else { Ok(()) }
    }

    fn low_for(&mut self, us: u32) -> Result<(), Error<P::Error>> {
        self.pin.set_low().map_err(Error::Pin)?;
        self.delay.delay_us(us);
        self.pin.set_high().map_err(Error::Pin)
    }

    /// Gives pin and delay back.
    pub fn release(self) -> (P, D) {
        (self.pin, self.delay)
    }
}

/// Polynomial x⁸ + x⁵ + x⁴ + 1, reflected, from 0.
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| if sum & 1 == 1 { sum >> 1 ^ 0x8c } else { sum >> 1 })
    })
}
