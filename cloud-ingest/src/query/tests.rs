//! Questions over a store that was filled by the core, partly rolled to the lake.

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ClockQuality, GatewayId, LossReason, LossRecord, Origin, Quality,
    Reading, Seq, SeqRange, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, Tail, stamp},
    topic::{GatewayPath, Lane},
};

use super::*;
use crate::core::batch::OriginNo;
use crate::{
    certificate::{Statement, keys},
    clock::Clock,
    core::{Core, Effect, Event, Settings},
    events,
    lake::{Anchors, Expirer, RollSettings, Roller},
    store::Store,
    view::ValueView,
};

const ANCHOR_MS: i64 = 1_700_000_000_000;

struct Answered {
    query: Query,
    store: Arc<LmdbStore>,
    folder: tempfile::TempDir,
}

fn device() -> DeviceId {
    DeviceId::new("board-a").unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn readings(seqs: std::ops::Range<u64>) -> Vec<Reading> {
    let reading = |seq: u64| Reading {
        seq: Seq(seq),
        channel: ChannelIndex((seq % 2) as u8),
        tick: Tick(seq * 10),
        value: if seq.is_multiple_of(2) { Value::F64(seq as f64) } else { Value::Bool(seq % 4 == 1) },
        quality: Quality::Good,
    };
    seqs.map(reading).collect()
}

fn block(boot: u64, seqs: std::ops::Range<u64>, mut records: Vec<Record>) -> Bytes {
    let origin = Origin::new(device(), BootId(boot));
    let decl = |name, kind| ChannelDecl { name: channel(name), unit: String::new(), kind, scale: 0 };
    let channels = vec![decl("level", ValueKind::F64), decl("door", ValueKind::Bool)];
    let description = Description { origin, tag: "TT-1".into(), firmware: "1".into(), channels };
    records.push(Record::Described(description));
    let origins = vec![OriginReadings { origin, readings: readings(seqs) }];
    Encoder::new().unwrap().encode(&Block { records, origins }).unwrap().into()
}

fn anchor(boot: u64, unix_ms: i64) -> Record {
    let origin = Origin::new(device(), BootId(boot));
    Record::Anchor { origin, tick: Tick(0), unix_ms, error_ms: 5, quality: ClockQuality::Synced }
}

/// Orders that reach no core.
fn nobody() -> Arc<Orders> {
    let (core, _gone) = tokio::sync::mpsc::channel(1);
    Arc::new(Orders::new(core, Clock::start()))
}

/// Two boots of a device, 40 and 20 readings; the first 30 are in the lake. Boot 2 began 10 s after boot 1.
fn answered() -> Answered {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 64 << 20).unwrap());
    let lake = Lake::open(&folder.path().join("lake")).unwrap();
    let shown = Arc::new(Shown::default());
    take(&store, &shown, [block(1, 0..10, vec![anchor(1, ANCHOR_MS)]), block(1, 20..40, Vec::new())]);
    Roller::new(Arc::clone(&store), lake.clone(), RollSettings { interval_ms: 0, bytes: 0 })
        .roll_now()
        .unwrap();
    take(
        &store,
        &shown,
        [block(1, 10..20, Vec::new()), block(2, 0..20, vec![anchor(2, ANCHOR_MS + 10_000)])],
    );
    let query = Query::new(Arc::clone(&store), lake, shown, events::channel(), nobody());
    Answered { query, store, folder }
}

/// Gives blocks to a core and commits what it wants committed.
fn take(store: &LmdbStore, shown: &Shown, blocks: impl IntoIterator<Item = Bytes>) {
    let settings = Settings { credit_total_bytes: 1 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
    let rule = serde_json::json!({ "rule": [{ "id": "high", "select": { "channel": "level" }, "above": 16.0, "deadband": 1.0 }] });
    let rules = RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap();
    let mut core = Core::new(settings, rules, Decoder::new().unwrap(), store.snapshot().unwrap(), 1);
    let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
    for (number, bytes) in (0..).zip(blocks) {
        let (lane, mut bytes) = (Lane::Live, bytes.to_vec());
        stamp(&mut bytes, Stamp { lane, epoch: 1, number }).unwrap();
        core.handle(0, Event::Block { from, lane, bytes: bytes.into(), arrival_unix_ms: 77 });
        while let Some(effect) = core.poll() {
            if let Effect::Commit(batch) = effect {
                let used_bytes = store.commit(&batch).unwrap().used_bytes;
                shown.show_latest(batch.latest);
                core.handle(0, Event::Committed { batch: batch.number, used_bytes });
            }
        }
    }
}

fn request() -> ReadingsRequest {
    ReadingsRequest {
        site: None,
        device: device(),
        channel: None,
        since: None,
        until: None,
        boot: None,
        limit: 1_000,
        cursor: None,
    }
}

/// (boot, seq) of what a request gives, over all its pages.
fn all(query: &Query, mut request: ReadingsRequest) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    loop {
        let page = query.readings(&request).unwrap();
        assert!(page.readings.len() <= request.limit);
        found.extend(page.readings.iter().map(|reading| (reading.boot.0, reading.seq)));
        let Some(cursor) = page.next_cursor else { return found };
        request.cursor = Some(cursor);
    }
}

fn seqs(boot: u64, seqs: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    seqs.map(|seq| (boot, seq)).collect()
}

#[test]
fn pages_go_through_journal_and_lake_in_order_and_once() {
    let answered = answered();
    let query = &answered.query;
    let everything = [seqs(1, 0..40), seqs(2, 0..20)].concat();
    for limit in [1, 7, 60, 1_000] {
        assert_eq!(all(query, ReadingsRequest { limit, ..request() }), everything, "limit {limit}");
    }
    assert_eq!(all(query, ReadingsRequest { boot: Some(BootId(2)), ..request() }), seqs(2, 0..20));
    let doors = all(query, ReadingsRequest { channel: Some(channel("door")), limit: 9, ..request() });
    assert_eq!(doors, everything.iter().copied().filter(|(_, seq)| seq % 2 == 1).collect::<Vec<_>>());
    assert!(
        all(query, ReadingsRequest { site: Some(SiteId::new("other").unwrap()), ..request() }).is_empty()
    );
    let wrong = ReadingsRequest { cursor: Some("next".into()), ..request() };
    assert!(matches!(query.readings(&wrong), Err(QueryError::Cursor)));
}

#[test]
fn times_are_those_of_the_anchors_since_included_and_until_excluded() {
    let answered = answered();
    let query = &answered.query;
    let span = |since, until| ReadingsRequest { since, until, ..request() };
    assert_eq!(all(query, span(Some(ANCHOR_MS + 150), Some(ANCHOR_MS + 250))), seqs(1, 15..25));
    assert_eq!(all(query, span(Some(ANCHOR_MS + 10_000), None)), seqs(2, 0..20));
    assert_eq!(all(query, span(None, Some(ANCHOR_MS))), []);
    let first = query.readings(&span(Some(ANCHOR_MS + 10), None)).unwrap().readings.remove(0);
    assert_eq!((first.time_unix_ms, first.value), (Some(ANCHOR_MS + 10), ValueView::Bool(true)));
    assert_eq!(first.time.as_deref(), Some("2023-11-14T22:13:20.01Z"));
}

#[test]
fn a_listing_that_crosses_rolls_misses_and_doubles_nothing() {
    let answered = answered();
    let (query, store) = (&answered.query, &answered.store);
    let lake = query.lake.clone();
    let everything = [seqs(1, 0..40), seqs(2, 0..20)].concat();
    let mut found = Vec::new();
    let mut asked = ReadingsRequest { limit: 11, ..request() };
    loop {
        let page = query.readings(&asked).unwrap();
        found.extend(page.readings.iter().map(|reading| (reading.boot.0, reading.seq)));
        Roller::new(Arc::clone(store), lake.clone(), RollSettings { interval_ms: 0, bytes: 0 })
            .roll_now()
            .unwrap();
        let Some(cursor) = page.next_cursor else { break };
        asked.cursor = Some(cursor);
    }
    assert_eq!(found, everything);
}

#[test]
fn latest_and_devices_show_the_present_boot() {
    let answered = answered();
    let (query, store) = (&answered.query, &answered.store);
    let latest = |query: &Query| {
        let readings = query.latest(&Selection::default()).unwrap().readings;
        let mut seen: Vec<_> = readings.iter().map(|reading| (reading.boot.0, reading.seq)).collect();
        seen.sort_unstable();
        seen
    };
    assert_eq!(latest(query), [(2, 18), (2, 19)]);
    let devices = query.devices().unwrap().devices;
    assert_eq!((devices.len(), devices[0].boot, devices[0].channels.len()), (1, BootId(2), 2));
    assert_eq!(devices[0].last_arrival_unix_ms, 77);
    // The same after a restart, when it is gathered from journal and lake.
    let shown = Arc::new(Shown::default());
    shown.show_latest(store.snapshot().unwrap().latest);
    let restarted = Query::new(Arc::clone(store), query.lake.clone(), shown, events::channel(), nobody());
    assert_eq!(latest(&restarted), [(2, 18), (2, 19)]);
}

#[test]
fn audit_accounts_for_every_seq() {
    let answered = answered();
    let (query, store) = (&answered.query, &answered.store);
    let audit = query.audit(&Selection::default(), false).unwrap();
    assert!(audit.complete);
    assert_eq!((audit.totals.measured, audit.totals.stored), (60, 60));
    let origin = Origin::new(device(), BootId(2));
    let lost = LossRecord { origin, range: SeqRange::new(20, 25), reason: LossReason::RingOverflow };
    let records = vec![Record::Loss(lost), Record::Closed { origin, tail: Tail::Known(30) }];
    take(store, &Shown::default(), [block(2, 27..28, records)]);
    let audit = query.audit(&Selection { device: Some(device()), ..Selection::default() }, true).unwrap();
    let boot = &audit.origins[1];
    assert!(!audit.complete);
    assert_eq!((boot.measured.count, boot.measured.exact, boot.stored), (30, true, 21));
    assert_eq!(boot.lost.get("ring-overflow"), Some(&5));
    assert_eq!((boot.outstanding, boot.outstanding_ranges.as_slice()), (4, [(25, 27), (28, 30)].as_slice()));
}

fn certified(answered: &Answered, window: Option<(i64, i64)>) -> Result<Statement, QueryError> {
    let folder = tempfile::tempdir().unwrap();
    let key = CertificateKey::read(&keys::init(folder.path()).unwrap().private).unwrap();
    let query = answered.query.clone().with_key(Some(key.clone()));
    let request = CertificateRequest { site: None, device: device(), window };
    let certificate = query.certificate(&request)?;
    let json = serde_json::to_vec_pretty(&certificate).unwrap();
    Ok(Certificate::verify(&json, &key.public()).expect("what is signed is also consistent"))
}

#[test]
fn a_certificate_states_each_reading_and_does_not_change_with_where_it_is_kept() {
    let answered = answered();
    let told = certified(&answered, None).unwrap();
    assert!(told.is_complete() && told.window.is_none());
    assert_eq!((told.totals.readings, told.totals.stored, told.boots.len()), (60, 60, 2));
    assert_eq!(told.boots[0].content.readings, 40);
    assert_ne!(told.boots[0].content.sha256, told.boots[1].content.sha256);
    let lake = answered.query.lake.clone();
    Roller::new(Arc::clone(&answered.store), lake, RollSettings { interval_ms: 0, bytes: 0 })
        .roll_now()
        .unwrap();
    assert_eq!(certified(&answered, None).unwrap().boots, told.boots, "after the roll to the lake");
}

#[test]
fn a_certificate_names_losses_and_holes() {
    let answered = answered();
    let origin = Origin::new(device(), BootId(2));
    let lost = LossRecord { origin, range: SeqRange::new(20, 25), reason: LossReason::RingOverflow };
    take(&answered.store, &Shown::default(), [block(2, 27..28, vec![Record::Loss(lost)])]);
    let told = certified(&answered, None).unwrap();
    assert!(!told.is_complete());
    let boot = &told.boots[1];
    assert_eq!((&boot.lost["ring-overflow"], &boot.outstanding), (&vec![(20, 25)], &vec![(25, 27)]));
    assert_eq!(boot.stored, [(0, 20), (27, 28)]);
}

#[test]
fn a_window_is_certified_only_between_stored_readings() {
    let answered = answered();
    // Readings are 10 ms apart, the clock's error is 5 ms; boot 2 begins 10 s after boot 1.
    let told = certified(&answered, Some((ANCHOR_MS + 100, ANCHOR_MS + 200))).unwrap();
    assert_eq!((told.boots.len(), told.boots[0].covers), (1, (9, 22)));
    let across = certified(&answered, Some((ANCHOR_MS + 300, ANCHOR_MS + 10_100))).unwrap();
    assert_eq!(across.boots.iter().map(|boot| boot.covers).collect::<Vec<_>>(), [(29, 40), (0, 12)]);
    for window in [(ANCHOR_MS - 10, ANCHOR_MS + 100), (ANCHOR_MS + 100, ANCHOR_MS + 10_190)] {
        let refused = certified(&answered, Some(window));
        assert!(matches!(refused, Err(QueryError::NotBracketed(_))), "{window:?}: {refused:?}");
    }
}

#[test]
fn a_boot_that_was_heard_of_late_is_in_the_window_that_it_was_in() {
    let answered = answered();
    // Between the other two by its clock, behind them by the order of arrival; one of its readings is missing.
    take(&answered.store, &Shown::default(), [block(3, 0..4, vec![anchor(3, ANCHOR_MS + 5_000)])]);
    take(&answered.store, &Shown::default(), [block(3, 5..9, Vec::new())]);
    let across = certified(&answered, Some((ANCHOR_MS + 300, ANCHOR_MS + 10_100))).unwrap();
    let boots: Vec<_> = across.boots.iter().map(|boot| (boot.covers, boot.outstanding.len())).collect();
    assert_eq!(boots, [((29, 40), 0), ((0, 12), 0), ((0, 9), 1)]);
    assert!(!across.is_complete());
    let first = certified(&answered, Some((ANCHOR_MS + 100, ANCHOR_MS + 200))).unwrap();
    assert_eq!(first.boots.len(), 1, "the others began later");
}

#[test]
fn without_a_key_there_is_no_certificate() {
    let answered = answered();
    let request = CertificateRequest { site: None, device: device(), window: None };
    assert!(matches!(answered.query.certificate(&request), Err(QueryError::NoKey)));
}

#[test]
fn alarms_and_their_history_are_answered() {
    let answered = answered();
    let query = &answered.query;
    let selection = AlarmSelection { limit: 10, ..AlarmSelection::default() };
    let now = query.alarms(&selection).unwrap().alarms;
    // Boot 1 was above the limit when boot 2 took over, and boot 2's first reading cleared it, then raised it anew.
    let raised = now[0].raised.as_ref().unwrap();
    assert_eq!((now.len(), raised.boot, raised.seq), (1, BootId(2), Seq(18)));
    let selection = HistorySelection { limit: 10, ..HistorySelection::default() };
    let history = query.alarm_history(&selection).unwrap().occurrences;
    let told: Vec<_> =
        history.iter().map(|known| (known.onset.boot.0, known.onset.seq.0, known.clear.is_some())).collect();
    assert_eq!(told, [(1, 18, false), (2, 18, false)], "each boot has a history of its own");
}

fn unset(boot: u64) -> Record {
    let origin = Origin::new(device(), BootId(boot));
    let quality = ClockQuality::Unsynced;
    Record::Anchor { origin, tick: Tick(0), unix_ms: 1_000, error_ms: u32::MAX, quality }
}

#[test]
fn readings_of_before_the_time_was_known_get_it_and_say_so_from_journal_and_lake() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 64 << 20).unwrap());
    let lake = Lake::open(&folder.path().join("lake")).unwrap();
    let shown = Arc::new(Shown::default());
    let query = Query::new(Arc::clone(&store), lake.clone(), Arc::clone(&shown), events::channel(), nobody());
    let told = |query: &Query| -> Vec<_> {
        let page = query.readings(&request()).unwrap();
        let shown = page.readings.iter().map(|reading| {
            (
                reading.seq,
                reading.time_unix_ms,
                reading.time_quality,
                reading.time_error_ms,
                reading.time_corrected,
            )
        });
        shown.collect()
    };
    take(&store, &shown, [block(1, 0..10, vec![unset(1)])]);
    assert_eq!(told(&query)[9], (9, Some(1_090), ClockQuality::Unsynced, None, false));
    Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 }).roll_now().unwrap();
    take(&store, &shown, [block(1, 10..20, Vec::new()), block(1, 20..30, vec![anchor(1, ANCHOR_MS)])]);
    let synced = |seq: u64| {
        let time = Some(ANCHOR_MS + 10 * seq as i64);
        (seq, time, ClockQuality::Synced, Some(5), seq < 20)
    };
    assert_eq!(told(&query), (0..30).map(synced).collect::<Vec<_>>());
}

#[test]
fn what_left_with_the_lake_is_counted_and_what_is_kept_is_read() {
    const DAY_MS: i64 = 86_400_000;
    let Answered { query, store, folder } = answered();
    let expirer = Expirer::new(Arc::clone(&store), query.lake.clone());
    assert_eq!(expirer.expire(DAY_MS - 1).unwrap().files, 0, "its day is not over");
    // As after a crash between the transaction and the file's end.
    let (from, file) = store.look().unwrap().lake_files().unwrap().remove(0);
    let runs: Vec<_> = store.runs_of_files(&[from].into()).unwrap();
    let runs: Vec<_> = runs.into_iter().map(|(_, no, range)| (no, range)).collect();
    store.expire_file(from, &runs).unwrap();
    let path = folder.path().join("lake").join(&file.path);
    assert!(path.is_file());
    // A restart finds the note, and one that follows finds nothing left to do.
    for _ in 0..2 {
        assert_eq!(expirer.expire(DAY_MS).unwrap().files, 0);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }
    assert_eq!(all(&query, request()), [seqs(1, 10..20), seqs(2, 0..20)].concat());
    assert_eq!(query.readings(&request()).unwrap().expired, 30);
    let audit = query.audit(&Selection::default(), true).unwrap();
    assert!(audit.complete, "it was stored, and the ledger says so");
    assert_eq!((audit.totals.stored, audit.totals.expired), (60, 30));
    assert_eq!((audit.origins[0].expired, audit.origins[1].expired), (30, 0));
    // What comes again cannot be compared any more: it is no conflict, and is not stored twice.
    let shown = Shown::default();
    take(&store, &shown, [block(1, 0..10, Vec::new())]);
    let job = crate::core::VerifyJob {
        block: block(1, 0..20, Vec::new()),
        ranges: vec![(OriginNo(0), Origin::new(device(), BootId(1)), SeqRange::new(0, 20))],
    };
    let look = store.look().unwrap();
    assert_eq!(crate::readings::Source::new(&look, &query.lake).unwrap().verify(&job).unwrap(), []);
}

#[test]
fn an_anchor_that_comes_after_all_readings_went_to_the_lake_is_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 64 << 20).unwrap());
    let lake = Lake::open(&folder.path().join("lake")).unwrap();
    let shown = Arc::new(Shown::default());
    let mut anchors = Anchors::new(Arc::clone(&store), lake.clone(), 1_000);
    let file = folder.path().join("lake/anchors/anchors.parquet");
    let told = || -> Vec<(i64, Option<i64>, String)> {
        let file = std::fs::File::open(&file).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batches: Vec<_> = batches.map(Result::unwrap).collect();
        let rows = batches.iter().flat_map(|batch| {
            let unix_ms = batch.column_by_name("unix_ms").unwrap().as_primitive::<Int64Type>();
            let error_ms = batch.column_by_name("error_ms").unwrap().as_primitive::<Int64Type>();
            let quality = batch.column_by_name("time_quality").unwrap().as_string::<i32>();
            let error = |row| Some(error_ms.value(row)).filter(|_| error_ms.is_valid(row));
            (0..batch.num_rows())
                .map(move |row| (unix_ms.value(row), error(row), quality.value(row).to_owned()))
        });
        rows.collect()
    };
    take(&store, &shown, [block(1, 0..10, vec![unset(1)])]);
    Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 }).roll_now().unwrap();
    assert_eq!(anchors.write_if_changed(5_000, 1).unwrap(), Some(1), "always at the start");
    assert_eq!(told(), [(1_000, None, "unsynced".to_owned())]);
    let origin = Origin::new(device(), BootId(1));
    let better = Block { records: vec![anchor(1, ANCHOR_MS)], origins: Vec::new() };
    assert_eq!(better.records[0].origin(), origin);
    take(&store, &shown, [Encoder::new().unwrap().encode(&better).unwrap().into()]);
    assert_eq!(anchors.write_if_changed(5_500, 2).unwrap(), None, "not more often than that");
    assert_eq!(anchors.write_if_changed(6_000, 2).unwrap(), Some(1));
    assert_eq!(told(), [(ANCHOR_MS, Some(5), "synced".to_owned())]);
    assert_eq!(anchors.write_if_changed(9_000, 2).unwrap(), None, "nothing changed");
}
