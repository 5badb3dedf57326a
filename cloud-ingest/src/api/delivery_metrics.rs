//! Prometheus metrics of deliveries. A label is a receiver's id: those are in the settings, and few.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::source::Source;
use crate::{
    clock,
    delivery::view::{ReceiverState, ReceiverView},
};

pub struct OfTheDesk(pub Arc<dyn Source>);

impl fmt::Debug for OfTheDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfTheDesk")
    }
}

type Gauge = (&'static str, &'static str, Option<Unit>, fn(&ReceiverView, i64) -> i64);

const GAUGES: [Gauge; 4] = [
    ("deliveries_waiting", "Events that wait for a receiver", None, |view, _| count(view.waiting)),
    ("deliveries_parked", "Events that could not be delivered and were given up", None, |view, _| {
        count(view.parked)
    }),
    (
        "deliveries_oldest_waiting",
        "How long the oldest event has waited",
        Some(Unit::Seconds),
        |view, now_unix_ms| {
            view.oldest_waiting_unix_ms.map_or(0, |oldest| now_unix_ms.saturating_sub(oldest).max(0) / 1_000)
        },
    ),
    ("receiver_disabled", "1 while nothing is sent to a receiver", None, |view, _| {
        i64::from(view.state == ReceiverState::Disabled)
    }),
];

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Collector for OfTheDesk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // A store that cannot be read is told elsewhere.
        let views = self.0.delivery().receivers().unwrap_or_default().receivers;
        let help = "Messages by what became of them: delivered, failed (and tried again), parked";
        let mut family = encoder.encode_descriptor("deliveries", help, None, MetricType::Counter)?;
        for view in &views {
            let tally = view.tally;
            for (outcome, number) in
                [("delivered", tally.delivered), ("failed", tally.failed), ("parked", tally.parked)]
            {
                let labels = [("receiver", view.id.as_str()), ("outcome", outcome)];
                ConstCounter::new(number).encode(family.encode_family(&labels)?)?;
            }
        }
        let now_unix_ms = clock::unix_ms();
        for (name, help, unit, of) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for view in &views {
                let labels = [("receiver", view.id.as_str())];
                ConstGauge::new(of(view, now_unix_ms)).encode(family.encode_family(&labels)?)?;
            }
        }
        let heartbeat = self.0.figures().heartbeat_unix_ms as f64 / 1_000.0;
        let help = "When the ingest was well last: its core answers and its commits succeed";
        let gauge = encoder.encode_descriptor(
            "heartbeat_timestamp",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(heartbeat).encode(gauge)
    }
}
