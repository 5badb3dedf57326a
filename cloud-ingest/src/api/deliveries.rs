//! Receivers, what waits for them, and what operators do about it. Who did it is in the log of changes.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    Answer, Api, ApiState, DeliverySource, operations::must_be_json, parameters::Parameters, problem::Problem,
};
use crate::{
    delivery::{
        core::RowState,
        desk::DeskError,
        view::{
            DeliveriesView, DeliverySelection, MAX_DELIVERIES_PAGE, ReceiverView, ReceiversView, TestView,
        },
    },
    door::Caller,
    query::QueryError,
};

/// How many deliveries an answer has when nothing is said.
const DELIVERIES_PAGE: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    operator: Option<String>,
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
        let (mut parts, body) = request.into_parts();
        let caller =
            Caller::from_request_parts(&mut parts, api).await.map_err(IntoResponse::into_response)?;
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let request = Request::from_parts(parts, body);
        let body = Bytes::from_request(request, api).await.map_err(IntoResponse::into_response)?;
        operator(&uri, &caller, &headers, &body).map(Self).map_err(IntoResponse::into_response)
    }
}

fn operator(uri: &Uri, caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    Parameters::read(uri, &[])?;
    must_be_json(headers, "{\"operator\": …}")?;
    let order: Order = serde_json::from_slice(body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the order: {error}")))?;
    caller.operator(order.operator.as_deref())
}
