//! Alarms as they stand, and their settled history.

use axum::{Json, extract::State, http::Uri};
use tidegate_alarms::RuleId;

use super::{Answer, ApiState, parameters::Parameters, problem::Problem};
use crate::events::{AlarmSelection, AlarmsView, HistoryView, MAX_ALARMS_PAGE};

/// How many alarms an answer has when nothing is said.
const ALARMS_PAGE: usize = 1_000;

const SELECTS: [&str; 5] = ["site", "device", "channel", "rule", "limit"];
const SELECTS_AND_STATE: [&str; 6] = ["site", "device", "channel", "rule", "limit", "state"];

pub async fn now(State(api): ApiState, uri: Uri) -> Answer<AlarmsView> {
    let given = Parameters::read(&uri, &SELECTS_AND_STATE)?;
    let active_only = match given.text("state") {
        None | Some("active") => true,
        Some("all") => false,
        Some(other) => {
            return Err(Problem::parameter("state", format!("state: {other:?} is neither active nor all")));
        }
    };
    let selection = selection(&given, active_only)?;
    api.ask(move |source| source.alarms(&selection)).await.map(Json)
}

pub async fn history(State(api): ApiState, uri: Uri) -> Answer<HistoryView> {
    let selection = selection(&Parameters::read(&uri, &SELECTS)?, false)?;
    api.ask(move |source| source.alarm_history(&selection)).await.map(Json)
}

fn selection(given: &Parameters, active_only: bool) -> Result<AlarmSelection, Problem> {
    Ok(AlarmSelection {
        site: given.parsed("site")?,
        device: given.parsed("device")?,
        channel: given.parsed("channel")?,
        rule: given.text("rule").map(RuleId::new),
        active_only,
        limit: given.count("limit", ALARMS_PAGE, MAX_ALARMS_PAGE)?,
    })
}
