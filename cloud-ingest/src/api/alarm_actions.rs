//! What operators do with an alarm: each action a path of its own below the alarm's. Answered once it is committed, with the event that it became.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tidegate_alarms::{
    EventId,
    lifecycle::{Action, MAX_SHELF_MS, Seen},
};

use super::{
    ApiState,
    alarms::{AlarmPath, key},
    if_match::expected,
    operations::{MAX_REASON_CHARS, must_be_json, one_line},
    parameters::Parameters,
    problem::Problem,
};
use crate::{
    door::Caller,
    operations::{AlarmRequest, Deed},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    operator: Option<String>,
    comment: Option<String>,
    /// What was seen, of an acknowledgement.
    occurrence: Option<EventId>,
    transition: Option<EventId>,
    /// Of a shelf: one of the two.
    until_unix_ms: Option<i64>,
    for_ms: Option<i64>,
}

/// The last segment of the path says what is to be done.
pub async fn act(
    State(api): ApiState,
    Path(path): AlarmPath,
    uri: Uri,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let key = key(&path)?;
    must_be_json(&headers, "{\"operator\": …}")?;
    let order: Order = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the order: {error}")))?;
    let verb = uri.path().rsplit('/').next().unwrap_or_default();
    let operator = caller.operator(order.operator.as_deref())?;
    let comment = order.comment.as_deref().map(|text| one_line("comment", text, MAX_REASON_CHARS));
    let comment = comment.transpose()?.unwrap_or_default();
    let deed = order.deed(verb)?;
    if deed == Deed::Act(Action::Comment) && comment.is_empty() {
        return Err(Problem::parameter("comment", "comment: say it".to_owned()));
    }
    let request = AlarmRequest { key, deed, operator, comment, expected: expected(&headers)? };
    let event = api.ask(move |source| source.act_on_alarm(&request)).await?;
    let tag = format!("\"{}\"", event.id);
    Ok(([(header::ETAG, tag)], Json(event)).into_response())
}

impl Order {
    fn deed(&self, verb: &str) -> Result<Deed, Problem> {
        let missing = |name, what: &str| Problem::parameter(name, format!("{name}: {what}"));
        let not_here = |name| Err(missing(name, &format!("{verb} takes none")));
        if verb != "acknowledge" && (self.occurrence.is_some() || self.transition.is_some()) {
            return not_here(if self.occurrence.is_some() { "occurrence" } else { "transition" });
        }
        if verb != "shelve" && (self.until_unix_ms.is_some() || self.for_ms.is_some()) {
            return not_here(if self.for_ms.is_some() { "for_ms" } else { "until_unix_ms" });
        }
        let action = match verb {
            "acknowledge" => {
                let saw = "name what you saw: the alarm's lifecycle.latest";
                Action::Acknowledge(Seen {
                    occurrence: self.occurrence.ok_or_else(|| missing("occurrence", saw))?,
                    transition: self.transition.ok_or_else(|| missing("transition", saw))?,
                })
            }
            "shelve" => match (self.until_unix_ms, self.for_ms) {
                (Some(until_unix_ms), None) => Action::Shelve { until_unix_ms },
                (None, Some(ms)) if (1..=MAX_SHELF_MS).contains(&ms) => return Ok(Deed::ShelveForMs(ms)),
                (None, Some(_)) => {
                    let says = format!("give 1 to {MAX_SHELF_MS}: 7 days at most");
                    return Err(missing("for_ms", &says));
                }
                _ => {
                    let says = "a shelf has an end: give one of until_unix_ms and for_ms";
                    return Err(missing("until_unix_ms", says));
                }
            },
            "unshelve" => Action::Unshelve,
            "suppress" => Action::Suppress,
            "unsuppress" => Action::Unsuppress,
            "out-of-service" => Action::OutOfService,
            "in-service" => Action::InService,
            "reset" => Action::Reset,
            "comment" => Action::Comment,
            // The routes name no other.
            other => return Err(Problem::internal(&format!("there is no action {other}"))),
        };
        Ok(Deed::Act(action))
    }
}
