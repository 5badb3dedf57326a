//! Prometheus metrics of the ingest. Labels are routes, statuses and reasons; never a device, whose number has no bound.

use std::{fmt, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::door::Door;

use super::{
    ApiState, alarm_metrics::OfAlarms, delivery_metrics::OfTheDesk, door_metrics::OfTheDoor,
    parameters::Parameters, problem::Problem, source::Source,
};

pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    streams_open: Gauge,
    streams_too_slow: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

/// An open event stream; counted until it is dropped.
pub struct OpenStream {
    gauge: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Metrics {
    pub fn new(source: Arc<dyn Source>, door: Arc<Door>) -> Self {
        let mut registry = Registry::with_prefix("tidegate_ingest");
        let (requests, streams_open, streams_too_slow) =
            (Family::<Answered, Counter>::default(), Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered, by route and status", requests.clone());
        registry.register("event_streams", "Event streams open now", streams_open.clone());
        let help = "Event streams ended because the watcher was too slow";
        registry.register("event_streams_too_slow", help, streams_too_slow.clone());
        registry.register_collector(Box::new(OfTheDoor(door)));
        registry.register_collector(Box::new(OfTheDesk(Arc::clone(&source))));
        registry.register_collector(Box::new(OfAlarms(Arc::clone(&source))));
        registry.register_collector(Box::new(OfTheSource(source)));
        Self { registry, requests, streams_open, streams_too_slow }
    }

    pub fn open_stream(&self, place: OwnedSemaphorePermit) -> OpenStream {
        self.streams_open.inc();
        OpenStream { gauge: self.streams_open.clone(), _place: place }
    }

    pub fn stream_too_slow(&self) {
        self.streams_too_slow.inc();
    }
}

pub async fn scrape(State(api): ApiState, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let metrics = Arc::clone(&api.metrics);
    // The source's figures may read the store.
    let body = api.ask(move |_| {
        let mut body = String::new();
        Ok(text::encode(&mut body, &metrics.registry).map(|()| body))
    });
    let body = body.await?.map_err(|error| Problem::internal(&format!("the metrics: {error}")))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// Counts each answer under its route; whatever has no route is one.
pub async fn count(State(api): ApiState, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    api.metrics.requests.get_or_create(&Answered { route, status }).inc();
    response
}

/// The core's figures, asked at each scrape.
struct OfTheSource(Arc<dyn Source>);

impl fmt::Debug for OfTheSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfTheSource")
    }
}

impl Collector for OfTheSource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = self.0.figures();
        for (name, help, value) in [
            ("blocks_received", "Blocks received", figures.blocks_received),
            ("bytes_received", "Bytes of blocks received", figures.bytes_received),
            ("readings_stored", "Readings committed for the first time", figures.readings_stored),
            ("readings_duplicate", "Readings that came again", figures.readings_duplicate),
            (
                "readings_conflicting",
                "Readings that came again with another content",
                figures.readings_conflicting,
            ),
            ("blocks_rejected_corrupt", "Blocks rejected: corrupt", figures.blocks_rejected_corrupt),
            (
                "blocks_rejected_undescribed",
                "Blocks rejected: undescribed",
                figures.blocks_rejected_undescribed,
            ),
            (
                "blocks_refused_full",
                "Blocks not taken because the journal was full",
                figures.blocks_refused_full,
            ),
            (
                "blocks_refused_verifying",
                "Blocks not taken because too many that came again were being compared",
                figures.blocks_refused_verifying,
            ),
            (
                "blocks_refused_origins",
                "Blocks without an answer because there was no room for the boots that were new in them",
                figures.blocks_refused_origins,
            ),
            (
                "descriptions_refused",
                "Channel lists refused because a name comes twice",
                figures.descriptions_refused,
            ),
            (
                "ranges_refused",
                "Ranges not taken because their origin has too many holes",
                figures.ranges_refused,
            ),
            ("blocks_rejected_sealed", "Blocks rejected: sealed", figures.blocks_rejected_sealed),
            (
                "blocks_rejected_unsupported",
                "Blocks rejected: of a version of the wire that is not read here",
                figures.blocks_rejected_unsupported,
            ),
            (
                "readings_refused_sealed",
                "Readings that came after their origins were sealed",
                figures.readings_refused_sealed,
            ),
            (
                "records_refused_sealed",
                "Losses, ends and the like that came after their origins were sealed",
                figures.records_refused_sealed,
            ),
            ("origins_sealed", "Ended origins whose ledger shrank to a row", figures.origins_sealed),
            (
                "histories_left",
                "Lost readings that arrived after all and came too late for the alarm history",
                figures.histories_left,
            ),
            (
                "readings_settled",
                "Readings that rules were evaluated over for the alarm history, those told again each time",
                figures.readings_settled,
            ),
            ("commits", "Journal commits", figures.commits),
            ("commit_failures", "Journal commits that failed", figures.commit_failures),
            ("acks_sent", "Block acknowledgements sent", figures.acks_sent),
            (
                "alarm_events_provisional",
                "Alarm events before their commit",
                figures.alarm_events_provisional,
            ),
            ("alarm_events_committed", "Alarm events after their commit", figures.alarm_events_committed),
            ("lake_files_written", "Parquet files written", figures.lake_files_written),
            ("lake_rows_written", "Rows written to Parquet", figures.lake_rows_written),
            (
                "journal_entries_damaged",
                "Journal entries that could not be read and went to quarantine",
                figures.journal_entries_damaged,
            ),
            ("broker_connects", "Connections made to the broker", figures.broker_connects),
        ] {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let health = self.0.health();
        for (name, help, value) in [
            ("last_commit_micros", "Duration of the last commit in microseconds", figures.last_commit_micros),
            ("uncommitted_bytes", "Bytes of blocks taken in and not committed", figures.uncommitted_bytes),
            ("origins_open", "Boots of devices whose ledgers are not sealed", figures.origins_open),
            ("quarantine_blocks", "Blocks in quarantine", figures.quarantine.blocks),
            ("quarantine_bytes", "Bytes that the quarantine takes", figures.quarantine.bytes),
            ("map_used_bytes", "Bytes of the store in use", figures.map_used_bytes),
            ("map_size_bytes", "Bytes the store may use", figures.map_size_bytes),
            ("journal_position", "The journal's next position", health.position),
            ("broker_connected", "1 while connected to the broker", u64::from(health.broker_connected)),
        ] {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        if let Some(expiry) = self.0.certificate_expiry() {
            let (name, unit) = ("certificate_expiry_timestamp", Some(&Unit::Seconds));
            let help = "When the certificate ends that the broker is shown, in Unix time";
            let metric = ConstGauge::new(expiry);
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)?;
        }
        Ok(())
    }
}
