use embedded_hal_mock::eh1::{delay::NoopDelay, i2c::Transaction};
use tidegate_drivers::{
    Chip, Readout,
    bme280::{Bme280, DriverError, Error},
};
use tidegate_protocol::{Quality, id::ChannelIndex};

use crate::{bus, measured, nobody};

const AT: u8 = 0x76;

fn read(register: u8, value: Vec<u8>) -> Transaction {
    Transaction::write_read(AT, vec![register], value)
}

fn write(register: u8, value: u8) -> Transaction {
    Transaction::write(AT, vec![register, value])
}

/// The calibration of the BMP280 data sheet's worked example, and of a humidity sensor.
fn calibration() -> [Vec<u8>; 2] {
    let temperature = [27_504_u16, 26_435, (-1_000_i16) as u16];
    let pressure = [
        36_477_u16,
        (-10_685_i16) as u16,
        3_024,
        2_855,
        140,
        (-7_i16) as u16,
        15_500,
        (-14_600_i16) as u16,
        6_000,
    ];
    let words = temperature.iter().chain(&pressure).flat_map(|word| word.to_le_bytes());
    let first = words.chain([0, 75]).collect();
    // H2 = 362, H3 = 0, H4 = 313, H5 = 50, H6 = 30.
    let humidity = vec![0x6a, 0x01, 0x00, 0x13, 0x29, 0x03, 0x1e];
    [first, humidity]
}

/// As the driver sets it up: temperature twice, pressure sixteen times, humidity once, filter 16.
fn set_up() -> Vec<Transaction> {
    let [first, second] = calibration();
    vec![
        read(0xd0, vec![0x60]),
        write(0xe0, 0xb6),
        read(0x88, first),
        read(0xe1, second),
        read(0xf4, vec![0]),
        write(0xf2, 0x01),
        read(0xf4, vec![0]),
        write(0xf4, 0x54),
        read(0xf5, vec![0]),
        write(0xf5, 0x10),
    ]
}

fn measurement(humidity: u16) -> Vec<Transaction> {
    // 415,148 and 519,888 steps of pressure and temperature.
    let [high, low] = humidity.to_be_bytes();
    let steps = vec![0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, high, low];
    vec![read(0xf4, vec![0x54]), read(0xf4, vec![0x54]), write(0xf4, 0x55), read(0xf7, steps)]
}

#[test]
fn the_data_sheets_example_comes_out() {
    let (i2c, mut end) = bus(&[set_up(), measurement(28_160)].concat());
    let mut readout = Readout::new(Bme280::new_primary(i2c, NoopDelay), ChannelIndex(0));
    let channels = readout.declare(["temperature", "humidity", "pressure"]).unwrap();
    assert_eq!(channels.map(|channel| channel.unit), ["Cel", "%RH", "Pa"]);
    let [temperature, (percent, _), pressure] = measured(&mut readout);
    assert_eq!((temperature, pressure), ((2_508, Quality::Good), (100_653, Quality::Good)));
    assert!((percent - HUNDREDTHS).abs() <= 1, "{percent}");
    end.done();
}

/// Of 28,160 steps at that temperature, by the data sheet's formula.
const HUNDREDTHS: i64 = 4_475;

#[test]
fn another_chip_one_without_humidity_and_one_that_is_not_there_are_told() {
    let absent = read(0xd0, vec![0]).with_error(nobody());
    let other = vec![read(0xd0, vec![0x61]), absent.clone()];
    let silent = vec![read(0xf4, vec![0]).with_error(nobody()), absent.clone(), absent];
    let (i2c, mut end) = bus(&[other, set_up(), measurement(0), measurement(28_160), silent].concat());
    let mut chip = Bme280::new_primary(i2c, NoopDelay);
    assert!(matches!(chip.read(), Err(Error::Driver(DriverError::UnsupportedChip))));
    assert!(matches!(chip.read(), Err(Error::Driver(DriverError::Bus(_)))));
    assert!(matches!(chip.read(), Err(Error::NoHumidity)));
    let mut readout = Readout::new(chip, ChannelIndex(0));
    assert!(measured(&mut readout).iter().all(|(_, quality)| *quality == Quality::Good));
    assert_eq!(measured(&mut readout)[0], (2_508, Quality::Bad));
    end.done();
}
