//! Sensirion SHT40, SHT41, SHT45: temperature and relative humidity, over I²C, with a checksum on each value.

use embedded_hal::{delay::DelayNs, i2c::I2c};
pub use sht4x::{Address, Error};
use sht4x::{Precision, Sht4x as Driver};

use crate::{Chip, Quantity};

pub struct Sht4x<I2C, D> {
    driver: Driver<I2C, D>,
    delay: D,
}

impl<I2C: I2c, D: DelayNs> Sht4x<I2C, D> {
    /// At the usual address, 0x44.
    pub fn new(i2c: I2C, delay: D) -> Self {
        Self { driver: Driver::new(i2c), delay }
    }

    pub fn new_with_address(i2c: I2C, address: Address, delay: D) -> Self {
        Self { driver: Driver::new_with_address(i2c, address), delay }
    }
}

/// Temperature, humidity.
impl<I2C: I2c, D: DelayNs> Chip<2> for Sht4x<I2C, D> {
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 2] {
        [Quantity { unit: "Cel", scale: 3 }, Quantity { unit: "%RH", scale: 3 }]
    }

    /// Of high precision; 9 ms.
    fn read(&mut self) -> Result<[i64; 2], Self::Error> {
        let measured = self.driver.measure(Precision::High, &mut self.delay)?;
        let humidity = measured.humidity_milli_percent().clamp(0, 100_000);
        Ok([i64::from(measured.temperature_milli_celsius()), i64::from(humidity)])
    }
}
