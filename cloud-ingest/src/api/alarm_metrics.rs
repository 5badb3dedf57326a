//! Prometheus metrics of alarms, by priority: of alarms there is no bound, of priorities there are four.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use tidegate_alarms::Priority;

use super::source::Source;

pub struct OfAlarms(pub Arc<dyn Source>);

impl fmt::Debug for OfAlarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfAlarms")
    }
}

impl Collector for OfAlarms {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = self.0.figures();
        let raised = ("alarm_raises", "Raises committed, late ones included", figures.alarm_raises);
        let active = ("alarms_active", "Alarms active now", figures.alarms_active);
        let help = "Alarms that wait to be acknowledged";
        let waiting = ("alarms_unacknowledged", help, figures.alarms_unacknowledged);
        for (kind, (name, help, counts)) in
            [(MetricType::Counter, raised), (MetricType::Gauge, active), (MetricType::Gauge, waiting)]
        {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (priority, count) in Priority::ALL.into_iter().zip(counts) {
                let labels = [("priority", priority.name())];
                let metric = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(count).encode(metric)?,
                    _ => ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric)?,
                }
            }
        }
        let differing = ("verdicts_differing", "Verdicts of gateways that differ from the ingest's now");
        let mut gauge = encoder.encode_descriptor(differing.0, differing.1, None, MetricType::Gauge)?;
        let count = i64::try_from(figures.verdicts_differing).unwrap_or(i64::MAX);
        ConstGauge::new(count).encode(gauge.encode_family(&NO_LABELS)?)?;
        let began = ("verdict_differences", "How often a gateway's verdict began to differ");
        let mut counter = encoder.encode_descriptor(began.0, began.1, None, MetricType::Counter)?;
        ConstCounter::new(figures.verdict_differences).encode(counter.encode_family(&NO_LABELS)?)?;
        Ok(())
    }
}

const NO_LABELS: [(&str, &str); 0] = [];
