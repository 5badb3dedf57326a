//! Receivers, what waits for them, and what operators do about it. Those who change something come from this machine (see
//! `operations`).

use std::net::IpAddr;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, FromRequest, Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    Answer, Api, ApiState, DeliverySource,
    operations::{MAX_OPERATOR_CHARS, Peer, must_be_json, refuse_strangers},
    parameters::Parameters,
    problem::Problem,
};
use crate::{
    delivery::{
        core::RowState,
        desk::DeskError,
        view::{
            DeliveriesView, DeliverySelection, MAX_DELIVERIES_PAGE, ReceiverView, ReceiversView, TestView,
        },
    },
    query::QueryError,
};

/// How many deliveries an answer has when nothing is said.
const DELIVERIES_PAGE: usize = 1_000;

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
    Orderer(operator): Orderer,
) -> Answer<ReceiverView> {
    let cursor: u64 =
        cursor.parse().map_err(|error| Problem::parameter("cursor", format!("cursor: {error}")))?;
    tracing::info!(operator, receiver, cursor, "a delivery is made again");
    done(&api, receiver, move |delivery, receiver| delivery.replay(receiver, cursor)).await
}

pub async fn enable(
    State(api): ApiState,
    Path(receiver): Path<String>,
    Orderer(operator): Orderer,
) -> Answer<ReceiverView> {
    tracing::info!(operator, receiver, "a receiver is enabled");
    done(&api, receiver, |delivery, receiver| delivery.enable(receiver)).await
}

/// Does something with a receiver, and shows it afterwards.
async fn done(
    api: &Api,
    receiver: String,
    order: impl FnOnce(&dyn DeliverySource, &str) -> Result<(), DeskError> + Send + 'static,
) -> Answer<ReceiverView> {
    let ordered = api.ask(move |source| {
        order(source.delivery(), &receiver)?;
        Ok(source.delivery().receiver(&receiver)?)
    });
    ordered.await.map(Json)
}

/// 200 also where the message did not arrive: the answer says so.
pub async fn test(
    State(api): ApiState,
    Path(receiver): Path<String>,
    Orderer(operator): Orderer,
) -> Answer<TestView> {
    tracing::info!(operator, receiver, "a test message is sent");
    api.ask(move |source| source.delivery().test(&receiver).map_err(QueryError::from)).await.map(Json)
}

/// Who orders it, if they may: an order has nothing else in it.
pub struct Orderer(String);

impl FromRequest<Api> for Orderer {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.ip());
        let body = Bytes::from_request(request, api).await.map_err(IntoResponse::into_response)?;
        operator(&uri, peer, &headers, &body).map(Self).map_err(IntoResponse::into_response)
    }
}

fn operator(uri: &Uri, peer: Option<IpAddr>, headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    Parameters::read(uri, &[])?;
    refuse_strangers(peer, headers)?;
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
