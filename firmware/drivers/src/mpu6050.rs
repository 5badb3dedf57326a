//! InvenSense MPU-6050: acceleration and rate of turn around three axes, and its own temperature, over I²C.

use embedded_hal::i2c::I2c;

use crate::{Chip, Quantity, divided};

const WHO_AM_I: u8 = 0x75;
const ITS_NAME: u8 = 0x68;
const POWER: u8 = 0x6b;
/// Awake, on the clock of a gyroscope, which is steadier than the chip's own.
const AWAKE: u8 = 0x01;
const FILTER: u8 = 0x1a;
const GYROSCOPE_RANGE: u8 = 0x1b;
const ACCELEROMETER_RANGE: u8 = 0x1c;
/// Acceleration, temperature and rate of turn follow each other here.
const MEASURED: u8 = 0x3b;

/// Where its pin AD0 is tied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Low = 0x68,
    High = 0x69,
}

/// Largest acceleration, in multiples of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccelerationRange {
    G2 = 0,
    G4 = 1,
    G8 = 2,
    G16 = 3,
}

/// Fastest turn, in degrees a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnRange {
    Deg250 = 0,
    Deg500 = 1,
    Deg1000 = 2,
    Deg2000 = 3,
}

/// Largest frequency that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bandwidth {
    Hz260 = 0,
    Hz184 = 1,
    Hz94 = 2,
    Hz44 = 3,
    Hz21 = 4,
    Hz10 = 5,
    Hz5 = 6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub acceleration: AccelerationRange,
    pub turn: TurnRange,
    pub bandwidth: Bandwidth,
}

impl Default for Setup {
    fn default() -> Self {
        Self { acceleration: AccelerationRange::G2, turn: TurnRange::Deg250, bandwidth: Bandwidth::Hz44 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    #[error("the bus failed: {0}")]
    Bus(E),
    #[error("the chip at this address calls itself {0:#04x}, and an MPU-6050 0x68")]
    AnotherChip(u8),
}

#[derive(Debug)]
pub struct Mpu6050<I2C> {
    i2c: I2C,
    address: u8,
    setup: Setup,
    is_set_up: bool,
}

impl<I2C: I2c> Mpu6050<I2C> {
    /// Talks to the chip with the first read, and again after one that failed: it may have lost its power.
    pub const fn new(i2c: I2C, address: Address, setup: Setup) -> Self {
        Self { i2c, address: address as u8, setup, is_set_up: false }
    }

    fn set_up(&mut self) -> Result<(), Error<I2C::Error>> {
        let mut name = [0];
        self.i2c.write_read(self.address, &[WHO_AM_I], &mut name).map_err(Error::Bus)?;
        let [name] = name;
        if name != ITS_NAME {
            return Err(Error::AnotherChip(name));
        }
        let Setup { acceleration, turn, bandwidth } = self.setup;
        let settings = [
            (POWER, AWAKE),
            (FILTER, bandwidth as u8),
            (GYROSCOPE_RANGE, (turn as u8) << 3),
            (ACCELEROMETER_RANGE, (acceleration as u8) << 3),
        ];
        for (register, value) in settings {
            self.i2c.write(self.address, &[register, value]).map_err(Error::Bus)?;
        }
        self.is_set_up = true;
        Ok(())
    }

    /// Gives the bus back.
    pub fn release(self) -> I2C {
        self.i2c
    }
}

/// Acceleration along x, y, z; rate of turn around x, y, z; temperature.
impl<I2C: I2c> Chip<7> for Mpu6050<I2C> {
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 7] {
        let (along, around) = (Quantity { unit: "m/s2", scale: 3 }, Quantity { unit: "rad/s", scale: 4 });
        [along, along, along, around, around, around, Quantity { unit: "Cel", scale: 2 }]
    }

    fn read(&mut self) -> Result<[i64; 7], Self::Error> {
        if !self.is_set_up {
            self.set_up()?;
        }
        let mut raw = [0; 14];
        if let Err(error) = self.i2c.write_read(self.address, &[MEASURED], &mut raw) {
            self.is_set_up = false;
            return Err(Error::Bus(error));
        }
        let mut words = [0; 7];
        for (word, bytes) in words.iter_mut().zip(raw.as_chunks::<2>().0) {
            *word = i64::from(i16::from_be_bytes(*bytes));
        }
        let [x, y, z, temperature, around_x, around_y, around_z] = words;
        // 9,806.65 mm/s² for 16,384 steps at 2 g.
        let along = |steps: i64| divided((steps * 980_665) << self.setup.acceleration as u8, 1_638_400);
        // 250 degrees, 4.363,323 rad, a second for 32,768 steps.
        let around = |steps: i64| divided((steps * 4_363_323) << self.setup.turn as u8, 3_276_800);
        let celsius = divided(temperature * 100, 340) + 3_653;
        Ok([along(x), along(y), along(z), around(around_x), around(around_y), around(around_z), celsius])
    }
}
