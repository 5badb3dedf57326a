//! A chip's quantities as channels. A chip gives all of them in one read: channels that are due at one time share it.

use tidegate_firmware::sampler::Sensor;
use tidegate_protocol::{
    ChannelDecl, Quality, Value, ValueKind,
    id::{ChannelIndex, ChannelName, NameError},
};

/// What one of a chip's channels measures: a SenML unit, and how many decimals its integers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    pub unit: &'static str,
    pub scale: u8,
}

/// A chip that measures `N` quantities at once.
pub trait Chip<const N: usize> {
    type Error;

    /// In the order in which [`Self::read`] gives them.
    fn quantities(&self) -> [Quantity; N];

    /// All of them, as integers of their scales.
    fn read(&mut self) -> Result<[i64; N], Self::Error>;
}

/// A chip as the sensor of `N` channels that follow each other. A read that fails is tried once for each channel that is due;
/// they give the last values then, with quality bad.
#[derive(Debug)]
pub struct Readout<C, const N: usize> {
    chip: C,
    first: ChannelIndex,
    last: [i64; N],
    /// Of the last read, what has been given out.
    given: [bool; N],
    failures: u32,
}

impl<C: Chip<N>, const N: usize> Readout<C, N> {
    /// `first` is the index of the chip's first channel.
    pub const fn new(chip: C, first: ChannelIndex) -> Self {
        Self { chip, first, last: [0; N], given: [true; N], failures: 0 }
    }

    /// The declarations of its channels, under these names.
    pub fn declare(&self, names: [&str; N]) -> Result<[ChannelDecl<&'static str>; N], NameError> {
        let unnamed = ChannelName::new("unnamed")?;
        let mut declared = self.chip.quantities().map(|Quantity { unit, scale }| ChannelDecl {
            name: unnamed,
            unit,
            kind: ValueKind::Decimal,
            scale,
        });
        for (channel, name) in declared.iter_mut().zip(names) {
            channel.name = ChannelName::new(name)?;
        }
        Ok(declared)
    }

    /// How many reads failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Gives the chip back.
    pub fn release(self) -> C {
        self.chip
    }
}

impl<C: Chip<N>, const N: usize> Sensor for Readout<C, N> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        let at = usize::from(channel.0.wrapping_sub(self.first.0));
        let mut quality = Quality::Good;
        if self.given.get(at).copied().unwrap_or(true) {
            match self.chip.read() {
                Ok(values) => (self.last, self.given) = (values, [false; N]),
                Err(_) => {
                    self.failures = self.failures.saturating_add(1);
                    quality = Quality::Bad;
                }
            }
        }
        if let Some(given) = self.given.get_mut(at) {
            *given = true;
        }
        let scale = self.chip.quantities().get(at).map_or(0, |quantity| quantity.scale);
        let mantissa = self.last.get(at).copied().unwrap_or(0);
        (Value::Decimal { mantissa, scale }, quality)
    }
}
