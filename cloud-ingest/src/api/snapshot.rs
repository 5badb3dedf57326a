//! What a watcher gets behind a `reset`: every alarm that stands, as of the cursor from which its stream goes on.

use std::collections::HashSet;

use tidegate_alarms::EventId;
use tokio::sync::broadcast;

use super::{Api, problem::Problem};
use crate::{
    core::lifecycle::AlarmKey,
    events::{AlarmView, Cursor, Streamed},
};

/// How many alarms, or events, are read from the store at a time.
const PAGE: usize = 256;

/// A snapshot that is being read.
#[derive(Default)]
pub struct Snapshot {
    after: Option<AlarmKey>,
    /// As of which what was read first is.
    since: Option<Cursor>,
    all_read: bool,
    /// How many alarms it has so far; one that changed meanwhile counts again.
    pub alarms: usize,
    pub taken: Option<Taken>,
}

/// A whole one.
pub struct Taken {
    pub cursor: Cursor,
    /// The last events that are in it. They may have been announced to `live`.
    pub events: HashSet<EventId>,
}

impl Snapshot {
    /// The next alarms of it; a later one of the same name takes the place of the earlier.
    pub async fn page(
        &mut self,
        api: &Api,
        live: &mut broadcast::Receiver<Streamed>,
    ) -> Result<Vec<AlarmView>, Problem> {
        let alarms = match self.since {
            Some(since) if self.all_read => {
                // What was announced before is committed behind `since`, or yet to be: it is in the store then.
                *live = live.resubscribe();
                let page = api.ask(move |source| source.changed_alarms(since, PAGE)).await?;
                self.since = Some(page.cursor);
                if page.is_complete {
                    let events = page.events.into_iter().collect();
                    self.taken = Some(Taken { cursor: page.cursor, events });
                }
                page.alarms
            }
            _ => {
                let after = self.after.take();
                let page = api.ask(move |source| source.standing_alarms(after.as_ref(), PAGE)).await?;
                self.since.get_or_insert(page.cursor);
                self.all_read = page.next.is_none();
                self.after = page.next;
                page.alarms
            }
        };
        self.alarms += alarms.len();
        Ok(alarms)
    }
}
