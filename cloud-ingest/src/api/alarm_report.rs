//! The alarm report.

use axum::{Json, extract::State, http::Uri};
use tidegate_alarms::report::MAX_WINDOW_MS;

use super::{Answer, ApiState, alarms::glob, parameters::Parameters, problem::Problem};
use crate::{
    clock,
    events::AlarmNames,
    query::{AlarmReportRequest, AlarmReportView},
};

/// What is reported on when nothing is said: the last so long.
const USUAL_MS: i64 = 24 * 3_600_000;

pub async fn report(State(api): ApiState, uri: Uri) -> Answer<AlarmReportView> {
    let given = Parameters::read(&uri, &["from", "to", "site"])?;
    let now_unix_ms = clock::unix_ms();
    let to_unix_ms = given.time("to")?.unwrap_or(now_unix_ms);
    let from_unix_ms = given.time("from")?.unwrap_or(to_unix_ms.saturating_sub(USUAL_MS));
    let wrong = |name, detail: &str| Err(Problem::parameter(name, detail.to_owned()));
    if from_unix_ms >= to_unix_ms {
        return wrong("from", "from is not before to; swap them, or leave `to` out for now");
    }
    if to_unix_ms.saturating_sub(from_unix_ms) > MAX_WINDOW_MS as i64 {
        return wrong("from", "from is more than 30 days before to; ask for a shorter time");
    }
    let names = AlarmNames { site: glob(&given, "site")?, ..AlarmNames::default() };
    let request = AlarmReportRequest { names, from_unix_ms, to_unix_ms, now_unix_ms };
    api.ask(move |source| source.alarm_report(&request)).await.map(Json)
}
