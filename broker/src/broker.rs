//! What all connections of one broker share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_service::Shutdown;
use tidegate_trust::FileError;
use tidegate_trust::renewal::Credentials;
use tokio::sync::watch;

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::credentials;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::mqtt::Message;
use crate::registry::{Registry, RegistryLimits};
use crate::retained::Retained;
use crate::router::Router;

#[derive(Debug)]
pub struct Broker {
    pub config: Config,
    /// None: it speaks in clear.
    pub credentials: Option<Credentials>,
    pub registry: Arc<Registry>,
    pub catalogue: Catalogue,
    pub metrics: Metrics,
    pub health: Health,
    pub shutdown: Shutdown,
    retained: Mutex<Retained>,
    router: watch::Sender<Router>,
}

impl Broker {
    pub fn new(config: Config) -> Result<Self, FileError> {
        let credentials = config.tls.as_ref().map(credentials::load).transpose()?;
        let metrics = config.tls.iter().fold(Metrics::new(), Metrics::with_certificates);
        let limits = &config.limits;
        let registry = Registry::new(RegistryLimits {
            max_connections: limits.max_connections,
            max_connections_per_address: limits.max_connections_per_address,
            max_handshakes: limits.max_handshakes,
            max_handshakes_per_address: limits.max_handshakes_per_address,
            max_kept_sessions: limits.max_kept_sessions,
            kept_session_expiry: limits.kept_session_expiry,
        });
        Ok(Self {
            credentials,
            registry: Arc::new(registry),
            catalogue: Catalogue::new(limits.max_filters, limits.max_topics),
            metrics,
            health: Health::default(),
            shutdown: Shutdown::new(),
            retained: Mutex::new(Retained::new(limits.retained)),
            router: watch::Sender::new(start_router(&config)),
            config,
        })
    }

    /// The router that is in service now.
    pub fn router(&self) -> Router {
        self.router.borrow().clone()
    }

    /// Puts a fresh router in the old one's place. Its links end, and so do their clients.
    pub fn replace_router(&self) {
        // Before there is one to subscribe at: what the new router is told of must be in the catalogue.
        self.catalogue.clear();
        let old = self.router.send_replace(start_router(&self.config));
        old.lost().cancel();
    }

    /// Keeps a message for later subscribers. Call it before the message goes to the router: then a client that
    /// subscribes meanwhile finds it here or gets it from there, never neither.
    pub fn retain(&self, message: &Message) {
        if self.retained().keep(message).is_err() {
            self.metrics.retained_refused.inc();
            tracing::warn!(
                topic = message.topic.as_str(),
                "the store of retained messages is full: this one reaches present subscribers only; \
                 raise limits.max_retained_messages or limits.max_retained_bytes"
            );
        }
    }

    pub fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics page, with the gauges that are read only when somebody looks.
    pub fn metrics_text(&self) -> String {
        let metrics = &self.metrics;
        metrics.connections.set(self.registry.connections() as i64);
        metrics.kept_sessions.set(self.registry.kept_sessions() as i64);
        metrics.retained_messages.set(self.retained().len() as i64);
        if let Some(credentials) = &self.credentials {
            let now = credentials.now();
            metrics.show_certificate(now.certificate.not_after, now.revocations_due);
        }
        metrics.text()
    }
}

fn start_router(config: &Config) -> Router {
    /// The probe's link, and one more while it is replaced.
    const OWN_LINKS: usize = 2;
    let limits = &config.limits;
    Router::start(limits.max_connections + limits.max_kept_sessions + OWN_LINKS, limits.logs)
}
