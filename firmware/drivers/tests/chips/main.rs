//! Each driver against a transcript of what its chip says on the bus: good values, wrong checksums, a chip that is not there.

mod ads1115;
mod bme280;
mod ds18b20;
mod lis3dh;
mod mpu6050;
mod sht4x;

use embedded_hal_mock::eh1::i2c::{Mock as I2cMock, Transaction};
use tidegate_drivers::{Chip, Readout};
use tidegate_firmware::sampler::Sensor;
use tidegate_protocol::{Quality, Value, id::ChannelIndex};

/// A bus on which exactly this is said, and its other end, to say so.
fn bus(transcript: &[Transaction]) -> (I2cMock, I2cMock) {
    let bus = I2cMock::new(transcript);
    (bus.clone(), bus)
}

/// All channels of a chip, at one time.
fn measured<C: Chip<N>, const N: usize>(readout: &mut Readout<C, N>) -> [(i64, Quality); N] {
    std::array::from_fn(|at| match readout.measure(ChannelIndex(at as u8)) {
        (Value::Decimal { mantissa, .. }, quality) => (mantissa, quality),
        other => panic!("not an integer: {other:?}"),
    })
}

fn nobody() -> embedded_hal::i2c::ErrorKind {
    embedded_hal::i2c::ErrorKind::NoAcknowledge(embedded_hal::i2c::NoAcknowledgeSource::Address)
}
