//! Bosch BME280: temperature, relative humidity, barometric pressure, over I²C.

pub use bme280::Error as DriverError;
use bme280::i2c::BME280;
use embedded_hal::{delay::DelayNs, i2c::I2c};

use crate::{Chip, Quantity, rounded};

#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// Of the driver, which has no words for its errors.
    #[error("the chip does not answer as a BME280: {0:?}")]
    Driver(DriverError<E>),
    /// The driver takes a BMP280 as well, which has no such sensor, and says 0.
    #[error("the chip measures no humidity: it is a BMP280, or broken")]
    NoHumidity,
}

impl<E> From<DriverError<E>> for Error<E> {
    fn from(error: DriverError<E>) -> Self {
        Self::Driver(error)
    }
}

/// At its primary address, 0x76, or its secondary, 0x77.
pub struct Bme280<I2C, D> {
    driver: BME280<I2C>,
    delay: D,
    is_set_up: bool,
}

impl<I2C: I2c, D: DelayNs> Bme280<I2C, D> {
    pub fn new_primary(i2c: I2C, delay: D) -> Self {
        Self { driver: BME280::new_primary(i2c), delay, is_set_up: false }
    }

    pub fn new_secondary(i2c: I2C, delay: D) -> Self {
        Self { driver: BME280::new_secondary(i2c), delay, is_set_up: false }
    }
}

/// Temperature, humidity, pressure.
impl<I2C: I2c, D: DelayNs> Chip<3> for Bme280<I2C, D> {
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 3] {
        let [celsius, humidity, pascal] = [("Cel", 2), ("%RH", 2), ("Pa", 0)];
        [celsius, humidity, pascal].map(|(unit, scale)| Quantity { unit, scale })
    }

    /// One forced measurement; 40 ms.
    fn read(&mut self) -> Result<[i64; 3], Self::Error> {
        if !self.is_set_up {
            // A chip that was not there at the start may have come since, and one that lost its power has lost its settings.
            self.driver.init(&mut self.delay)?;
            self.is_set_up = true;
        }
        let measured = self.driver.measure(&mut self.delay).inspect_err(|_| self.is_set_up = false)?;
        if measured.humidity <= 0.0 {
            return Err(Error::NoHumidity);
        }
        let temperature = rounded(measured.temperature * 100.0);
        Ok([temperature, rounded(measured.humidity * 100.0), rounded(measured.pressure)])
    }
}
