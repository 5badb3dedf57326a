//! Settings of channels. A channel's settings are one resource; its `ETag` is their revision. Who changed them
//! is in the log of changes.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    Answer, ApiState, if_match::expected, operations::must_be_json, parameters::Parameters, problem::Problem,
};
use crate::{
    core::desired::ChannelKey,
    desired::{SettingsListView, SettingsRequest, SettingsView, WantedSettings},
};

type ChannelPath = Path<(String, String, String)>;

pub async fn list(State(api): ApiState, uri: Uri) -> Answer<SettingsListView> {
    let selection = Parameters::read(&uri, &["site", "device", "channel"])?.selection()?;
    api.ask(move |source| source.settings(&selection)).await.map(Json)
}

pub async fn show(State(api): ApiState, Path(path): ChannelPath, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let key = key(&path)?;
    api.ask(move |source| source.settings_of(key)).await.map(tagged)
}

pub async fn set(
    State(api): ApiState,
    Path(path): ChannelPath,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (key, expected) = order(&path, &uri, &headers)?;
    must_be_json(&headers, "{\"period_ms\": …}")?;
    let wanted: WantedSettings = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the settings: {error}")))?;
    let request = SettingsRequest { key, wanted: Some(wanted), expected };
    api.ask(move |source| source.want_settings(&request)).await.map(tagged)
}

pub async fn clear(
    State(api): ApiState,
    Path(path): ChannelPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (key, expected) = order(&path, &uri, &headers)?;
    let request = SettingsRequest { key, wanted: None, expected };
    api.ask(move |source| source.want_settings(&request)).await.map(tagged)
}

fn tagged(view: SettingsView) -> Response {
    let tag = format!("\"{}\"", view.revision);
    ([(header::ETAG, tag)], Json(view)).into_response()
}

fn order(
    path: &(String, String, String),
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(ChannelKey, Option<Vec<u32>>), Problem> {
    Parameters::read(uri, &[])?;
    Ok((key(path)?, expected(headers)?))
}

fn key((site, device, channel): &(String, String, String)) -> Result<ChannelKey, Problem> {
    let wrong = |name, error| Problem::parameter(name, format!("{name}: {error}"));
    Ok(ChannelKey {
        site: site.parse().map_err(|error| wrong("site", error))?,
        device: device.parse().map_err(|error| wrong("device", error))?,
        channel: channel.parse().map_err(|error| wrong("channel", error))?,
    })
}
