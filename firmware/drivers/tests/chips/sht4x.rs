use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use embedded_hal_mock::eh1::{delay::NoopDelay, i2c::Transaction};
use tidegate_drivers::{
    AsyncReadout, Chip, Readout,
    sht4x::{Error, Sht4x, Sht4xAsync},
};
use tidegate_firmware::asynchronous::AsyncSensor;
use tidegate_protocol::{Quality, Value, id::ChannelIndex};

use crate::{bus, measured, nobody};

const AT: u8 = 0x44;

/// Sensirion's checksum: polynomial 0x31, from 0xff.
fn checksum(bytes: [u8; 2]) -> u8 {
    bytes.iter().fold(0xff, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| if sum & 0x80 != 0 { sum << 1 ^ 0x31 } else { sum << 1 })
    })
}

fn answer(temperature: u16, humidity: u16) -> Vec<u8> {
    let words = [temperature, humidity].map(u16::to_be_bytes);
    words.iter().flat_map(|word| [word[0], word[1], checksum(*word)]).collect()
}

fn measurement(answer: Vec<u8>) -> [Transaction; 2] {
    [Transaction::write(AT, vec![0xfd]), Transaction::read(AT, answer)]
}

#[test]
fn raw_words_become_degrees_and_percent() {
    assert_eq!(checksum([0xbe, 0xef]), 0x92, "the data sheet's example");
    // -45 + 175 * 26214/65535 = 25.000 °C; -6 + 125 * 0x8000/65535 = 56.501 %; and beyond 100 % there is nothing.
    let transcript = [measurement(answer(26_214, 0x8000)), measurement(answer(26_214, 0xffff))].concat();
    let (i2c, mut end) = bus(&transcript);
    let mut readout = Readout::new(Sht4x::new(i2c, NoopDelay), ChannelIndex(0));
    let channels = readout.declare(["temperature", "humidity"]).unwrap();
    assert_eq!((channels[0].unit, channels[0].scale, channels[1].unit), ("Cel", 3, "%RH"));
    let [(celsius, good), (percent, _)] = measured(&mut readout);
    assert_eq!(((celsius - 25_000).abs() <= 3, good), (true, Quality::Good), "{celsius}");
    assert!((percent - 56_501).abs() <= 3, "{percent}");
    assert_eq!(measured(&mut readout)[1], (100_000, Quality::Good));
    end.done();
}

#[test]
fn a_wrong_checksum_and_a_chip_that_is_not_there_are_readings_of_quality_bad() {
    let mut wrong = answer(26_214, 0x8000);
    wrong[1] ^= 1;
    let absent = Transaction::write(AT, vec![0xfd]).with_error(nobody());
    let transcript =
        [measurement(wrong.clone()).to_vec(), measurement(wrong).to_vec(), vec![absent]].concat();
    let (i2c, mut end) = bus(&transcript);
    let mut readout = Readout::new(Sht4x::new(i2c, NoopDelay), ChannelIndex(0));
    assert_eq!(measured(&mut readout), [(0, Quality::Bad); 2]);
    let mut chip = readout.release();
    assert!(matches!(chip.read(), Err(Error::I2c(_))));
    end.done();
}

/// Lets others run for as long as they are not asked a second time.
struct Pause;

impl embedded_hal_async::delay::DelayNs for Pause {
    async fn delay_ns(&mut self, ns: u32) {
        assert!(ns >= 8_300_000, "the chip takes 8.3 ms at most for a measurement of high precision");
        let mut was_asked = false;
        poll_fn(|_| match std::mem::replace(&mut was_asked, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// What comes of it, and how often it let others run.
fn done<T>(future: impl Future<Output = T>) -> (T, u32) {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    let mut pauses = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return (value, pauses),
            Poll::Pending => pauses += 1,
        }
    }
}

#[test]
fn others_run_while_it_measures_and_its_channels_share_a_read() {
    let mut wrong = answer(26_214, 0x8000);
    wrong[4] ^= 1;
    let transcript = [measurement(answer(26_214, 0x8000)), measurement(wrong)].concat();
    let (i2c, mut end) = bus(&transcript);
    let mut readout = AsyncReadout::new(Sht4xAsync::new(i2c, Pause), ChannelIndex(3));
    let channels = readout.declare(["temperature", "humidity"]).unwrap();
    assert_eq!((channels[0].unit, channels[1].unit), ("Cel", "%RH"));
    let ((celsius, good), pauses) = done(readout.measure(ChannelIndex(3)));
    let Value::Decimal { mantissa: 24_997..=25_003, scale: 3 } = celsius else { panic!("{celsius:?}") };
    assert_eq!((good, pauses), (Quality::Good, 1));
    let ((percent, good), pauses) = done(readout.measure(ChannelIndex(4)));
    let Value::Decimal { mantissa: 56_498..=56_504, scale: 3 } = percent else { panic!("{percent:?}") };
    assert_eq!((good, pauses), (Quality::Good, 0));
    // A wrong checksum: what was read last, and that it is bad.
    assert_eq!(done(readout.measure(ChannelIndex(3))), ((celsius, Quality::Bad), 1));
    assert_eq!(readout.failures(), 1);
    end.done();
}
