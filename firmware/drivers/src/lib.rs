//! Sensor chips as channels of a [`tidegate_firmware::Node`]: values as scaled integers in SenML units, a chip that does not
//! answer as a reading of quality bad.
//!
//! ```text
//! readout    a chip's quantities as channels: one read for all of them
//! bme280     temperature, humidity, pressure       sht4x    temperature, humidity
//! lis3dh     acceleration                          ads1115  a 4-20 mA loop
//! ds18b20    temperature on a 1-Wire bus           mpu6050  acceleration, rate of turn, temperature
//! one_wire   the 1-Wire bus, by one open-drain pin
//! ```
//!
//! Each is a feature. The first four stand on well-kept driver crates; DS18B20 and MPU6050 are driven here, since their crates
//! speak an embedded-hal of before 1.0. With the feature `async`, those whose driver crate can be waited for have a flavour for
//! [`tidegate_firmware::asynchronous`]: `sht4x`. `no_std`, no allocation, no panics of its own.
//!
//! ```
//! # #[cfg(feature = "sht4x")]
//! # fn join(i2c: impl embedded_hal::i2c::I2c, delay: impl embedded_hal::delay::DelayNs) -> Result<(), Box<dyn std::error::Error>> {
//! use tidegate_drivers::{Readout, sht4x::Sht4x};
//! use tidegate_firmware::sampler::Sensor;
//! use tidegate_protocol::id::ChannelIndex;
//!
//! let mut air = Readout::new(Sht4x::new(i2c, delay), ChannelIndex(0));
//! let channels = air.declare(["temperature", "humidity"])?;
//! assert_eq!((channels[0].unit, channels[1].unit), ("Cel", "%RH"));
//! let (value, quality) = air.measure(ChannelIndex(0));
//! # Ok(())
//! # }
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "ads1115")]
pub mod ads1115;
#[cfg(feature = "bme280")]
pub mod bme280;
#[cfg(feature = "ds18b20")]
pub mod ds18b20;
#[cfg(feature = "lis3dh")]
pub mod lis3dh;
#[cfg(feature = "mpu6050")]
pub mod mpu6050;
#[cfg(feature = "ds18b20")]
pub mod one_wire;
mod readout;
#[cfg(feature = "sht4x")]
pub mod sht4x;

pub use readout::{AsyncChip, AsyncReadout, Chip, Quantity, Readout};

/// The nearest integer; what is not a number is 0.
#[cfg(any(feature = "bme280", feature = "lis3dh"))]
fn rounded(value: f32) -> i64 {
    let away = if value < 0.0 { -0.5 } else { 0.5 };
    (value + away) as i64
}

/// The quotient to the nearest integer, halves away from zero.
#[cfg(any(feature = "mpu6050", feature = "ads1115"))]
const fn divided(value: i64, by: i64) -> i64 {
    let half = if value < 0 { -by / 2 } else { by / 2 };
    (value + half) / by
}
