//! Everything that the boards of a test measured, to hold against what the cloud has.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::Value as Json;
use tidegate_protocol::{DeviceId, Reading, Value, ValueKind};
use tidegate_service::Shutdown;
use tidegate_simulator::{
    BoardHandle, BoardPlan, ChannelPlan, Script, Shape, VirtualBoard,
    plan::{Observer, channel},
};

use crate::{
    api::Api,
    eventually::eventually,
    lake::{self, double},
    recording::{Episode, episodes_below},
};

/// What the boards' temperatures are held against.
pub const LIMIT: f64 = 40.0;
/// The rule over those temperatures.
pub const RULES: &str = r#"
[[rule]]
id = "too-cold"
select = { device = "board-*", channel = "temperature" }
below = 40.0
unit = "Cel"
priority = "high"
"#;

const CHANNELS: [&str; 4] = ["temperature", "vibration", "parts", "door"];
/// Enough for everything a test measures: what a board has to give up is another test's business.
const RING_BYTES: usize = 16 << 20;

/// Seqs are places: a device has one boot in a test.
type Readings = Vec<(u8, Value)>;

#[derive(Clone, Default)]
pub struct Measured {
    devices: Arc<Mutex<BTreeMap<DeviceId, Readings>>>,
}

impl Measured {
    pub fn observer(&self) -> Observer {
        let devices = Arc::clone(&self.devices);
        Arc::new(move |device, reading: &Reading| {
            let mut devices = devices.lock().expect("no observer panics");
            let readings = devices.entry(*device).or_default();
            assert_eq!(reading.seq.0, readings.len() as u64, "a board numbers without holes");
            readings.push((reading.channel.0, reading.value));
        })
    }

    fn of(&self, device: &DeviceId) -> Readings {
        self.devices.lock().expect("no observer panics").get(device).cloned().unwrap_or_default()
    }

    fn devices(&self) -> Vec<DeviceId> {
        self.devices.lock().expect("no observer panics").keys().copied().collect()
    }

    pub fn count(&self) -> u64 {
        self.devices.lock().expect("no observer panics").values().map(|readings| readings.len() as u64).sum()
    }

    /// A board whose four channels are sampled every `period_ms`.
    pub fn board(&self, number: u64, period_ms: u32, link: SocketAddr) -> BoardHandle {
        let device = DeviceId::new(&format!("board-{number}")).expect("a slug");
        let script = Script::Signals { channels: channels(period_ms), seed: number };
        let mut plan = BoardPlan::new(device, script);
        plan.ring_bytes = RING_BYTES;
        plan.observer = Some(self.observer());
        VirtualBoard::spawn(plan, link, Shutdown::new()).expect("a board from a good plan")
    }

    /// Holds the lake against what was measured: nothing lost, nothing doubled, every value the same.
    pub async fn is_in_lake(&self, data: &Path) {
        for device in self.devices() {
            let expected = self.of(&device);
            let select =
                format!("SELECT seq, channel, value FROM LAKE WHERE device = '{device}' ORDER BY seq");
            let rows = eventually("all readings in the lake", async || {
                let rows = lake::try_query(data, &select)?;
                if rows.len() >= expected.len() { Ok(rows) } else { Err(format!("{} rows", rows.len())) }
            })
            .await;
            assert_eq!(rows.len(), expected.len(), "{device}: rows in the lake, readings measured");
            for (seq, (row, (index, value))) in (0_u64..).zip(rows.iter().zip(&expected)) {
                let wanted =
                    (Some(seq), CHANNELS.get(usize::from(*index)).copied(), value.as_f64().to_bits());
                let found = (row[0].as_u64(), row[1].as_str(), double(&row[2]).to_bits());
                assert_eq!(found, wanted, "{device}, seq {seq}: in the lake, as measured");
            }
        }
    }

    /// Holds the settled alarm history against a plain look at what was measured.
    pub async fn has_its_history(&self, api: &Api) {
        for device in self.devices() {
            let of_rule = self.temperatures(&device);
            let values: Vec<f64> = of_rule.iter().map(|(_, value)| *value).collect();
            let at = |place: u64| of_rule[usize::try_from(place).expect("a place")].0;
            let expected: Vec<Episode> = episodes_below(LIMIT, &values)
                .iter()
                .map(|e| Episode { raised: at(e.raised), cleared: e.cleared.map(at) })
                .collect();
            assert!(expected.len() > 1, "{device}: a history that proves nothing");
            assert_eq!(history(api, device.as_str()).await, expected, "{device}");
        }
    }

    /// As `temperatures`, by the device's name.
    pub fn temperatures_of(&self, device: &str) -> Vec<(u64, f64)> {
        self.temperatures(&DeviceId::new(device).expect("a slug"))
    }

    /// (seq, value) of the channel under the rule.
    fn temperatures(&self, device: &DeviceId) -> Vec<(u64, f64)> {
        let readings = (0..).zip(self.of(device));
        readings
            .filter(|(_, (index, _))| *index == 0)
            .map(|(seq, (_, value))| (seq, value.as_f64()))
            .collect()
    }
}

fn channels(period_ms: u32) -> Vec<ChannelPlan> {
    let temperature = Shape::Wave { mean: LIMIT, swing: 1.0, period_s: 4.0, wander: 0.0, noise: 0.2 };
    let vibration = Shape::Vibration { idle: 0.1, running: 2.0, burst: 5.0, cycle_s: 5.0 };
    let plans = [
        (CHANNELS[0], "Cel", ValueKind::F64, 0, temperature),
        (CHANNELS[1], "m/s2", ValueKind::F32, 0, vibration),
        (CHANNELS[2], "count", ValueKind::Decimal, 0, Shape::Counter { per_s: 20.0 }),
        (CHANNELS[3], "", ValueKind::Bool, 0, Shape::Door { open_s: 1.0, shut_s: 1.0 }),
    ];
    let plan = |(name, unit, kind, scale, shape)| ChannelPlan {
        period_ms,
        ..channel(name, unit, kind, scale, shape).expect("a channel name")
    };
    plans.map(plan).into()
}

/// The settled occurrences of `device` under the rule `too-cold`.
pub async fn history(api: &Api, device: &str) -> Vec<Episode> {
    let answer = api.get(&format!("/api/v1/alarms/history?device={device}&rule=too-cold")).await;
    let occurrences = answer["occurrences"].as_array().expect("a list of occurrences");
    let seq = |at: &Json| at["seq"].as_u64();
    let episode = |o: &Json| Episode {
        raised: seq(&o["onset"]).expect("an onset has a seq"),
        cleared: seq(&o["clear"]),
    };
    occurrences.iter().map(episode).collect()
}
