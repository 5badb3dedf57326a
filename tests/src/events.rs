//! The ingest's event stream, read line by line.

use std::{collections::VecDeque, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use crate::{api::Api, eventually::PATIENCE};

/// An open stream; events wait in the connection until they are asked for.
pub struct Events {
    response: reqwest::Response,
    buffer: String,
    ready: VecDeque<Value>,
}

impl Events {
    /// From now on, provisional events included.
    pub async fn open(api: &Api) -> Self {
        let mut events =
            Self { response: api.events("?since=now").await, buffer: String::new(), ready: VecDeque::new() };
        // The stream says at once where it begins; from then on nothing is missed.
        events.read().await;
        events
    }

    /// The next event that `accept` likes; others are passed over.
    ///
    /// # Panics
    /// When the stream ends, or gives none within [`PATIENCE`].
    pub async fn next(&mut self, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
        let found = timeout(PATIENCE, async {
            loop {
                while let Some(event) = self.ready.pop_front() {
                    if accept(&event) {
                        return event;
                    }
                }
                self.read().await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what} on the event stream"))
    }

    async fn read(&mut self) {
        let chunk = timeout(PATIENCE + Duration::from_secs(1), self.response.chunk()).await;
        let chunk = chunk.expect("heartbeats come").expect("the stream holds").expect("the stream goes on");
        self.buffer.push_str(std::str::from_utf8(&chunk).expect("events are UTF-8"));
        while let Some(end) = self.buffer.find('\n') {
            let line: String = self.buffer.drain(..=end).collect();
            if let Some(data) = line.strip_prefix("data:") {
                self.ready.push_back(serde_json::from_str(data.trim()).expect("event data is JSON"));
            }
        }
    }
}
