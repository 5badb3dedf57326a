//! What the broker counts, in Prometheus' words.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tidegate_trust::Failure;

use crate::config::Tls;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Action {
    pub action: &'static str,
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub connections: Gauge,
    pub kept_sessions: Gauge,
    pub retained_messages: Gauge,
    pub accepted: Counter,
    pub refused: Family<Reason, Counter>,
    pub ended: Family<Reason, Counter>,
    pub messages_in: Counter,
    pub messages_out: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub skipped: Counter,
    pub unauthorised: Family<Action, Counter>,
    pub wills: Counter,
    pub retained_refused: Counter,
    pub router_restarts: Counter,
    pub probe_failures: Counter,
    pub probe_latency: Histogram,
    pub up: Gauge<f64, AtomicU64>,
    certificate_expiry: Gauge,
    revocations_due: Gauge,
    pub certificate_reloads: Counter,
    pub certificate_reload_failures: Counter,
    handshakes_failed: Family<Reason, Counter>,
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("tidegate_broker"),
            connections: Gauge::default(),
            kept_sessions: Gauge::default(),
            retained_messages: Gauge::default(),
            accepted: Counter::default(),
            refused: Family::default(),
            ended: Family::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            skipped: Counter::default(),
            unauthorised: Family::default(),
            wills: Counter::default(),
            retained_refused: Counter::default(),
            router_restarts: Counter::default(),
            probe_failures: Counter::default(),
            probe_latency: Histogram::new([0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]),
            up: Gauge::default(),
            certificate_expiry: Gauge::default(),
            revocations_due: Gauge::default(),
            certificate_reloads: Counter::default(),
            certificate_reload_failures: Counter::default(),
            handshakes_failed: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let to = &mut self.registry;
        to.register("connections", "Open client connections", self.connections.clone());
        to.register("kept_sessions", "Sessions kept for clients that are away", self.kept_sessions.clone());
        to.register("retained_messages", "Retained messages", self.retained_messages.clone());
        to.register("connections_accepted", "Clients that were let in", self.accepted.clone());
        to.register("connections_refused", "Clients that were not let in, by reason", self.refused.clone());
        to.register("connections_ended", "Connections that ended, by reason", self.ended.clone());
        to.register("messages_received", "Messages published by clients", self.messages_in.clone());
        to.register("messages_sent", "Messages sent to subscribers", self.messages_out.clone());
        to.register_with_unit("received", "From clients", Unit::Bytes, self.bytes_in.clone());
        to.register_with_unit("sent", "To clients", Unit::Bytes, self.bytes_out.clone());
        to.register(
            "messages_skipped",
            "Messages that a lagging subscriber missed because its log had moved on",
            self.skipped.clone(),
        );
        to.register(
            "authorisation_refusals",
            "What clients were not allowed, by action",
            self.unauthorised.clone(),
        );
        to.register("wills_published", "Wills of clients that vanished", self.wills.clone());
        to.register(
            "retained_refused",
            "Retained messages not kept because the store is full",
            self.retained_refused.clone(),
        );
        to.register(
            "router_restarts",
            "Restarts of the router after it failed",
            self.router_restarts.clone(),
        );
        to.register("probe_failures", "Health probes that did not come back", self.probe_failures.clone());
        to.register_with_unit(
            "probe_latency",
            "Round trip of a message through the router",
            Unit::Seconds,
            self.probe_latency.clone(),
        );
        to.register("up", "1 while the health probe comes back", self.up.clone());
        self
    }

    /// What is there only with TLS, and with revocation lists: a date of 0 would look like one that is past.
    pub fn with_certificates(mut self, tls: &Tls) -> Self {
        let to = &mut self.registry;
        to.register_with_unit(
            "certificate_expiry_timestamp",
            "When the broker's own certificate ends, in Unix time",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        if tls.files.clients.as_ref().is_some_and(|clients| clients.crl.is_some()) {
            to.register_with_unit(
                "revocation_list_due_timestamp",
                "When the first revocation list should have been replaced, in Unix time",
                Unit::Seconds,
                self.revocations_due.clone(),
            );
        }
        to.register(
            "certificate_reloads",
            "Times that certificates, key and revocation lists were read again",
            self.certificate_reloads.clone(),
        );
        to.register(
            "certificate_reload_failures",
            "Times that they were wrong, and those of before stayed in force",
            self.certificate_reload_failures.clone(),
        );
        to.register(
            "tls_handshakes_failed",
            "TLS handshakes that failed, by reason",
            self.handshakes_failed.clone(),
        );
        self
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _infallible = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    pub fn show_certificate(&self, not_after: i64, revocations_due: Option<i64>) {
        self.certificate_expiry.set(not_after);
        self.revocations_due.set(revocations_due.unwrap_or_default());
    }

    pub fn fail_handshake(&self, failure: &Failure) {
        let reason = if failure.by_peer { "refused-by-client" } else { failure.reason.label() };
        self.handshakes_failed.get_or_create(&Reason { reason }).inc();
        self.refuse("tls");
    }

    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub fn end(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }

    pub fn refuse_action(&self, action: &'static str, count: u64) {
        self.unauthorised.get_or_create(&Action { action }).inc_by(count);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
