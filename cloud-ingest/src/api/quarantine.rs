//! What was not taken, and is kept for people to look at.

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};
use tidegate_protocol::ack::RejectReason;

use super::{Answer, ApiState, parameters::Parameters, problem::Problem};
use crate::quarantine::{MAX_QUARANTINE_PAGE, QuarantineSelection, QuarantineView, QuarantinedDetailView};

/// How many blocks an answer has when nothing is said.
const QUARANTINE_PAGE: usize = 50;

const REASONS: [RejectReason; 2] = [RejectReason::Corrupt, RejectReason::BootConflict];

pub async fn list(State(api): ApiState, uri: Uri) -> Answer<QuarantineView> {
    let given = Parameters::read(&uri, &["site", "gateway", "reason", "from", "limit"])?;
    let selection = QuarantineSelection {
        site: given.parsed("site")?,
        gateway: given.parsed("gateway")?,
        reason: given.text("reason").map(reason).transpose()?,
        from: given.parsed("from")?.unwrap_or(0),
        limit: given.count("limit", QUARANTINE_PAGE, MAX_QUARANTINE_PAGE)?,
    };
    api.ask(move |source| source.quarantine(&selection)).await.map(Json)
}

fn reason(text: &str) -> Result<&'static str, Problem> {
    let known = REASONS.map(RejectReason::name);
    let found = known.into_iter().find(|known| *known == text);
    found.ok_or_else(|| {
        Problem::parameter("reason", format!("reason: {text:?} is none of {}", known.join(", ")))
    })
}

pub async fn one(
    State(api): ApiState,
    Path(number): Path<String>,
    uri: Uri,
) -> Answer<QuarantinedDetailView> {
    Parameters::read(&uri, &[])?;
    let number: u64 = number
        .parse()
        .map_err(|_| Problem::parameter("number", format!("number: {number:?} is no whole number")))?;
    api.ask(move |source| source.quarantined(number)).await.map(Json)
}
