//! Summaries of thinned readings. They are no readings: neither ledger nor lake nor rules know of them.
//!
//! Of one gateway two summaries of a channel have seqs in common only when one was merged from the other: agents sum up
//! runs of seqs, and merge only neighbours. So one that lies within another of the same gateway is a part of it, and the
//! whole stands for both, in whatever order they come and however often. What two gateways say is kept side by side.

use tidegate_protocol::{ChannelIndex, GatewayId, Summary};

use super::{
    StoreError, keys,
    lmdb::{Table, Writer},
    look::Look,
};
use crate::core::batch::OriginNo;

/// A summary, and who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    pub gateway: GatewayId,
    pub summary: Summary,
}

pub(super) fn write(
    writer: &mut Writer<'_>,
    summaries: &[(OriginNo, GatewayId, Summary)],
) -> Result<(), StoreError> {
    for (no, gateway, summary) in summaries {
        let of_series = keys::series(*no, summary.channel, *gateway);
        let at = |seq| [of_series.as_slice(), &keys::number(seq)].concat();
        let key = at(summary.range.start);
        let before = writer.floor(Table::Summaries, &key)?.filter(|(key, _)| key.starts_with(&of_series));
        if let Some((_, value)) = before
            && keys::decode::<Summary>(value)?.range.end >= summary.range.end
        {
            continue;
        }
        let mut parts = Vec::new();
        for pair in writer.scan(Table::Summaries, &key)? {
            let (part, value) = pair?;
            if !part.starts_with(&of_series) || keys::decode::<Summary>(value)?.range.end > summary.range.end
            {
                break;
            }
            parts.push(part.to_vec());
        }
        for part in parts {
            writer.delete(Table::Summaries, &part)?;
        }
        writer.put(Table::Summaries, &key, &keys::encode(summary)?)?;
    }
    Ok(())
}

impl Look<'_> {
    /// An origin's summaries from a key on, by channel, gateway and seq, until `each` says stop; it gets each one's key.
    pub fn summaries(
        &self,
        no: OriginNo,
        from: &[u8],
        mut each: impl FnMut(&[u8], Made) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let of_origin = keys::origin(no);
        for pair in self.reader().scan(Table::Summaries, from.max(&of_origin))? {
            let (key, value) = pair?;
            if !key.starts_with(&of_origin) {
                break;
            }
            let made = Made { gateway: keys::read_series_gateway(key)?, summary: keys::decode(value)? };
            if !each(key, made)? {
                break;
            }
        }
        Ok(())
    }

    /// How many summaries stand for readings of an origin.
    pub fn summary_count(&self, no: OriginNo) -> Result<u64, StoreError> {
        let mut count = 0;
        self.summaries(no, &[], |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }
}

/// The lowest key of a channel's summaries.
pub fn from_channel(no: OriginNo, channel: ChannelIndex) -> Vec<u8> {
    [keys::origin(no).as_slice(), &[channel.0]].concat()
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, DeviceId, Origin, SeqRange, Tick};

    use super::*;
    use crate::{
        core::batch::Batch,
        store::{LmdbStore, Store},
    };

    fn summary(start: u64, end: u64, channel: u8) -> Summary {
        Summary {
            origin: Origin::new(DeviceId::new("board").unwrap(), BootId(1)),
            channel: ChannelIndex(channel),
            range: SeqRange::new(start, end),
            ticks: (Tick(start), Tick(end)),
            count: end - start,
            min: 0.0,
            max: 2.0,
            mean: 1.0,
            crossings: 0,
        }
    }

    fn kept(given: &[(&str, Summary)]) -> Vec<(String, u64, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
        for (at, (gateway, summary)) in given.iter().enumerate() {
            let summaries = vec![(OriginNo(3), GatewayId::new(gateway).unwrap(), *summary)];
            store.commit(&Batch { number: at as u64, summaries, ..Batch::default() }).unwrap();
        }
        let look = store.look().unwrap();
        let mut kept = Vec::new();
        look.summaries(OriginNo(3), &[], |_, Made { gateway, summary }| {
            kept.push((gateway.to_string(), summary.range.start, summary.range.end));
            Ok(true)
        })
        .unwrap();
        assert_eq!(look.summary_count(OriginNo(2)).unwrap() + look.summary_count(OriginNo(4)).unwrap(), 0);
        kept
    }

    #[test]
    fn a_whole_takes_the_place_of_its_parts_in_any_order() {
        let (whole, parts) = (("gw", summary(0, 30, 0)), [(0, 10), (10, 20), (20, 30)]);
        let part = |at: usize| ("gw", summary(parts[at].0, parts[at].1, 0));
        let neighbour = ("gw", summary(30, 40, 0));
        let expected = [("gw".to_owned(), 0, 30), ("gw".to_owned(), 30, 40)];
        assert_eq!(kept(&[part(0), part(1), neighbour, part(2), whole]), expected);
        assert_eq!(kept(&[whole, part(1), neighbour, part(0), whole, part(2)]), expected);
    }

    #[test]
    fn other_channels_and_gateways_stand_beside() {
        let kept =
            kept(&[("gw-a", summary(0, 30, 0)), ("gw-b", summary(10, 20, 0)), ("gw-a", summary(5, 9, 1))]);
        let expected = [("gw-a", 0, 30), ("gw-b", 10, 20), ("gw-a", 5, 9)];
        assert_eq!(kept, expected.map(|(gateway, start, end)| (gateway.to_owned(), start, end)));
    }
}
