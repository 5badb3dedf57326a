//! The channels of a Hello: written from a slice, read in place, so that neither side allocates.

use super::{FrameError, MAX_CHANNELS};
use crate::{channel::ChannelDecl, id::ChannelName, unit::MAX_UNIT};

/// The longest encoded declaration: name and unit with a length byte each, kind, scale.
#[cfg(test)]
const MAX_DECL: usize = 2 + crate::id::MAX_NAME + MAX_UNIT + 2;

/// Channel declarations in the order of their index.
#[derive(Clone, Copy, Debug)]
pub struct ChannelList<'a>(Form<'a>);

/// A board writes what it was given, and never reads a list: nothing that reads one may be linked for what writes it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'a> {
    Given(&'a [ChannelDecl<&'a str>]),
    /// Checked when it was read.
    Packed {
        count: u8,
        bytes: &'a [u8],
    },
}

impl<'a> ChannelList<'a> {
    /// At most [`MAX_CHANNELS`] declarations with a name each of its own, units of at most [`MAX_UNIT`] bytes.
    pub fn new(channels: &'a [ChannelDecl<&'a str>]) -> Result<Self, FrameError> {
        if channels.len() > MAX_CHANNELS || channels.iter().any(|channel| !valid(channel)) {
            return Err(FrameError::Channels);
        }
        let names = channels.iter().map(|channel| channel.name);
        distinct(names)?;
        Ok(Self(Form::Given(channels)))
    }

    pub(super) const fn form(&self) -> Form<'a> {
        self.0
    }

    pub fn len(&self) -> usize {
        match self.0 {
            Form::Given(channels) => channels.len(),
            Form::Packed { count, .. } => usize::from(count),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = ChannelDecl<&'a str>> + Clone + use<'a> {
        let mut rest = *self;
        core::iter::from_fn(move || match &mut rest.0 {
            Form::Given(channels) => {
                let (first, others) = channels.split_first()?;
                *channels = others;
                Some(*first)
            }
            Form::Packed { count, bytes } => {
                *count = count.checked_sub(1)?;
                let (decl, others) = postcard::take_from_bytes(bytes).ok()?;
                *bytes = others;
                Some(decl)
            }
        })
    }

    pub(super) fn parse(count: u8, bytes: &'a [u8]) -> Result<Self, FrameError> {
        if usize::from(count) > MAX_CHANNELS {
            return Err(FrameError::Channels);
        }
        let mut rest = bytes;
        for _ in 0..count {
            let (decl, others) =
                postcard::take_from_bytes::<ChannelDecl<&str>>(rest).map_err(|_| FrameError::Body)?;
            if !valid(&decl) {
                return Err(FrameError::Channels);
            }
            rest = others;
        }
        if !rest.is_empty() {
            return Err(FrameError::Body);
        }
        let list = Self(Form::Packed { count, bytes });
        distinct(list.iter().map(|channel| channel.name))?;
        Ok(list)
    }
}

/// A channel is known by its name everywhere beyond the frame. Compared one by one: there are few, and nothing here may
/// allocate.
fn distinct(names: impl Iterator<Item = ChannelName> + Clone) -> Result<(), FrameError> {
    let mut rest = names;
    while let Some(name) = rest.next() {
        if rest.clone().any(|later| later == name) {
            return Err(FrameError::Channels);
        }
    }
    Ok(())
}

fn valid(decl: &ChannelDecl<&str>) -> bool {
    decl.unit.len() <= MAX_UNIT && decl.scale <= crate::reading::MAX_SCALE
}

impl PartialEq for ChannelList<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelName, ValueKind};

    fn channels(names: [&str; 3]) -> [ChannelDecl<&'static str>; 3] {
        names.map(|name| ChannelDecl {
            name: ChannelName::new(name).expect("a name"),
            unit: "",
            kind: ValueKind::Bool,
            scale: 0,
        })
    }

    /// Two channels of one name could not be told apart by anyone behind the gateway.
    #[test]
    fn a_name_used_twice_is_refused_when_given_and_when_read() {
        for (names, good) in [(["door", "hatch", "gate"], true), (["door", "hatch", "door"], false)] {
            let given = channels(names);
            assert_eq!(ChannelList::new(&given).is_ok(), good, "{names:?}");
            let mut bytes = [0; 3 * MAX_DECL];
            let mut len = 0;
            for channel in &given {
                len += postcard::to_slice(channel, &mut bytes[len..]).expect("it encodes").len();
            }
            let read = ChannelList::parse(3, &bytes[..len]);
            assert_eq!(read.is_ok(), good, "{names:?}");
            assert!(good || matches!(read, Err(FrameError::Channels)));
        }
    }
}
