//! What gateways say is active by their own evaluation.

use axum::{Json, extract::State, http::Uri};

use super::{Answer, ApiState, alarms::names, parameters::Parameters};
use crate::verdicts::{VerdictSelection, VerdictsView};

const SELECTS: [&str; 5] = ["site", "device", "channel", "rule", "differing"];

pub async fn list(State(api): ApiState, uri: Uri) -> Answer<VerdictsView> {
    let given = Parameters::read(&uri, &SELECTS)?;
    let selection =
        VerdictSelection { names: names(&given)?, differing: given.flag("differing")?.unwrap_or(false) };
    api.ask(move |source| Ok(source.verdicts(&selection))).await.map(Json)
}
