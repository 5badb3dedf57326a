//! Before anything else: who asks, and whether they may. Whoever gets past is in the request, as a [`Caller`].

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use serde_json::json;
use tidegate_access::{
    Role,
    request::{Made, bearer, cookie, names_this_machine},
};

use super::{
    Api, ApiState,
    class::{self, Class},
    operations::{Peer, operator_of, refuse_strangers},
    problem::Problem,
    sign_in::session_cookie,
};
use crate::door::{By, Caller, Door, Stranger, count};

pub async fn guard(State(api): ApiState, mut request: Request, next: Next) -> Response {
    match admit(&api.door, &request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                note(&api, &caller).await;
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(refused) => *refused,
    }
}

/// Who may come in; none where everybody may, whoever they are.
fn admit(door: &Door, request: &Request) -> Result<Option<Caller>, Box<Response>> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.ip());
    let (method, headers) = (request.method(), request.headers());
    if !door.policy.asks {
        let is_order = changes_something(method);
        let strangers = if is_order { refuse_strangers(peer, headers) } else { host_is_ours(headers) };
        strangers.map_err(|problem| {
            count(&door.counts.strangers);
            boxed(problem)
        })?;
        return Ok(Some(Caller::local()));
    }
    let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(None) };
    let class = class::of(method, route.as_str());
    let wanted = match class {
        Some(Class::Everybody) => return Ok(None),
        Some(Class::Metrics) if door.policy.open_metrics => return Ok(None),
        Some(Class::Metrics) => Role::Viewer,
        Some(Class::AtLeast(role)) => role,
        None => Role::Admin,
    };
    let caller = caller(door, headers).map_err(|stranger| Box::new(turned_away(door, request, stranger)))?;
    if caller.role < wanted {
        count(&door.counts.role_too_low);
        let detail = format!("this needs the role {wanted}, and {} is {}", caller.name, caller.role);
        let problem = Problem::new(StatusCode::FORBIDDEN, detail).with("needs", json!(wanted));
        return Err(boxed(problem));
    }
    if changes_something(method) && matches!(caller.by, By::Session(_)) && !made_of(headers).by_our_own_page()
    {
        count(&door.counts.not_our_page);
        let detail = "a session is only taken from the ingest's own page; a program needs a token".to_owned();
        return Err(boxed(Problem::new(StatusCode::FORBIDDEN, detail)));
    }
    Ok(Some(caller))
}

fn boxed(problem: Problem) -> Box<Response> {
    Box::new(problem.into_response())
}

/// All methods but those that are safe by RFC 9110.
pub fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn host_is_ours(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if names_this_machine(host) {
        return Ok(());
    }
    let detail = "nobody is asked who they are here, so it is only answered under the names 127.0.0.1, [::1] and localhost";
    Err(Problem::new(StatusCode::FORBIDDEN, detail.to_owned()))
}

pub fn made_of(headers: &HeaderMap) -> Made<'_> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    Made { host: text("host"), origin: text("origin"), sec_fetch_site: text("sec-fetch-site") }
}

fn caller(door: &Door, headers: &HeaderMap) -> Result<Caller, Stranger> {
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    if let Some(token) = bearer(values).map_err(|malformed| Stranger::Wrong(malformed.to_string()))? {
        return door.by_token(&token);
    }
    let cookies = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    match cookie(cookies, session_cookie(door.policy.is_tls)) {
        Some(session) => door.by_session(&session),
        None => Err(Stranger::Nothing),
    }
}

/// A browser that comes for the page is shown where to sign in.
fn turned_away(door: &Door, request: &Request, stranger: Stranger) -> Response {
    let (detail, challenge) = match stranger {
        Stranger::Failed(error) => return Problem::internal(&error.to_string()).into_response(),
        Stranger::Nothing => {
            count(&door.counts.without_credentials);
            let detail = "send a token as `Authorization: Bearer tdg_…`, or sign in at /login".to_owned();
            (detail, "Bearer realm=\"tidegate\"")
        }
        Stranger::Wrong(detail) => {
            count(&door.counts.bad_credentials);
            (detail, "Bearer realm=\"tidegate\", error=\"invalid_token\"")
        }
    };
    if *request.method() == Method::GET && request.uri().path() == "/" {
        return Redirect::to("login").into_response();
    }
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// That they came.
async fn note(api: &Api, caller: &Caller) {
    match caller.by {
        By::Local => {}
        By::Session(_) => count(&api.door.counts.by_session),
        By::Token(id) => {
            count(&api.door.counts.by_token);
            if api.door.is_use_to_note(id) {
                let door = std::sync::Arc::clone(&api.door);
                // What is not noted is noted the next time.
                let _noted = tokio::task::spawn_blocking(move || door.note_use(id)).await;
            }
        }
    }
}

impl Caller {
    /// In whose name an order is carried out: of whoever was asked who they are it is theirs, and no other is taken.
    pub(super) fn operator(&self, given: Option<&str>) -> Result<String, Problem> {
        if self.is_local() {
            let operator = operator_of(given.unwrap_or_default())?;
            self.says_operator(&operator);
            return Ok(operator);
        }
        match given.map(str::trim) {
            None => Ok(self.name.clone()),
            Some(given) if given == self.name => Ok(self.name.clone()),
            Some(_) => {
                let detail = format!("operator: you are {}; leave it out", self.name);
                Err(Problem::parameter("operator", detail))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal("a route that needs to know who asks lets in everybody"))
    }
}
