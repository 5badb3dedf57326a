//! Many devices at once.

use tidegate_alarms::{AlarmKind, RuleSet, RulesSettings, TransitionKind};
use tidegate_ingest::core::{Event, Snapshot};
use tidegate_protocol::{block::OriginReadings, topic::Lane};

use crate::support::{Bench, described, encode, origin, reading};

fn half() -> RuleSet {
    let rule = serde_json::json!({ "rule": [
        { "id": "many-hot", "select": { "channel": "x" }, "above": 60.0, "group": { "fraction": 0.5 } },
    ] });
    RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap()
}

fn measure(bench: &mut Bench, device: &str, seq: u64, value: f64) {
    let origin = origin(device, 1);
    let readings = OriginReadings { origin, readings: vec![reading(seq, value)] };
    bench.send(Lane::Live, encode(vec![described(origin)], vec![readings]));
}

#[test]
fn a_group_is_one_alarm_and_its_members_are_none() {
    let mut bench = Bench::with_rules(half(), Snapshot::default());
    bench.handle(Event::Time { unix_ms: 1_800_000_000_000 });
    for device in ["a", "b", "c", "d"] {
        measure(&mut bench, device, 0, 20.0);
    }
    measure(&mut bench, "a", 1, 70.0);
    let told = |bench: &Bench| -> Vec<(TransitionKind, String, String)> {
        let events = bench.batches.iter().flat_map(|batch| &batch.events);
        events.map(|event| (event.transition, event.device.to_string(), event.message.clone())).collect()
    };
    assert!(told(&bench).is_empty(), "one of four");
    measure(&mut bench, "b", 1, 70.0);
    assert_eq!(told(&bench).len(), 1, "{:?}", told(&bench));
    let (kind, device, message) = told(&bench).remove(0);
    assert_eq!((kind, device.as_str()), (TransitionKind::Raise, "group"));
    assert!(message.contains('2') && message.contains('4'), "{message}");
    measure(&mut bench, "c", 1, 70.0);
    measure(&mut bench, "a", 2, 20.0);
    assert_eq!(told(&bench).len(), 1, "two of four still");
    measure(&mut bench, "b", 2, 20.0);
    assert_eq!(told(&bench).last().map(|told| told.0), Some(TransitionKind::Clear));
    let mut events = bench.batches.iter().flat_map(|batch| &batch.events);
    assert!(events.all(|event| event.kind == AlarmKind::Group));
    let history: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.history).collect();
    assert!(history.is_empty(), "{history:?}");
}
