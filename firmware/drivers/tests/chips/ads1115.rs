use embedded_hal_mock::eh1::{delay::NoopDelay, i2c::Transaction};
use tidegate_drivers::{
    Chip, Quantity, Readout,
    ads1115::{CurrentLoop, Error, Input, Span, TargetAddr},
};
use tidegate_protocol::{Quality, id::ChannelIndex};

use crate::{bus, measured, nobody};

const AT: u8 = 0x48;
/// 0 to 16 bar, in millibars.
const PRESSURE: Span = Span { quantity: Quantity { unit: "Pa", scale: 0 }, at_4_ma: 0, at_20_ma: 1_600_000 };

/// At 50 ohms a milliampere is 800 steps.
fn conversion(steps: i16) -> Vec<Transaction> {
    // Idle; begin on input 0; busy; done; the result.
    vec![
        Transaction::write_read(AT, vec![1], vec![0x85, 0x83]),
        Transaction::write(AT, vec![1, 0xc5, 0x83]),
        Transaction::write_read(AT, vec![1], vec![0x45, 0x83]),
        Transaction::write_read(AT, vec![1], vec![0xc5, 0x83]),
        Transaction::write_read(AT, vec![0], steps.to_be_bytes().to_vec()),
    ]
}

fn reads(steps: &[i16]) -> Vec<Result<[i64; 1], Error<embedded_hal::i2c::ErrorKind>>> {
    let transcript: Vec<Transaction> = steps.iter().flat_map(|steps| conversion(*steps)).collect();
    let (i2c, mut end) = bus(&transcript);
    let mut chip = CurrentLoop::new(i2c, TargetAddr::Gnd, NoopDelay, Input::A0, 50, PRESSURE);
    let reads = steps.iter().map(|_| chip.read()).collect();
    end.done();
    reads
}

#[test]
fn a_current_becomes_what_it_stands_for() {
    let [none, half, all, above] = reads(&[3_200, 9_600, 16_000, 16_400]).try_into().unwrap();
    assert_eq!((none, half, all), (Ok([0]), Ok([800_000]), Ok([1_600_000])));
    assert_eq!(above, Ok([1_650_000]), "20.5 mA is a value still");
}

#[test]
fn currents_that_no_sensor_sends_are_faults() {
    let [broken, none, shorted] = reads(&[2_879, -3, 16_801]).try_into().unwrap();
    assert_eq!(broken, Err(Error::Broken { microamperes: 3_599 }));
    assert_eq!(none, Err(Error::Broken { microamperes: -4 }));
    assert_eq!(shorted, Err(Error::Shorted { microamperes: 21_001 }));
}

/// Over 250 ohms, as many loops have, 8.2 mA are already all that the converter can say.
#[test]
fn a_converter_at_the_end_of_its_range_says_nothing_of_the_current() {
    let (i2c, mut end) = bus(&[conversion(i16::MAX), conversion(i16::MAX - 1)].concat());
    let mut chip = CurrentLoop::new(i2c, TargetAddr::Gnd, NoopDelay, Input::A0, 250, PRESSURE);
    assert_eq!(chip.read(), Err(Error::OutOfRange));
    assert_eq!(chip.read(), Ok([419_150]), "8.1915 mA");
    end.done();
}

#[test]
fn a_converter_that_is_not_there_or_never_ends_gives_readings_of_quality_bad() {
    let absent = Transaction::write_read(AT, vec![1], vec![0, 0]).with_error(nobody());
    let mut transcript = vec![absent];
    transcript.extend(conversion(0).into_iter().take(2));
    transcript.extend((0..19).map(|_| Transaction::write_read(AT, vec![1], vec![0x45, 0x83])));
    let (i2c, mut end) = bus(&transcript);
    let chip = CurrentLoop::new(i2c, TargetAddr::Gnd, NoopDelay, Input::A0, 50, PRESSURE);
    let mut readout = Readout::new(chip, ChannelIndex(0));
    assert_eq!(measured(&mut readout), [(0, Quality::Bad)]);
    assert_eq!(measured(&mut readout), [(0, Quality::Bad)]);
    end.done();
}
