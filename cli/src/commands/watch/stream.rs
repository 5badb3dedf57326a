//! Where in the event stream we are, and how soon to ask for it again.

use std::time::Duration;

use crate::{
    client::{Client, ClientError},
    sse,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    Beginning,
}

/// What to ask for when the stream is (re)opened.
#[derive(Debug)]
pub struct Position {
    start: Start,
    committed_only: bool,
    cursor: Option<String>,
}

impl Position {
    pub fn new(start: Start, committed_only: bool) -> Self {
        Self { start, committed_only, cursor: None }
    }

    /// Committed events carry an id; provisional ones do not, and move nothing.
    pub fn passed(&mut self, event: &sse::Event) {
        if let Some(id) = event.id.as_ref().filter(|id| !id.is_empty()) {
            self.cursor = Some(id.clone());
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if self.cursor.is_none() {
            let since = if self.start == Start::Now { "now" } else { "beginning" };
            query.push(("since", since.to_owned()));
        }
        if self.committed_only {
            query.push(("provisional", "false".to_owned()));
        }
        query
    }

    pub async fn open(&self, client: &Client) -> Result<crate::http::Response, ClientError> {
        client.events(&self.query(), self.cursor.as_deref()).await
    }
}

/// Pauses between attempts: doubled each time up to [`Backoff::LONGEST`].
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    pub const LONGEST: Duration = Duration::from_secs(15);

    pub fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        pause.min(Self::LONGEST)
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>) -> sse::Event {
        sse::Event { id: id.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn a_reopened_stream_goes_on_after_the_last_committed_event() {
        let mut position = Position::new(Start::Now, true);
        position.passed(&event(None));
        assert_eq!(position.query(), [("since", "now".to_owned()), ("provisional", "false".to_owned())]);
        position.passed(&event(Some("41")));
        position.passed(&event(None));
        assert_eq!(position.cursor.as_deref(), Some("41"));
        assert_eq!(position.query(), [("provisional", "false".to_owned())]);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        backoff.reset();
        assert_eq!(backoff.next(), Backoff::FIRST);
    }
}
