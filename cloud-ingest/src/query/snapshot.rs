//! All alarms that stand, as of one cursor, read a page at a time: first every alarm, by its name, then, again and again, those
//! that events since the first page told of, until no further event is there. What was read first is read again where it
//! changed, so in the end all of it is as of the last page's cursor; and no look at the store lasts longer than a page.

use std::collections::BTreeSet;

use tidegate_alarms::TransitionKind;

use super::{QueryError, alarms};
use crate::{
    core::lifecycle::AlarmKey,
    events::{AlarmView, ChangedPage, Cursor, StandingPage},
    store::{Look, keys},
};

/// Of so many alarms behind this one, by name, those that are not normal.
pub(super) fn standing(
    look: &Look<'_>,
    after: Option<&AlarmKey>,
    limit: usize,
) -> Result<StandingPage, QueryError> {
    let after = after.map(keys::alarm_of);
    let page = look.alarms_after(after.as_deref(), limit)?;
    let last = page.last().filter(|_| page.len() == limit).map(|(key, _)| keys::read_alarm(key));
    let next = last.transpose()?;
    let mut standing = Vec::new();
    for (key, record) in page {
        if !record.lifecycle.is_plain() {
            standing.extend(alarms::shown(keys::read_alarm(&key)?, record));
        }
    }
    Ok(StandingPage { alarms: standing, next, cursor: look.last_cursor()? })
}

/// The alarms that so many events behind a cursor changed, as they are now.
pub(super) fn changed(look: &Look<'_>, since: Cursor, limit: usize) -> Result<ChangedPage, QueryError> {
    let events = look.events_after(since, limit)?;
    let is_complete = events.len() < limit;
    let (mut cursor, mut ids, mut touched) = (since, Vec::with_capacity(events.len()), BTreeSet::new());
    for (at, event) in events {
        cursor = at;
        ids.push(event.id);
        // Late news change no state, but for how an occurrence began.
        if !event.late || event.transition == TransitionKind::Amend {
            touched.insert(AlarmKey {
                site: event.site,
                device: event.device,
                channel: event.channel,
                rule: event.rule,
            });
        }
    }
    let mut changed: Vec<AlarmView> = Vec::with_capacity(touched.len());
    for key in touched {
        if let Some(record) = look.alarm(&key)? {
            changed.extend(alarms::shown(key, record));
        }
    }
    Ok(ChangedPage { alarms: changed, events: ids, cursor, is_complete })
}
