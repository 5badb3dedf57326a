//! What tests of the services listen with.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tracing::{Event, Level, Subscriber, subscriber::DefaultGuard};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

/// Counts the errors that this thread logs, until it is dropped.
///
/// A place in the code that a thread without a listener comes to first is taken for one that nobody listens to, until there is another
/// listener: have the work done once unheard.
pub struct LoggedErrors {
    count: Arc<AtomicUsize>,
    _listening: DefaultGuard,
}

impl LoggedErrors {
    pub fn listen() -> Self {
        let count = Arc::<AtomicUsize>::default();
        let listener = registry().with(Counting(Arc::clone(&count)));
        Self { count, _listening: tracing::subscriber::set_default(listener) }
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

struct Counting(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
