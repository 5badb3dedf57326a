//! Errors as RFC 9457 problem documents: `{"type", "title", "status", "detail"}`, and `parameter` where one is wrong;
//! an alarm that refuses adds `refusal`, `state` and `lifecycle`, rules that are wrong `problems`.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tidegate_alarms::{Lifecycle, lifecycle::Refusal};

use crate::{delivery::desk::DeskError, orders::OrderError, query::QueryError};

const CONTENT_TYPE: header::HeaderValue = header::HeaderValue::from_static("application/problem+json");
/// What is read of an answer that is none.
const MAX_DETAIL_BYTES: usize = 4_096;

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    parameter: Option<&'static str>,
    retry_after_s: Option<u32>,
    /// Further members of the document.
    members: Option<Box<Map<String, Value>>>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: String) -> Self {
        Self { status, detail, parameter: None, retry_after_s: None, members: None }
    }

    /// A parameter of the query string, or a field, is wrong.
    pub fn parameter(name: &'static str, detail: String) -> Self {
        Self { parameter: Some(name), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// An alarm is not in a state for what was to be done: the document says which it is in.
    fn alarm_refused(refusal: Refusal, lifecycle: &Lifecycle) -> Self {
        let mut members = Map::new();
        members.insert("refusal".to_owned(), refusal.name().into());
        members.insert("state".to_owned(), lifecycle.state().name().into());
        members.insert("lifecycle".to_owned(), json!(lifecycle));
        Self { members: Some(Box::new(members)), ..Self::new(StatusCode::CONFLICT, refusal.to_string()) }
    }

    /// With a further member in the document.
    pub fn with(mut self, name: &str, member: Value) -> Self {
        self.members.get_or_insert_default().insert(name.to_owned(), member);
        self
    }

    pub fn busy(detail: String, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Logged as well: the operator must hear of it, whoever asked.
    pub fn internal(detail: &str) -> Self {
        tracing::error!(detail, "a question to the API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail.to_owned())
    }
}

/// What is refused before a handler is called (a path that is not UTF-8, a body that is too large) is refused in
/// plain text, which becomes a document too. A page for people stays one.
pub async fn of_every_error(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_error || is_page || kind == Some(&CONTENT_TYPE) {
        return response;
    }
    let text = to_bytes(response.into_body(), MAX_DETAIL_BYTES).await.unwrap_or_default();
    Problem::new(status, String::from_utf8_lossy(&text).into_owned()).into_response()
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Cursor => Self::parameter("cursor", format!("{error}; start again without one")),
            QueryError::UnknownDevice
            | QueryError::NotInQuarantine(_)
            | QueryError::UnknownChannel { .. }
            | QueryError::UnknownAlarm
            | QueryError::UnknownRule => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            QueryError::WrongSetting(wrong) => Self::parameter(wrong.field, wrong.to_string()),
            QueryError::SettingsChanged { .. }
            | QueryError::AlarmChanged
            | QueryError::RulesChanged { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, error.to_string())
            }
            QueryError::AlarmRefused { refusal, lifecycle } => Self::alarm_refused(refusal, &lifecycle),
            QueryError::Desk(DeskError::UnknownReceiver(_) | DeskError::UnknownEvent(_)) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string())
            }
            QueryError::Desk(DeskError::Busy) => Self::busy(error.to_string(), 5),
            QueryError::Desk(DeskError::NoAnswer) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, error.to_string())
            }
            QueryError::SeveralSites => Self::parameter("site", error.to_string()),
            QueryError::NotBracketed(_)
            | QueryError::NoKey
            | QueryError::NoRevision
            | QueryError::RulesOfFile { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            QueryError::NothingToRetire { .. } => {
                Self::new(StatusCode::NOT_FOUND, format!("{error}; /api/v1/audit lists what is known"))
            }
            QueryError::Order(OrderError::NotCommitted | OrderError::Busy) => {
                Self::busy(error.to_string(), 5)
            }
            QueryError::Order(OrderError::NoAnswer) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, error.to_string())
            }
            QueryError::Desk(DeskError::Store(_))
            | QueryError::Store(_)
            | QueryError::Entry(_)
            | QueryError::Lake(_) => Self::internal(&error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            // No further document describes the kinds: the status and the detail say it all.
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(parameter), Some(fields)) = (self.parameter, body.as_object_mut()) {
            fields.insert("parameter".into(), parameter.into());
        }
        if let (Some(members), Some(fields)) = (self.members, body.as_object_mut()) {
            fields.extend(*members);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
