//! Blocks that are kept for people to look at.

use tidegate_protocol::block::{Block, Decoder, ranges_of, read_stamp};

use super::{QueryError, shapes};
use crate::{
    core::batch::Quarantined,
    quarantine::{
        HeldView, MAX_HELD_RANGES, MAX_PASSED_OVER, MAX_SHOWN_READINGS, QuarantineSelection, QuarantineSize,
        QuarantineView, QuarantinedDetailView, QuarantinedReadingView, QuarantinedView, StampView,
    },
    store::{Look, StoreError, quarantine::Came},
};

pub(super) fn size(look: &Look<'_>) -> Result<QuarantineSize, QueryError> {
    let (blocks, bytes) = look.quarantine_size()?;
    Ok(QuarantineSize { blocks, bytes })
}

pub(super) fn list(look: &Look<'_>, selection: &QuarantineSelection) -> Result<QuarantineView, QueryError> {
    let QuarantineSelection { site, gateway, reason, from, limit } = selection;
    let mut decoder = Decoder::new().map_err(StoreError::from)?;
    let mut view = QuarantineView { size: size(look)?, ..QuarantineView::default() };
    let mut passed = 0;
    look.quarantine_from(*from, |number, block, came| {
        if view.blocks.len() >= *limit || passed >= MAX_PASSED_OVER {
            view.next = Some(number);
            return false;
        }
        passed += 1;
        if site.is_none_or(|site| site == block.from.site)
            && gateway
                .is_none_or(|gateway| gateway == block.from.gateway || gateway == came.last_from.gateway)
            && reason.is_none_or(|reason| reason == block.reason.name())
        {
            let decoded = decoder.decode(&block.bytes).ok();
            view.blocks.push(shown(number, &block, &came, decoded.as_ref()));
        }
        true
    })?;
    Ok(view)
}

pub(super) fn one(look: &Look<'_>, wanted: u64) -> Result<QuarantinedDetailView, QueryError> {
    let mut decoder = Decoder::new().map_err(StoreError::from)?;
    let mut found = None;
    look.quarantine_from(wanted, |number, block, came| {
        if number == wanted {
            let decoded = decoder.decode(&block.bytes).ok();
            let content = decoded.as_ref().map(readings).unwrap_or_default();
            found = Some(QuarantinedDetailView {
                block: shown(number, &block, &came, decoded.as_ref()),
                content,
            });
        }
        false
    })?;
    found.ok_or(QueryError::NotInQuarantine(wanted))
}

fn shown(number: u64, block: &Quarantined, came: &Came, decoded: Option<&Block>) -> QuarantinedView {
    let stamp = read_stamp(&block.bytes).ok().map(|stamp| StampView {
        lane: stamp.lane,
        epoch: format!("{:016x}", stamp.epoch),
        number: stamp.number,
    });
    QuarantinedView {
        number,
        content: block.content().iter().map(|byte| format!("{byte:02x}")).collect(),
        site: block.from.site,
        gateway: block.from.gateway,
        arrival_unix_ms: block.arrival_unix_ms,
        times: came.times,
        last_gateway: came.last_from.gateway,
        last_unix_ms: came.last_unix_ms,
        reason: block.reason.name(),
        because: block.because.clone(),
        bytes: block.bytes.len() as u64,
        stamp,
        readings: decoded.map(|decoded| decoded.reading_count() as u64),
        holds: decoded.map(holds).unwrap_or_default(),
    }
}

fn holds(block: &Block) -> Vec<HeldView> {
    let ranges = block.origins.iter().flat_map(|of| {
        let (device, boot) = (of.origin.device, of.origin.boot);
        let held = move |range: tidegate_protocol::SeqRange| HeldView {
            device,
            boot,
            range: (range.start, range.end),
        };
        ranges_of(&of.readings).into_iter().map(held)
    });
    ranges.take(MAX_HELD_RANGES).collect()
}

fn readings(block: &Block) -> Vec<QuarantinedReadingView> {
    let all = block.origins.iter().flat_map(|of| of.readings.iter().map(|reading| (of.origin, reading)));
    let views = all.map(|(origin, reading)| QuarantinedReadingView {
        device: origin.device,
        boot: origin.boot,
        seq: reading.seq.0,
        channel_index: reading.channel.0,
        tick_ms: reading.tick.0,
        value: shapes::value(reading.value),
        quality: reading.quality,
    });
    views.take(MAX_SHOWN_READINGS).collect()
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        BootId, ChannelIndex, DeviceId, GatewayId, Origin, Quality, Reading, Seq, SiteId, Tick, Value,
        ack::RejectReason,
        block::{Encoder, OriginReadings, Stamp, stamp},
        topic::{GatewayPath, Lane},
    };

    use super::*;
    use crate::{
        core::batch::Batch,
        store::{LmdbStore, Store, quarantine::MAX_QUARANTINE_BYTES},
        view::ValueView,
    };

    fn gateway(name: &str) -> GatewayPath {
        GatewayPath::new(SiteId::new("plant").expect("a slug"), GatewayId::new(name).expect("a slug"))
    }

    /// A block with one reading, as it came.
    fn block(value: f64, from: &str, number: u64, arrival_unix_ms: i64) -> Quarantined {
        let origin = Origin::new(DeviceId::new("board").expect("a slug"), BootId(5));
        let reading = Reading {
            seq: Seq(3),
            channel: ChannelIndex(1),
            tick: Tick(40),
            value: Value::F64(value),
            quality: Quality::Uncertain,
        };
        let origins = vec![OriginReadings { origin, readings: vec![reading] }];
        let block = Block { records: Vec::new(), origins };
        let mut bytes = Encoder::new().expect("an encoder").encode(&block).expect("a block");
        stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 9, number }).expect("a block");
        let because = format!("value {value}");
        Quarantined {
            from: gateway(from),
            arrival_unix_ms,
            reason: RejectReason::BootConflict,
            because,
            bytes,
        }
    }

    fn rubbish(bytes: Vec<u8>, arrival_unix_ms: i64) -> Quarantined {
        let (from, reason, because) = (gateway("gw-a"), RejectReason::Corrupt, "short".to_owned());
        Quarantined { from, arrival_unix_ms, reason, because, bytes }
    }

    fn store() -> (tempfile::TempDir, LmdbStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = LmdbStore::open(folder.path(), 256 << 20).expect("a store");
        (folder, store)
    }

    fn commit(store: &LmdbStore, quarantine: Vec<Quarantined>) {
        store.commit(&Batch { number: 1, quarantine, ..Batch::default() }).expect("it commits");
    }

    fn all(store: &LmdbStore) -> Vec<QuarantinedView> {
        let selection = QuarantineSelection { limit: 100, ..QuarantineSelection::default() };
        list(&store.look().expect("a look"), &selection).expect("a page").blocks
    }

    #[test]
    fn a_content_is_kept_once_and_says_who_brought_it_first_and_last_and_how_often() {
        let (_folder, store) = store();
        commit(&store, vec![block(1.0, "gw-a", 4, 100), block(2.0, "gw-a", 5, 101)]);
        commit(&store, vec![block(1.0, "gw-a", 6, 200), block(1.0, "gw-b", 0, 300)]);
        let kept = all(&store);
        assert_eq!(
            kept.iter().map(|known| (known.number, known.times)).collect::<Vec<_>>(),
            [(0, 3), (1, 1)]
        );
        let first = &kept[0];
        assert_eq!((first.gateway.as_str(), first.arrival_unix_ms), ("gw-a", 100));
        assert_eq!((first.last_gateway.as_str(), first.last_unix_ms), ("gw-b", 300));
        let stamp = StampView { lane: Lane::Live, epoch: "0000000000000009".into(), number: 4 };
        assert_eq!((&first.stamp, first.readings), (&Some(stamp), Some(1)));
        let held =
            HeldView { device: DeviceId::new("board").expect("a slug"), boot: BootId(5), range: (3, 4) };
        assert_eq!((first.holds.as_slice(), first.reason), ([held].as_slice(), "boot-conflict"));
        assert_ne!(first.content, kept[1].content);
        let shown = one(&store.look().expect("a look"), 1).expect("it is there").content;
        assert_eq!(shown.len(), 1);
        assert_eq!((shown[0].seq, shown[0].channel_index, shown[0].tick_ms), (3, 1, 40));
        assert_eq!((shown[0].value, shown[0].quality), (ValueView::Number(2.0), Quality::Uncertain));
        let missing = one(&store.look().expect("a look"), 2);
        assert!(matches!(missing, Err(QueryError::NotInQuarantine(2))));
    }

    #[test]
    fn pages_follow_one_another_and_pick_what_is_asked_for() {
        let (_folder, store) = store();
        let of = |at: u64| match at % 3 {
            0 => rubbish(vec![at as u8; 5], at as i64),
            1 => block(at as f64, "gw-a", at, at as i64),
            _ => block(at as f64, "gw-b", at, at as i64),
        };
        commit(&store, (0..30).map(of).collect());
        let look = store.look().expect("a look");
        let (mut from, mut numbers) = (Some(0), Vec::new());
        while let Some(next) = from {
            let selection = QuarantineSelection { from: next, limit: 7, ..QuarantineSelection::default() };
            let page = list(&look, &selection).expect("a page");
            assert!(page.blocks.len() <= 7);
            assert_eq!(page.size.blocks, 30);
            numbers.extend(page.blocks.iter().map(|block| block.number));
            from = page.next;
        }
        assert_eq!(numbers, (0..30).collect::<Vec<_>>());
        let count = |selection| list(&look, &selection).expect("a page").blocks.len();
        let any = QuarantineSelection { limit: 100, ..QuarantineSelection::default() };
        assert_eq!(count(QuarantineSelection { reason: Some("corrupt"), ..any.clone() }), 10);
        let gateway = GatewayId::new("gw-b").ok();
        assert_eq!(count(QuarantineSelection { gateway, ..any.clone() }), 10);
        assert_eq!(count(QuarantineSelection { site: SiteId::new("other").ok(), ..any }), 0);
        let unread = &all(&store)[0];
        assert_eq!((unread.stamp.clone(), unread.readings, unread.bytes), (None, None, 5));
    }

    #[test]
    fn the_oldest_leave_at_the_bound_and_are_new_when_they_come_again() {
        let (_folder, store) = store();
        let large = |at: u8| rubbish(vec![at; 1 << 20], i64::from(at));
        for at in 0..70 {
            commit(&store, vec![large(at)]);
        }
        let size = size(&store.look().expect("a look")).expect("a size");
        assert!(size.bytes <= MAX_QUARANTINE_BYTES && size.blocks < 70, "{size:?}");
        let kept = all(&store);
        assert_eq!(kept.last().map(|block| block.number), Some(69));
        assert!(kept[0].number > 0);
        commit(&store, vec![large(0)]);
        let again = all(&store).pop().expect("it is kept");
        assert_eq!((again.number, again.times), (70, 1));
        // Past their time they leave with what was noted of them.
        assert!(store.trim_quarantine(69).expect("trimmed") > 0);
        let numbers: Vec<u64> = all(&store).iter().map(|block| block.number).collect();
        assert_eq!(numbers, [69, 70]);
        commit(&store, vec![large(69), large(68)]);
        let times: Vec<(u64, u64)> = all(&store).iter().map(|block| (block.number, block.times)).collect();
        assert_eq!(times, [(69, 2), (70, 1), (71, 1)]);
    }
}
