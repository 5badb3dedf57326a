//! Signing in and out of the page. A form that works without a script: what it carries in a hidden field must be what the browser
//! holds as a cookie (before there is a session) or belong to the session (after).

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Serialize;
use tidegate_access::{
    Role,
    request::{Form, cookie},
    secrecy::{ExposeSecret, SecretString},
    session::{form_secret, is_same},
};

use super::{
    Answer, ApiState,
    guard::made_of,
    operations::Peer,
    page::{self, with_form},
    parameters::Parameters,
    problem::Problem,
};
use crate::door::{By, Caller, SignInRefused, new_session};

const PAGE: &str = include_str!("../page/login.html");
/// A form that lies about for longer is fetched anew.
const FORM_LIFE_S: u32 = 3_600;

/// With TLS the name itself has the browser see to it that no other host, and no page in clear, has set it (RFC 6265bis).
pub const fn session_cookie(is_tls: bool) -> &'static str {
    if is_tls { "__Host-tidegate" } else { "tidegate" }
}

const fn form_cookie(is_tls: bool) -> &'static str {
    if is_tls { "__Host-tidegate-form" } else { "tidegate-form" }
}

/// `max_age_s`: none for as long as the browser is open.
fn set_cookie(name: &str, value: &str, max_age_s: Option<u32>, is_tls: bool) -> (HeaderName, String) {
    let age = max_age_s.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if is_tls { "; Secure" } else { "" };
    (header::SET_COOKIE, format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"))
}

fn held(headers: &HeaderMap, name: &str) -> Option<SecretString> {
    cookie(headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes), name)
}

pub async fn form(State(api): ApiState) -> Response {
    if !api.door.policy.asks {
        return Redirect::to("./").into_response();
    }
    shown(api.door.policy.is_tls, StatusCode::OK, "")
}

/// The form, with a secret of its own, and what is to be said above it.
fn shown(is_tls: bool, status: StatusCode, said: &str) -> Response {
    let secret = match new_session() {
        Ok(secret) => secret,
        Err(error) => return Problem::internal(&error.to_string()).into_response(),
    };
    let secret = secret.expose_secret();
    let html = with_form(PAGE, secret, said);
    let cookie = set_cookie(form_cookie(is_tls), secret, Some(FORM_LIFE_S), is_tls);
    (status, [cookie], page::html(html)).into_response()
}

pub async fn sign_in(State(api): ApiState, request: Request) -> Response {
    let (door, is_tls) = (&api.door, api.door.policy.is_tls);
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.ip());
    let (Some(peer), true) = (peer, door.policy.asks) else {
        let detail = "nobody is asked who they are here; set up [auth]".to_owned();
        return Problem::new(StatusCode::CONFLICT, detail).into_response();
    };
    let headers = request.headers().clone();
    let Ok(body) = axum::body::to_bytes(request.into_body(), tidegate_access::request::MAX_FORM_BYTES).await
    else {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large".to_owned())
            .into_response();
    };
    let Some(form) = read_form(&headers, &body) else {
        let detail = "send the form of /login".to_owned();
        return Problem::new(StatusCode::BAD_REQUEST, detail).into_response();
    };
    let is_ours = held(&headers, form_cookie(is_tls))
        .is_some_and(|held| form.field("form").is_some_and(|given| is_same(&held, given)));
    if !is_ours || !made_of(&headers).by_our_own_page() {
        crate::door::count(&door.counts.not_our_page);
        return shown(is_tls, StatusCode::FORBIDDEN, "This form was too old. Please try again.");
    }
    let field = |name| form.field(name).cloned().unwrap_or_default();
    let account = field("name");
    match door.sign_in(account.expose_secret(), field("password"), peer).await {
        Ok(session) => {
            let session = set_cookie(session_cookie(is_tls), session.expose_secret(), None, is_tls);
            let (name, gone) = set_cookie(form_cookie(is_tls), "", Some(0), is_tls);
            let mut response =
                (StatusCode::SEE_OTHER, [session, (header::LOCATION, "./".to_owned())]).into_response();
            if let Ok(gone) = HeaderValue::from_str(&gone) {
                response.headers_mut().append(name, gone);
            }
            response
        }
        Err(refused) => explained(is_tls, &refused),
    }
}

fn explained(is_tls: bool, refused: &SignInRefused) -> Response {
    let (status, retry_after_s) = match refused {
        SignInRefused::Wrong => (StatusCode::UNAUTHORIZED, None),
        SignInRefused::TooMany { retry_after_s } => (StatusCode::TOO_MANY_REQUESTS, Some(*retry_after_s)),
        SignInRefused::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        SignInRefused::Password(_)
        | SignInRefused::Kept(_)
        | SignInRefused::Door(_)
        | SignInRefused::Ended(_) => return Problem::internal(&refused.to_string()).into_response(),
    };
    let said = match (refused, retry_after_s) {
        (SignInRefused::TooMany { .. }, Some(seconds)) => {
            format!("Too many attempts. Please wait {} minutes.", seconds.div_ceil(60))
        }
        (SignInRefused::Busy, _) => "Too many sign in at this moment. Please try again.".to_owned(),
        _ => "The name or the password is wrong.".to_owned(),
    };
    let mut response = shown(is_tls, status, &said);
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 wants one with each 401.
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    response
}

fn read_form(headers: &HeaderMap, body: &[u8]) -> Option<Form> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let is_form = kind.split(';').next()?.trim() == "application/x-www-form-urlencoded";
    Form::read(body).ok().filter(|_| is_form)
}

pub async fn sign_out(State(api): ApiState, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    let is_tls = api.door.policy.is_tls;
    let By::Session(session) = &caller.by else {
        let detail = "there is no session to end; a token is revoked by an admin".to_owned();
        return Problem::new(StatusCode::CONFLICT, detail).into_response();
    };
    let expected = form_secret(session);
    let form = read_form(&headers, &body);
    if !form.is_some_and(|form| form.field("form").is_some_and(|given| is_same(&expected, given))) {
        let detail = "send the form of the page".to_owned();
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    api.door.sign_out(session);
    let gone = set_cookie(session_cookie(is_tls), "", Some(0), is_tls);
    (StatusCode::SEE_OTHER, [gone, (header::LOCATION, "login".to_owned())]).into_response()
}

#[derive(Serialize)]
pub struct WhoView {
    /// None where nobody is asked who they are.
    name: Option<String>,
    role: Role,
    /// `local`, `token` or `session`
    by: &'static str,
    /// Whether everybody is asked who they are.
    asks: bool,
    /// What the form that ends the session carries.
    form: Option<String>,
}

pub async fn who(State(api): ApiState, caller: Caller, uri: axum::http::Uri) -> Answer<WhoView> {
    Parameters::read(&uri, &[])?;
    let form = match &caller.by {
        By::Session(session) => Some(form_secret(session).expose_secret().to_owned()),
        By::Local | By::Token(_) => None,
    };
    Ok(axum::Json(WhoView {
        name: (!caller.is_local()).then(|| caller.name.clone()),
        role: caller.role,
        by: caller.way(),
        asks: api.door.policy.asks,
        form,
    }))
}
