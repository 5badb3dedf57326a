//! Sensirion SHT40, SHT41, SHT45: temperature and relative humidity, over I²C, with a checksum on each value.

use embedded_hal::{delay::DelayNs, i2c::I2c};
pub use sht4x::{Address, Error};
use sht4x::{Measurement, Precision, Sht4x as Driver};

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

const QUANTITIES: [Quantity; 2] = [Quantity { unit: "Cel", scale: 3 }, Quantity { unit: "%RH", scale: 3 }];

/// Temperature, humidity.
impl<I2C: I2c, D: DelayNs> Chip<2> for Sht4x<I2C, D> {
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 2] {
        QUANTITIES
    }

    /// Of high precision; 9 ms.
    fn read(&mut self) -> Result<[i64; 2], Self::Error> {
        self.driver.measure(Precision::High, &mut self.delay).map(integers)
    }
}

fn integers(measured: Measurement) -> [i64; 2] {
    let humidity = measured.humidity_milli_percent().clamp(0, 100_000);
    [i64::from(measured.temperature_milli_celsius()), i64::from(humidity)]
}

/// The same over embedded-hal-async: the board goes on while the chip measures.
#[cfg(feature = "async")]
pub struct Sht4xAsync<I2C, D> {
    driver: sht4x::Sht4xAsync<I2C, D>,
    delay: D,
}

#[cfg(feature = "async")]
impl<I2C: embedded_hal_async::i2c::I2c, D: embedded_hal_async::delay::DelayNs> Sht4xAsync<I2C, D> {
    /// At the usual address, 0x44.
    pub fn new(i2c: I2C, delay: D) -> Self {
        Self { driver: sht4x::Sht4xAsync::new(i2c), delay }
    }

    pub fn new_with_address(i2c: I2C, address: Address, delay: D) -> Self {
        Self { driver: sht4x::Sht4xAsync::new_with_address(i2c, address), delay }
    }
}

/// Temperature, humidity.
#[cfg(feature = "async")]
impl<I2C, D> crate::AsyncChip<2> for Sht4xAsync<I2C, D>
where
    I2C: embedded_hal_async::i2c::I2c,
    D: embedded_hal_async::delay::DelayNs,
{
    type Error = Error<I2C::Error>;

    fn quantities(&self) -> [Quantity; 2] {
        QUANTITIES
    }

    /// Of high precision; 9 ms.
    async fn read(&mut self) -> Result<[i64; 2], Self::Error> {
        self.driver.measure(Precision::High, &mut self.delay).await.map(integers)
    }
}
