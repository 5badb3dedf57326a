use embedded_hal_mock::eh1::i2c::Transaction;
use tidegate_drivers::{
    Readout,
    lis3dh::{Error, Lis3dh, Range, SlaveAddr},
};
use tidegate_protocol::{Quality, id::ChannelIndex};

use crate::{bus, measured, nobody};

const AT: u8 = 0x18;

fn read(register: u8, value: u8) -> Transaction {
    Transaction::write_read(AT, vec![register], vec![value])
}

fn write(register: u8, value: u8) -> Transaction {
    Transaction::write(AT, vec![register, value])
}

/// High resolution, 400 Hz, all axes, updates of whole words.
fn set_up() -> Vec<Transaction> {
    let mode = [read(0x20, 0x07), write(0x20, 0x07), read(0x23, 0x80), write(0x23, 0x88)];
    let rate_and_axes = [read(0x20, 0x07), write(0x20, 0x77), read(0x20, 0x77), write(0x20, 0x77)];
    let converter = [read(0x1f, 0x00), write(0x1f, 0x80)];
    let range = [read(0x23, 0x88), write(0x23, 0x88)];
    let whole_words = [read(0x0f, 0x33), write(0x23, 0x80)];
    [&whole_words[..], &mode, &rate_and_axes, &converter, &range].concat()
}

fn measurement(axes: [i16; 3]) -> Vec<Transaction> {
    let bytes = axes.iter().flat_map(|axis| (axis << 4).to_le_bytes()).collect();
    vec![
        read(0x20, 0x77),
        read(0x23, 0x88),
        read(0x23, 0x88),
        Transaction::write_read(AT, vec![0x28 | 0x80], bytes),
    ]
}

#[test]
fn steps_of_a_thousandth_of_gravity_become_metres_per_square_second() {
    let transcript = [set_up(), measurement([0, -500, 1_000])].concat();
    let (i2c, mut end) = bus(&transcript);
    let chip = Lis3dh::new(i2c, SlaveAddr::Default, Range::G2).unwrap();
    let mut readout = Readout::new(chip, ChannelIndex(0));
    let channels = readout.declare(["x", "y", "z"]).unwrap();
    assert!(channels.iter().all(|channel| (channel.unit, channel.scale) == ("m/s2", 3)));
    assert_eq!(measured(&mut readout), [0, -4_903, 9_807].map(|mantissa| (mantissa, Quality::Good)));
    end.done();
}

#[test]
fn another_chip_is_refused_and_one_that_goes_silent_gives_readings_of_quality_bad() {
    let (i2c, mut end) = bus(&[read(0x0f, 0x32)]);
    assert!(matches!(Lis3dh::new(i2c, SlaveAddr::Default, Range::G2), Err(Error::WrongAddress)));
    end.done();

    let silent = read(0x20, 0).with_error(nobody());
    let transcript = [set_up(), vec![silent.clone(), silent.clone(), silent]].concat();
    let (i2c, mut end) = bus(&transcript);
    let chip = Lis3dh::new(i2c, SlaveAddr::Default, Range::G2).unwrap();
    let mut readout = Readout::new(chip, ChannelIndex(0));
    assert_eq!(measured(&mut readout), [(0, Quality::Bad); 3]);
    assert_eq!(readout.failures(), 3);
    end.done();
}
