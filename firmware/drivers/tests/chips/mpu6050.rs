use embedded_hal_mock::eh1::i2c::Transaction;
use tidegate_drivers::{
    Chip, Readout,
    mpu6050::{AccelerationRange, Address, Error, Mpu6050, Setup, TurnRange},
};
use tidegate_protocol::{Quality, id::ChannelIndex};

use crate::{bus, measured, nobody};

const AT: u8 = 0x68;

fn set_up(acceleration: u8, turn: u8) -> Vec<Transaction> {
    vec![
        Transaction::write_read(AT, vec![0x75], vec![0x68]),
        Transaction::write(AT, vec![0x6b, 0x01]),
        Transaction::write(AT, vec![0x1a, 0x03]),
        Transaction::write(AT, vec![0x1b, turn << 3]),
        Transaction::write(AT, vec![0x1c, acceleration << 3]),
    ]
}

fn raw(words: [i16; 7]) -> Transaction {
    Transaction::write_read(AT, vec![0x3b], words.iter().flat_map(|word| word.to_be_bytes()).collect())
}

#[test]
fn steps_become_si_units_at_every_range() {
    // 1 g along z; 250 degrees a second around x, half of it the other way around y; 36.53 °C and a degree.
    let words = [0, -8_192, 16_384, 340, 32_767, -16_384, 0];
    let cases = [
        (AccelerationRange::G2, TurnRange::Deg250, [0, -4_903, 9_807, 43_632, -21_817, 0, 3_753]),
        (AccelerationRange::G16, TurnRange::Deg2000, [0, -39_227, 78_453, 349_055, -174_533, 0, 3_753]),
    ];
    for (acceleration, turn, expected) in cases {
        let mut transcript = set_up(acceleration as u8, turn as u8);
        transcript.push(raw(words));
        let (i2c, mut end) = bus(&transcript);
        let setup = Setup { acceleration, turn, ..Setup::default() };
        let mut chip = Mpu6050::new(i2c, Address::Low, setup);
        assert_eq!(chip.read(), Ok(expected));
        end.done();
    }
}

#[test]
fn one_read_serves_all_channels_and_a_chip_that_comes_back_is_set_up_anew() {
    let mut transcript = set_up(0, 0);
    transcript.push(raw([16_384, 0, 0, 0, 0, 0, 0]));
    transcript.extend((0..7).flat_map(|_| {
        // It lost its power: each channel that is due tries once.
        [Transaction::write_read(AT, vec![0x75], vec![0]).with_error(nobody())]
    }));
    // The read that fails first is the one of the values.
    transcript[6] = Transaction::write_read(AT, vec![0x3b], vec![0; 14]).with_error(nobody());
    transcript.extend(set_up(0, 0));
    transcript.push(raw([0, 16_384, 0, 0, 0, 0, 0]));
    let (i2c, mut end) = bus(&transcript);
    let mut readout = Readout::new(Mpu6050::new(i2c, Address::Low, Setup::default()), ChannelIndex(0));
    let along = |mantissa, quality| (mantissa, quality);
    assert_eq!(measured(&mut readout)[..2], [along(9_807, Quality::Good), along(0, Quality::Good)]);
    assert_eq!(
        measured(&mut readout)[..2],
        [along(9_807, Quality::Bad), along(0, Quality::Bad)],
        "the last ones"
    );
    assert_eq!(readout.failures(), 7);
    assert_eq!(measured(&mut readout)[..2], [along(0, Quality::Good), along(9_807, Quality::Good)]);
    end.done();
}

#[test]
fn another_chip_at_its_address_is_told() {
    let (i2c, mut end) = bus(&[Transaction::write_read(AT, vec![0x75], vec![0x71])]);
    let error = Mpu6050::new(i2c, Address::Low, Setup::default()).read();
    assert_eq!(error, Err(Error::AnotherChip(0x71)));
    end.done();
}
