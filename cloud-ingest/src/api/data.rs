//! Devices, channels, readings, gateways, the audit, and whether all is well.

use axum::{Json, extract::State, http::Uri};

use super::{Answer, ApiState, parameters::Parameters, problem::Problem};
use crate::{
    certificate::Certificate,
    query::{CertificateRequest, MAX_READINGS_PAGE, ReadingsRequest, SummariesRequest},
    view::{
        AuditView, ChannelsView, DevicesView, GatewaysView, HealthView, LatestView, ReadingsView,
        SummariesView,
    },
};

/// How many readings a page has when nothing is said.
const READINGS_PAGE: usize = 1_000;

pub async fn devices(State(api): ApiState, uri: Uri) -> Answer<DevicesView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| source.devices()).await.map(Json)
}

pub async fn channels(State(api): ApiState, uri: Uri) -> Answer<ChannelsView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| source.channels()).await.map(Json)
}

pub async fn latest(State(api): ApiState, uri: Uri) -> Answer<LatestView> {
    let selection = Parameters::read(&uri, &["site", "device", "channel"])?.selection()?;
    api.ask(move |source| source.latest(&selection)).await.map(Json)
}

pub async fn readings(State(api): ApiState, uri: Uri) -> Answer<ReadingsView> {
    let known = ["site", "device", "channel", "since", "until", "boot", "limit", "cursor"];
    let given = Parameters::read(&uri, &known)?;
    let device = given.parsed("device")?.ok_or_else(|| {
        Problem::parameter(
            "device",
            "name a device, as in ?device=board-1; /api/v1/devices lists them".into(),
        )
    })?;
    let request = ReadingsRequest {
        site: given.parsed("site")?,
        device,
        channel: given.parsed("channel")?,
        since: given.time("since")?,
        until: given.time("until")?,
        boot: given.parsed("boot")?,
        limit: given.count("limit", READINGS_PAGE, MAX_READINGS_PAGE)?,
        cursor: given.text("cursor").map(str::to_owned),
    };
    if let (Some(since), Some(until)) = (request.since, request.until)
        && since > until
    {
        return Err(Problem::parameter("until", "until is before since; swap them".into()));
    }
    api.ask(move |source| source.readings(&request)).await.map(Json)
}

pub async fn audit(State(api): ApiState, uri: Uri) -> Answer<AuditView> {
    let given = Parameters::read(&uri, &["site", "device", "sealed"])?;
    let selection = given.selection()?;
    let each = match given.text("sealed") {
        None => selection.device.is_some(),
        Some("each") => true,
        Some("counted") => false,
        Some(other) => {
            let detail = format!("sealed: {other:?} is neither each nor counted");
            return Err(Problem::parameter("sealed", detail));
        }
    };
    api.ask(move |source| source.audit(&selection, each)).await.map(Json)
}

/// A statement of where every reading of a device is, signed; 409 where it cannot be given.
pub async fn certificate(State(api): ApiState, uri: Uri) -> Answer<Certificate> {
    let given = Parameters::read(&uri, &["site", "device", "from", "to"])?;
    let device = given.parsed("device")?.ok_or_else(|| {
        Problem::parameter("device", "name a device, as in ?device=board-1: a certificate is of one".into())
    })?;
    let window = match (given.time("from")?, given.time("to")?) {
        (Some(from), Some(to)) if from < to => Some((from, to)),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Problem::parameter("to", "to is not after from; swap them".into())),
        (Some(_), None) => return Err(Problem::parameter("to", "a window has two ends; give to".into())),
        (None, Some(_)) => return Err(Problem::parameter("from", "a window has two ends; give from".into())),
    };
    let request = CertificateRequest { site: given.parsed("site")?, device, window };
    api.ask(move |source| source.certificate(&request)).await.map(Json)
}

pub async fn summaries(State(api): ApiState, uri: Uri) -> Answer<SummariesView> {
    let given = Parameters::read(&uri, &["site", "device", "channel", "limit", "cursor"])?;
    let request = SummariesRequest {
        selection: given.selection()?,
        limit: given.count("limit", READINGS_PAGE, MAX_READINGS_PAGE)?,
        cursor: given.text("cursor").map(str::to_owned),
    };
    api.ask(move |source| source.summaries(&request)).await.map(Json)
}

pub async fn gateways(State(api): ApiState, uri: Uri) -> Answer<GatewaysView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| source.gateways()).await.map(Json)
}

/// 200 also while degraded: the process works, and the body says what an operator should know.
pub async fn health(State(api): ApiState, uri: Uri) -> Answer<HealthView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| Ok(source.health())).await.map(Json)
}
