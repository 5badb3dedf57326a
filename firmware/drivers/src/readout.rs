//! A chip's quantities as channels. A chip gives all of them in one read: channels that are due at one time share it.

use tidegate_firmware::{asynchronous::AsyncSensor, sampler::Sensor};
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
    held: Held<N>,
}

impl<C: Chip<N>, const N: usize> Readout<C, N> {
    /// `first` is the index of the chip's first channel.
    pub const fn new(chip: C, first: ChannelIndex) -> Self {
        Self { chip, held: Held::new(first) }
    }

    /// The declarations of its channels, under these names.
    pub fn declare(&self, names: [&str; N]) -> Result<[ChannelDecl<&'static str>; N], NameError> {
        declare(self.chip.quantities(), names)
    }

    /// How many reads failed.
    pub const fn failures(&self) -> u32 {
        self.held.failures
    }

    /// Gives the chip back.
    pub fn release(self) -> C {
        self.chip
    }
}

impl<C: Chip<N>, const N: usize> Sensor for Readout<C, N> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        let quality =
            if self.held.needs_read(channel) { self.held.take(self.chip.read()) } else { Quality::Good };
        (self.held.give(channel, self.chip.quantities()), quality)
    }
}

/// A [`Chip`] that is waited for, so that the board goes on meanwhile.
// Its futures stay on one executor, so nobody needs them to be `Send`.
#[allow(async_fn_in_trait)]
pub trait AsyncChip<const N: usize> {
    type Error;

    /// In the order in which [`Self::read`] gives them.
    fn quantities(&self) -> [Quantity; N];

    /// All of them, as integers of their scales.
    async fn read(&mut self) -> Result<[i64; N], Self::Error>;
}

/// As [`Readout`], of a chip that is waited for.
#[derive(Debug)]
pub struct AsyncReadout<C, const N: usize> {
    chip: C,
    held: Held<N>,
}

impl<C: AsyncChip<N>, const N: usize> AsyncReadout<C, N> {
    /// `first` is the index of the chip's first channel.
    pub const fn new(chip: C, first: ChannelIndex) -> Self {
        Self { chip, held: Held::new(first) }
    }

    /// The declarations of its channels, under these names.
    pub fn declare(&self, names: [&str; N]) -> Result<[ChannelDecl<&'static str>; N], NameError> {
        declare(self.chip.quantities(), names)
    }

    /// How many reads failed.
    pub const fn failures(&self) -> u32 {
        self.held.failures
    }

    /// Gives the chip back.
    pub fn release(self) -> C {
        self.chip
    }
}

impl<C: AsyncChip<N>, const N: usize> AsyncSensor for AsyncReadout<C, N> {
    async fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        let quality = if self.held.needs_read(channel) {
            self.held.take(self.chip.read().await)
        } else {
            Quality::Good
        };
        (self.held.give(channel, self.chip.quantities()), quality)
    }
}

/// The last read, and what of it has been given out.
#[derive(Debug)]
struct Held<const N: usize> {
    first: ChannelIndex,
    last: [i64; N],
    given: [bool; N],
    failures: u32,
}

impl<const N: usize> Held<N> {
    const fn new(first: ChannelIndex) -> Self {
        Self { first, last: [0; N], given: [true; N], failures: 0 }
    }

    fn at(&self, channel: ChannelIndex) -> usize {
        usize::from(channel.0.wrapping_sub(self.first.0))
    }

    fn needs_read(&self, channel: ChannelIndex) -> bool {
        self.given.get(self.at(channel)).copied().unwrap_or(true)
    }

    fn take<E>(&mut self, read: Result<[i64; N], E>) -> Quality {
        match read {
            Ok(values) => {
                (self.last, self.given) = (values, [false; N]);
                Quality::Good
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                Quality::Bad
            }
        }
    }

    fn give(&mut self, channel: ChannelIndex, quantities: [Quantity; N]) -> Value {
        let at = self.at(channel);
        if let Some(given) = self.given.get_mut(at) {
            *given = true;
        }
        let scale = quantities.get(at).map_or(0, |quantity| quantity.scale);
        Value::Decimal { mantissa: self.last.get(at).copied().unwrap_or(0), scale }
    }
}

fn declare<const N: usize>(
    quantities: [Quantity; N],
    names: [&str; N],
) -> Result<[ChannelDecl<&'static str>; N], NameError> {
    let unnamed = ChannelName::new("unnamed")?;
    let mut declared = quantities.map(|Quantity { unit, scale }| ChannelDecl {
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
