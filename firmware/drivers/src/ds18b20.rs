//! Maxim DS18B20: temperature on a 1-Wire bus, with a checksum. A conversion takes 750 ms, so a read gives the result of the one
//! that the read before began: values are as old as the time between two reads.

use embedded_hal::{
    delay::DelayNs,
    digital::{InputPin, OutputPin},
};

pub use crate::one_wire::Error as BusError;
use crate::{Chip, Quantity, one_wire::OneWire};

const SKIP_ROM: u8 = 0xcc;
const MATCH_ROM: u8 = 0x55;
const READ_ROM: u8 = 0x33;
const CONVERT: u8 = 0x44;
const READ_SCRATCHPAD: u8 = 0xbe;
/// 85 °C in sixteenths: what the scratchpad holds until a first conversion ends.
const AFTER_POWER_ON: i16 = 85 * 16;
/// And these reserved bytes are then as they were made.
const UNTOUCHED: u8 = 0x0c;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    #[error(transparent)]
    Bus(#[from] BusError<E>),
    /// The first read, one too soon after the one before, or one after its power was lost.
    #[error("no conversion has ended yet")]
    NotYet,
}

/// One of several on a bus, or the only one.
#[derive(Debug)]
pub struct Ds18b20<P, D> {
    bus: OneWire<P, D>,
    rom: Option<[u8; 8]>,
    is_converting: bool,
}

impl<P: InputPin + OutputPin, D: DelayNs> Ds18b20<P, D> {
    /// The only one on the bus, with its own power.
    pub const fn alone(bus: OneWire<P, D>) -> Self {
        Self { bus, rom: None, is_converting: false }
    }

    /// The one with this number, which [`read_rom`] tells.
    pub const fn with_rom(bus: OneWire<P, D>, rom: [u8; 8]) -> Self {
        Self { bus, rom: Some(rom), is_converting: false }
    }

    fn command(&mut self, command: u8) -> Result<(), BusError<P::Error>> {
        self.bus.reset()?;
        match self.rom {
            None => self.bus.write(&[SKIP_ROM, command]),
            Some(rom) => {
                self.bus.write(&[MATCH_ROM])?;
                self.bus.write(&rom)?;
                self.bus.write(&[command])
            }
        }
    }

    fn result(&mut self) -> Result<i16, Error<P::Error>> {
        self.command(READ_SCRATCHPAD)?;
        let mut scratchpad = [0; 9];
        self.bus.read_checked(&mut scratchpad)?;
        let [low, high, _, _, _, _, reserved, ..] = scratchpad;
        let sixteenths = i16::from_le_bytes([low, high]);
        if sixteenths == AFTER_POWER_ON && reserved == UNTOUCHED {
            Err(Error::NotYet)
        } else {
            Ok(sixteenths)
        }
    }

    /// Gives the bus back.
    pub fn release(self) -> OneWire<P, D> {
        self.bus
    }
}

/// The number of the only device on a bus.
pub fn read_rom<P: InputPin + OutputPin, D: DelayNs>(
    bus: &mut OneWire<P, D>,
) -> Result<[u8; 8], BusError<P::Error>> {
    bus.reset()?;
    bus.write(&[READ_ROM])?;
    let mut rom = [0; 8];
    bus.read_checked(&mut rom)?;
    Ok(rom)
}

impl<P: InputPin + OutputPin, D: DelayNs> Chip<1> for Ds18b20<P, D> {
    type Error = Error<P::Error>;

    fn quantities(&self) -> [Quantity; 1] {
        [Quantity { unit: "Cel", scale: 4 }]
    }

    /// The result of the conversion that the read before began, and begins the next.
    fn read(&mut self) -> Result<[i64; 1], Self::Error> {
        // It holds its slots low as long as it converts.
        if self.is_converting && !self.bus.read_bit()? {
            return Err(Error::NotYet);
        }
        let result = if self.is_converting { self.result() } else { Err(Error::NotYet) };
        self.is_converting = false;
        self.command(CONVERT)?;
        self.is_converting = true;
        // A sixteenth is 625 ten-thousandths.
        result.map(|sixteenths| [i64::from(sixteenths) * 625])
    }
}
