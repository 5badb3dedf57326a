//! A 4-20 mA loop, over a shunt and a TI ADS1115 on I²C. Currents outside of what a sensor may send mean a fault of loop or
//! sensor (NAMUR NE 43).

pub use ads1x1x::TargetAddr;
use ads1x1x::{
    Ads1x1x,
    channel::{SingleA0, SingleA1, SingleA2, SingleA3},
    ic::{Ads1115, Resolution16Bit},
    mode::OneShot,
};
use embedded_hal::{delay::DelayNs, i2c::I2c};

use crate::{Chip, Quantity, divided};

/// Of the converter at the range of ±2.048 V that it starts with.
const NANOVOLTS_PER_STEP: i64 = 62_500;
/// In nanoamperes.
const LOWEST: i64 = 4_000_000;
const HIGHEST: i64 = 20_000_000;
const BROKEN_BELOW: i64 = 3_600_000;
const SHORTED_ABOVE: i64 = 21_000_000;
/// A conversion takes 7.8 ms.
const PATIENCE_MS: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    #[error("the bus failed: {0}")]
    Bus(E),
    #[error("the conversion did not end")]
    TimedOut,
    /// 2.048 V or more: the shunt is too large, or the current.
    #[error("the converter is at the end of its range")]
    OutOfRange,
    /// Below 3.6 mA.
    #[error("the loop is broken: {microamperes} µA")]
    Broken { microamperes: i64 },
    /// Above 21 mA.
    #[error("the loop is shorted, or its sensor says that it failed: {microamperes} µA")]
    Shorted { microamperes: i64 },
}

/// What a current stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub quantity: Quantity,
    /// Integers of the quantity's scale.
    pub at_4_ma: i64,
    pub at_20_ma: i64,
}

type Driver<I2C> = Ads1x1x<I2C, Ads1115, Resolution16Bit, OneShot>;

/// Where the shunt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    A0,
    A1,
    A2,
    A3,
}

/// One loop on one input of the converter.
pub struct CurrentLoop<I2C, D> {
    driver: Driver<I2C>,
    delay: D,
    input: Input,
    shunt_ohms: i64,
    span: Span,
}

impl<I2C: I2c, D: DelayNs> CurrentLoop<I2C, D> {
    /// `shunt_ohms` is at most 97, so that 21 mA are within the converter's range; over a larger one, what is beyond it is an
    /// error of its own.
    pub fn new(i2c: I2C, address: TargetAddr, delay: D, input: Input, shunt_ohms: u8, span: Span) -> Self {
        let driver = Ads1x1x::new_ads1115(i2c, address);
        Self { driver, delay, input, shunt_ohms: i64::from(shunt_ohms.max(1)), span }
    }

    fn convert(&mut self) -> Result<i16, Error<I2C::Error>> {
        for _ in 0..PATIENCE_MS {
            let converted = match self.input {
                Input::A0 => self.driver.read(SingleA0),
                Input::A1 => self.driver.read(SingleA1),
                Input::A2 => self.driver.read(SingleA2),
                Input::A3 => self.driver.read(SingleA3),
            };
            match converted {
                Ok(steps) => return Ok(steps),
                Err(nb::Error::WouldBlock) => self.delay.delay_ms(1),
                Err(nb::Error::Other(ads1x1x::Error::I2C(error))) => return Err(Error::Bus(error)),
                Err(nb::Error::Other(_)) => return Err(Error::TimedOut),
            }
        }
        Err(Error::TimedOut)
    }
}

impl<I2C: I2c, D: DelayNs> Chip<1> for CurrentLoop<I2C, D> {
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 1] {
        [self.span.quantity]
    }

    fn read(&mut self) -> Result<[i64; 1], Self::Error> {
        let steps = self.convert()?;
        if steps == i16::MAX {
            return Err(Error::OutOfRange);
        }
        let nanoamperes = divided(i64::from(steps) * NANOVOLTS_PER_STEP, self.shunt_ohms);
        let microamperes = divided(nanoamperes, 1_000);
        if nanoamperes < BROKEN_BELOW {
            return Err(Error::Broken { microamperes });
        }
        if nanoamperes > SHORTED_ABOVE {
            return Err(Error::Shorted { microamperes });
        }
        let Span { at_4_ma, at_20_ma, .. } = self.span;
        let above = (nanoamperes - LOWEST).saturating_mul(at_20_ma.saturating_sub(at_4_ma));
        Ok([at_4_ma.saturating_add(divided(above, HIGHEST - LOWEST))])
    }
}
