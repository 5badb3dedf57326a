//! What a deliverer reads of the store: what waits, each with its rule's quiet hours, and what a message is made of.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use jiff::tz::TimeZone;
use tidegate_alarms::{AlarmEvent, Priority, Revision, RuleId};

use super::{
    Receiver,
    compose::{self, Composed, Told},
    core::{Message, OutboxRow, Queued, RowState},
    quiet_hours::{Nights, quiet_until},
};
use crate::store::{LmdbStore, Look, StoreError};

/// Rows read at a time.
const PAGE: usize = 1_000;

pub struct Loaded {
    pub queued: Vec<Queued>,
    /// Rows whose events are gone.
    pub gone: Vec<u64>,
    /// The last cursor that was looked at.
    pub up_to: u64,
    pub more: bool,
}

/// At most so many, but of a digest all.
pub fn outbox(store: &LmdbStore, receiver: &str, after: u64, room: usize) -> Result<Loaded, StoreError> {
    let look = store.look()?;
    let mut hours = HoursOfRules::default();
    let mut loaded = Loaded { queued: Vec::new(), gone: Vec::new(), up_to: after, more: false };
    loop {
        let page = look.outbox(receiver, loaded.up_to, RowState::Waiting, PAGE)?;
        let is_last = page.len() < PAGE;
        for (cursor, row, event) in page {
            if loaded.queued.len() >= room && row.digest.is_none() {
                return Ok(Loaded { more: true, ..loaded });
            }
            loaded.up_to = cursor;
            match event {
                Some(event) => {
                    let quiet_hours = hours.of(&look, &event)?;
                    loaded.queued.push(Queued::new(cursor, row, &event, quiet_hours));
                }
                None => loaded.gone.push(cursor),
            }
        }
        if is_last {
            return Ok(loaded);
        }
    }
}

/// An event to be sent, whether it waits or not; `None`: it is gone.
pub fn one(
    store: &LmdbStore,
    receiver: &str,
    cursor: u64,
    now_unix_ms: i64,
) -> Result<Option<Queued>, StoreError> {
    let look = store.look()?;
    let Some(event) = look.event(cursor)? else { return Ok(None) };
    let unknown = || OutboxRow { queued_unix_ms: now_unix_ms, ..OutboxRow::default() };
    let row = look.outbox_row(receiver, cursor)?.unwrap_or_else(unknown);
    let quiet_hours = HoursOfRules::default().of(&look, &event)?;
    Ok(Some(Queued::new(cursor, row, &event, quiet_hours)))
}

pub fn composed(
    store: &LmdbStore,
    receiver: &Receiver,
    message: &Message,
) -> Result<Option<Composed>, StoreError> {
    let look = store.look()?;
    let mut hours = HoursOfRules::default();
    let own = receiver.policy.quiet_hours.as_ref();
    let mut told = Vec::with_capacity(message.cursors.len());
    for cursor in &message.cursors {
        let row = look.outbox_row(&receiver.id, *cursor)?;
        if let Some(event) = look.event(*cursor)? {
            let queued_unix_ms = row.map_or(0, |row| row.queued_unix_ms);
            let of_rule = hours.of(&look, &event)?;
            let quiet_until_unix_ms = quiet_until([own, of_rule.as_deref()], queued_unix_ms)
                .filter(|_| event.priority != Priority::Critical);
            told.push(Told { event, queued_unix_ms, quiet_until_unix_ms });
        }
    }
    let zone = own.map_or(TimeZone::UTC, |hours| hours.zone().clone());
    Ok(compose::compose(&receiver.id, message.digest, message.first, &told, &zone))
}

/// Those that were looked up.
#[derive(Default)]
struct HoursOfRules(HashMap<(RuleId, Revision), Option<Arc<Nights>>>);

impl HoursOfRules {
    /// What the revision says that an event names, or, where that is gone, the newest of its rule.
    fn of(&mut self, look: &Look<'_>, event: &AlarmEvent) -> Result<Option<Arc<Nights>>, StoreError> {
        let place = match self.0.entry((event.rule.clone(), event.revision)) {
            Entry::Occupied(known) => return Ok(known.get().clone()),
            Entry::Vacant(place) => place,
        };
        let rule = look.rule(&event.rule)?;
        let says = rule.as_ref().and_then(|rule| rule.revision(event.revision).or_else(|| rule.newest()));
        let hours = says.and_then(|says| says.quiet_hours());
        // In a zone that is not known nothing is withheld.
        let nights = hours.and_then(|hours| Nights::new(hours.clone())).map(Arc::new);
        Ok(place.insert(nights).clone())
    }
}
