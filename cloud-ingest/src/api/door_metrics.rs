//! Who came to the door, and who was not let in. Never a name, a token or an address: of those there is no bound.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::door::Door;

pub struct OfTheDoor(pub Arc<Door>);

impl fmt::Debug for OfTheDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfTheDoor")
    }
}

impl Collector for OfTheDoor {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let by_label = [
            (
                "http_sign_in_failures",
                "Times that somebody did not sign in, by reason",
                "reason",
                &[
                    ("wrong", read(&counts.wrong_passwords)),
                    ("rate-limited", read(&counts.rate_limited)),
                    ("busy", read(&counts.sign_ins_busy)),
                ][..],
            ),
            (
                "http_refused",
                "Requests of those who may not, by reason",
                "reason",
                &[
                    ("no-credentials", read(&counts.without_credentials)),
                    ("bad-credentials", read(&counts.bad_credentials)),
                    ("role", read(&counts.role_too_low)),
                    ("not-our-page", read(&counts.not_our_page)),
                    ("stranger", read(&counts.strangers)),
                ],
            ),
            (
                "http_let_in",
                "Requests of those who showed who they are, by what they showed",
                "by",
                &[("token", read(&counts.by_token)), ("session", read(&counts.by_session))],
            ),
        ];
        for (name, help, label, values) in by_label {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in values {
                ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?)?;
            }
        }
        let (name, help) = ("http_sign_ins", "Times that somebody signed in");
        let metric = ConstCounter::new(read(&counts.sign_ins));
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        let (name, help) = ("http_sessions", "Sessions that go on");
        let metric = ConstGauge::new(i64::try_from(self.0.sessions_open()).unwrap_or(i64::MAX));
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
    }
}
