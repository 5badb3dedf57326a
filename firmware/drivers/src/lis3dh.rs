//! ST LIS3DH: acceleration along three axes, over I²C.

use core::fmt::Debug;

use embedded_hal::i2c::I2c;
use lis3dh::{
    Lis3dh as Driver, Lis3dhI2C,
    accelerometer::{Accelerometer, Error as AccelerometerError, vector::F32x3},
};
pub use lis3dh::{Range, SlaveAddr};

use crate::{Chip, Quantity, rounded};

/// What the driver says of the bus, or of another chip at this address.
pub type Error<E> = lis3dh::Error<E, core::convert::Infallible>;

/// Standard gravity, in mm/s².
const GRAVITY: f32 = 9_806.65;

/// High resolution, 400 Hz.
pub struct Lis3dh<I2C>(Driver<Lis3dhI2C<I2C>>);

impl<I2C: I2c> Lis3dh<I2C> {
    pub fn new(i2c: I2C, address: SlaveAddr, range: Range) -> Result<Self, Error<I2C::Error>> {
        let mut driver = Driver::new_i2c(i2c, address)?;
        driver.set_range(range)?;
        Ok(Self(driver))
    }
}

/// x, y, z.
impl<I2C: I2c> Chip<3> for Lis3dh<I2C>
where
    I2C::Error: Debug,
{
    type Error = AccelerometerError<Error<I2C::Error>>;

    fn quantities(&self) -> [Quantity; 3] {
        [Quantity { unit: "m/s2", scale: 3 }; 3]
    }

    fn read(&mut self) -> Result<[i64; 3], Self::Error> {
        let F32x3 { x, y, z } = self.0.accel_norm()?;
        Ok([x, y, z].map(|gravities| rounded(gravities * GRAVITY)))
    }
}
