//! The demo's own watch on the event stream: what is up, how many came, how long they took.

use std::{collections::HashSet, time::Instant};

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::{latency::Latencies, outage::Outage, sampled::Sampled};
use crate::{client::Client, commands::watch::print::Shown, sse, view::AlarmEvent};

/// Events between the stream and the screen; when full, the stream waits.
pub const WAITING: usize = 256;

/// An event, and when its last byte came in.
pub type Arrived = (AlarmEvent, Instant);

/// Follows the stream and hands its events over, until either end closes.
pub async fn follow(response: crate::http::Response, events: mpsc::Sender<Arrived>) {
    let mut chunks = response.chunks();
    let mut parser = sse::Parser::default();
    while let Some(Ok(chunk)) = chunks.next().await {
        let now = Instant::now();
        for event in parser.push(&chunk).unwrap_or_default() {
            let Ok(alarm) = serde_json::from_str::<AlarmEvent>(&event.data) else { continue };
            if events.send((alarm, now)).await.is_err() {
                return;
            }
        }
    }
}

/// Opens the stream from now on, provisional events included.
pub async fn open(client: &Client) -> Result<crate::http::Response, crate::client::ClientError> {
    client.events(&[("since", "now".to_owned())], None).await
}

#[derive(Default)]
pub struct Tally {
    shown: Shown,
    active: HashSet<String>,
    pub raised: u64,
    pub cleared: u64,
    pub latencies: Latencies,
}

impl Tally {
    /// Takes an event; says whether it is a new one to show.
    pub fn take(&mut self, (event, at): &Arrived, sampled: &Sampled, outage: &Outage) -> bool {
        if !self.shown.first_time(event.id.clone()) {
            return false;
        }
        // What is learned late is history, not the state of now; what operators do is neither.
        match event.transition.as_str() {
            "raise" => {
                self.raised += 1;
                if !event.late {
                    self.active.insert(event.occurrence.clone());
                }
            }
            "clear" => {
                self.cleared += 1;
                if !event.late {
                    self.active.remove(&event.occurrence);
                }
            }
            _ => {}
        }
        if event.provisional
            && let Some(measured) = sampled.at(&event.device, event.seq)
            && !outage.touches(measured, *at)
        {
            self.latencies.add(at.duration_since(measured));
        }
        true
    }

    pub fn active(&self) -> usize {
        self.active.len()
    }
}
