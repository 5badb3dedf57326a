use embedded_hal_mock::eh1::{
    MockError,
    delay::NoopDelay,
    digital::{Mock as PinMock, State, Transaction},
};
use tidegate_drivers::{
    Chip, Readout,
    ds18b20::{BusError, Ds18b20, Error, read_rom},
    one_wire::{OneWire, checksum},
};
use tidegate_protocol::{Quality, id::ChannelIndex};

use crate::measured;

/// What is seen on the pin.
#[derive(Default)]
struct Line(Vec<Transaction>);

impl Line {
    fn low_then_free(mut self) -> Self {
        self.0.extend([Transaction::set(State::Low), Transaction::set(State::High)]);
        self
    }

    fn reset(mut self, somebody: bool) -> Self {
        self.0.extend([Transaction::set(State::High), Transaction::get(State::High)]);
        let mut line = self.low_then_free();
        line.0.push(Transaction::get(if somebody { State::Low } else { State::High }));
        line
    }

    fn written(self, bytes: &[u8]) -> Self {
        (0..bytes.len() * 8).fold(self, |line, _| line.low_then_free())
    }

    fn bit(self, bit: bool) -> Self {
        let mut line = self.low_then_free();
        line.0.push(Transaction::get(if bit { State::High } else { State::Low }));
        line
    }

    fn read(self, bytes: &[u8]) -> Self {
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        bits.fold(self, Self::bit)
    }

    fn converts(self) -> Self {
        self.reset(true).written(&[0xcc, 0x44])
    }

    fn result(self, scratchpad: [u8; 9]) -> Self {
        self.bit(true).reset(true).written(&[0xcc, 0xbe]).read(&scratchpad)
    }

    fn bus(self) -> (OneWire<PinMock, NoopDelay>, PinMock) {
        let pin = PinMock::new(&self.0);
        (OneWire::new(pin.clone(), NoopDelay), pin)
    }
}

fn scratchpad(sixteenths: i16, reserved: u8) -> [u8; 9] {
    let [low, high] = sixteenths.to_le_bytes();
    let mut scratchpad = [low, high, 0x4b, 0x46, 0x7f, 0xff, reserved, 0x10, 0];
    scratchpad[8] = checksum(&scratchpad[..8]);
    scratchpad
}

#[test]
fn the_checksum_is_that_of_the_data_sheets() {
    // Maxim's application note 27: a number, and its checksum.
    assert_eq!(checksum(&[0x02, 0x1c, 0xb8, 0x01, 0x00, 0x00, 0x00]), 0xa2);
}

#[test]
fn a_read_gives_the_conversion_that_the_one_before_began() {
    // 25.0625 °C and -10.125 °C, as in the data sheet.
    let line = Line::default().converts().result(scratchpad(0x0191, 0x10)).converts();
    let line = line.bit(false).result(scratchpad(-0x00a2, 0x10)).converts();
    let (bus, mut pin) = line.bus();
    let mut chip = Ds18b20::alone(bus);
    let values: Vec<_> = (0..4).map(|_| chip.read()).collect();
    assert_eq!(values, [Err(Error::NotYet), Ok([250_625]), Err(Error::NotYet), Ok([-101_250])]);
    pin.done();
}

#[test]
fn eighty_five_degrees_are_believed_only_of_a_conversion() {
    let line = Line::default().converts().result(scratchpad(0x0550, 0x0c)).converts();
    let line = line.result(scratchpad(0x0550, 0x10)).converts();
    let (bus, mut pin) = line.bus();
    let mut chip = Ds18b20::alone(bus);
    let values: Vec<_> = (0..3).map(|_| chip.read()).collect();
    assert_eq!(values, [Err(Error::NotYet), Err(Error::NotYet), Ok([850_000])]);
    pin.done();
}

#[test]
fn a_wrong_checksum_a_silent_bus_and_a_shorted_one_are_told_apart() {
    let mut wrong = scratchpad(0x0191, 0x10);
    wrong[0] ^= 1;
    let line = Line::default().converts().result(wrong).converts().result([0; 9]).converts();
    let mut line = line.bit(true).reset(false).reset(false);
    line.0.extend([Transaction::set(State::High), Transaction::get(State::Low)]);
    let (bus, mut pin) = line.bus();
    let mut readout = Readout::new(Ds18b20::alone(bus), ChannelIndex(0));
    assert_eq!(measured(&mut readout), [(0, Quality::Bad)]);
    let mut chip = readout.release();
    let errors: Vec<Error<MockError>> = (0..4).map(|_| chip.read().unwrap_err()).collect();
    let expected = [BusError::Checksum, BusError::Checksum, BusError::NobodyThere, BusError::Shorted];
    assert_eq!(errors, expected.map(Error::Bus));
    pin.done();
}

#[test]
fn one_of_several_is_called_by_its_number() {
    let mut rom = [0x28, 0xff, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0];
    rom[7] = checksum(&rom[..7]);
    let line = Line::default().reset(true).written(&[0x33]).read(&rom);
    let line = line.reset(true).written(&[0x55]).written(&rom).written(&[0x44]);
    let (mut bus, mut pin) = line.bus();
    assert_eq!(read_rom(&mut bus), Ok(rom));
    assert_eq!(Ds18b20::with_rom(bus, rom).read(), Err(Error::NotYet));
    pin.done();
}
