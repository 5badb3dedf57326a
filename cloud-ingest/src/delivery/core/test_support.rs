//! Alarm events for tests of delivery, made by the rules' own code.

use tidegate_alarms::{
    AlarmEvent, Priority, ReadingAt, RuleSet, RulesSettings, State, TransitionKind,
    event::{Place, Standing, WallTime},
};
use tidegate_protocol::{
    BootId, ChannelIndex, ChannelName, ClockQuality, DeviceId, Quality, Reading, Seq, SiteId, Tick, Value,
};

/// A raise, priority high, of rule `hot` on channel `temperature`; ids differ by `seq`.
pub fn event(site: &str, device: &str, seq: u64) -> AlarmEvent {
    raise_and_clear(site, device, seq, "high").0
}

pub fn cleared(site: &str, device: &str, seq: u64) -> AlarmEvent {
    raise_and_clear(site, device, seq, "high").1
}

pub fn with_priority(priority: Priority, device: &str, seq: u64) -> AlarmEvent {
    raise_and_clear("plant", device, seq, priority.name()).0
}

/// The clear's reading is the one behind the raise's.
fn raise_and_clear(site: &str, device: &str, seq: u64, priority: &str) -> (AlarmEvent, AlarmEvent) {
    let rules = serde_json::json!({ "rule": [
        { "id": "hot", "select": {}, "above": 60.0, "priority": priority }
    ] });
    let settings: RulesSettings = serde_json::from_value(rules).expect("rules");
    let rules = RuleSet::from_settings(settings).expect("good rules");
    let (site, device) = (SiteId::new(site).expect("a slug"), DeviceId::new(device).expect("a slug"));
    let channel = ChannelName::new("temperature").expect("a name");
    let rule = rules.matching(site, device, channel, "Cel", "").rules.remove(0);
    let mut state = State::default();
    let mut told = [(seq, 99.5), (seq + 1, 20.0)].map(|(seq, value)| {
        let (tick, value, quality) = (Tick(seq * 1_000), Value::F64(value), Quality::Good);
        let reading = Reading { seq: Seq(seq), channel: ChannelIndex(0), tick, value, quality };
        let transition = rule.step(&mut state, &ReadingAt::new(BootId(1), &reading)).expect("a transition");
        let place = Place { site, device, channel, unit: "Cel" };
        AlarmEvent::new(&rule, place, &transition, Standing::default(), |point| WallTime {
            unix_ms: Some(1_795_824_000_000 + point.tick.0 as i64),
            quality: ClockQuality::Synced,
        })
    });
    let clear = told[1].clone();
    assert_eq!((told[0].transition, clear.transition), (TransitionKind::Raise, TransitionKind::Clear));
    told[0].provisional = false;
    (told[0].clone(), clear)
}
