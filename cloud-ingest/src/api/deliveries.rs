//! Receivers, what waits for them, and what operators do about it. Those who change something come from this machine (see
//! `operations`).

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use serde::Deserialize;

use super::{
    Answer, ApiState,
    operations::{MAX_OPERATOR_CHARS, Peer, must_be_json, refuse_strangers},
    parameters::Parameters,
    problem::Problem,
};
use crate::{
    delivery::{
        core::RowState,
        view::{
            DeliveriesView, DeliverySelection, MAX_DELIVERIES_PAGE, ReceiverView, ReceiversView, TestView,
        },
    },
    query::QueryError,
};

/// How many deliveries an answer has when nothing is said.
const DELIVERIES_PAGE: usize = 1_000;

type MaybePeer = Option<Extension<ConnectInfo<Peer>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    operator: String,
}

pub async fn receivers(State(api): ApiState, uri: Uri) -> Answer<ReceiversView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| Ok(source.delivery().receivers()?)).await.map(Json)
}

pub async fn deliveries(State(api): ApiState, uri: Uri) -> Answer<DeliveriesView> {
    let given = Parameters::read(&uri, &["receiver", "state", "limit"])?;
    let state = match given.text("state") {
        None | Some("all") => None,
        Some("waiting") => Some(RowState::Waiting),
        Some("parked") => Some(RowState::Parked),
        Some(other) => {
            let detail = format!("state: {other:?} is none of waiting, parked and all");
            return Err(Problem::parameter("state", detail));
        }
    };
    let selection = DeliverySelection {
        receiver: given.text("receiver").map(str::to_owned),
        state,
        limit: given.count("limit", DELIVERIES_PAGE, MAX_DELIVERIES_PAGE)?,
    };
    api.ask(move |source| Ok(source.delivery().deliveries(&selection)?)).await.map(Json)
}

pub async fn replay(
    State(api): ApiState,
    Path((receiver, cursor)): Path<(String, String)>,
    uri: Uri,
    peer: MaybePeer,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<ReceiverView> {
    let operator = operator(&uri, peer, &headers, &body)?;
    let cursor: u64 =
        cursor.parse().map_err(|error| Problem::parameter("cursor", format!("cursor: {error}")))?;
    tracing::info!(operator, receiver, cursor, "a delivery is made again");
    api.ask(move |source| {
        source.delivery().replay(&receiver, cursor)?;
        Ok(source.delivery().receiver(&receiver)?)
    })
    .await
    .map(Json)
}

pub async fn enable(
    State(api): ApiState,
    Path(receiver): Path<String>,
    uri: Uri,
    peer: MaybePeer,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<ReceiverView> {
    let operator = operator(&uri, peer, &headers, &body)?;
    tracing::info!(operator, receiver, "a receiver is enabled");
    api.ask(move |source| {
        source.delivery().enable(&receiver)?;
        Ok(source.delivery().receiver(&receiver)?)
    })
    .await
    .map(Json)
}

/// 200 also where the message did not arrive: the answer says so.
pub async fn test(
    State(api): ApiState,
    Path(receiver): Path<String>,
    uri: Uri,
    peer: MaybePeer,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<TestView> {
    let operator = operator(&uri, peer, &headers, &body)?;
    tracing::info!(operator, receiver, "a test message is sent");
    api.ask(move |source| source.delivery().test(&receiver).map_err(QueryError::from)).await.map(Json)
}

/// Who orders it, if they may.
fn operator(uri: &Uri, peer: MaybePeer, headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    Parameters::read(uri, &[])?;
    refuse_strangers(peer.map(|Extension(ConnectInfo(peer))| peer.ip()), headers)?;
    must_be_json(headers, "{\"operator\": …}")?;
    let order: Order = serde_json::from_slice(body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the order: {error}")))?;
    let operator = order.operator.trim();
    let chars = operator.chars().count();
    if chars == 0 || chars > MAX_OPERATOR_CHARS || operator.chars().any(char::is_control) {
        let detail = format!("operator: say it in 1 to {MAX_OPERATOR_CHARS} characters on one line");
        return Err(Problem::parameter("operator", detail));
    }
    Ok(operator.to_owned())
}
