//! Retiring a device, and the log of what operators did.
//!
//! Where nobody is asked who they are, an order is taken only from a program on this machine: its address is a loopback address, it
//! named this machine so, and no proxy brought it (see `guard`). A page in a browser cannot give one: the body must be JSON,
//! for which a browser asks first, and is not allowed.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
};
use serde::Deserialize;
use tidegate_access::request::names_this_machine;
use tidegate_protocol::{BootId, DeviceId, SiteId};

use super::{Answer, ApiState, parameters::Parameters, problem::Problem};
use crate::{
    door::Caller,
    operations::{OperationsView, RetireRequest, RetireView},
};

pub(super) const MAX_OPERATOR_CHARS: usize = 64;
pub(super) const MAX_REASON_CHARS: usize = 500;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(SocketAddr);

impl Peer {
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    pub const fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    operator: Option<String>,
    reason: String,
    boot: Option<String>,
    #[serde(default)]
    confirm: bool,
}

pub async fn log(State(api): ApiState, uri: Uri) -> Answer<OperationsView> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| source.operations()).await.map(Json)
}

pub async fn retire(
    State(api): ApiState,
    Path((site, device)): Path<(String, String)>,
    uri: Uri,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<RetireView> {
    Parameters::read(&uri, &[])?;
    let request = request(&site, &device, &caller, &headers, &body)?;
    api.ask(move |source| source.retire(&request)).await.map(Json)
}

pub(super) fn refuse_strangers(peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |why: &str| {
        let detail = format!("an order is only taken from a program on the ingest's own machine: {why}");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    };
    if !peer.is_some_and(|address| address.to_canonical().is_loopback()) {
        return refused("this one comes from another; run `tidegate` there");
    }
    if headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for") {
        return refused("a proxy brought this one");
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !names_this_machine(host) {
        return refused("name it 127.0.0.1, [::1] or localhost");
    }
    Ok(())
}

pub(super) fn must_be_json(headers: &HeaderMap, example: &str) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")) {
        return Ok(());
    }
    let detail = format!("send the order as application/json: {example}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

fn request(
    site: &str,
    device: &str,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<RetireRequest, Problem> {
    let wrong = |name, detail: String| Problem::parameter(name, detail);
    let site: SiteId = site.parse().map_err(|error| wrong("site", format!("site: {error}")))?;
    let device: DeviceId = device.parse().map_err(|error| wrong("device", format!("device: {error}")))?;
    must_be_json(headers, "{\"operator\": …, \"reason\": …}")?;
    let order: Order = serde_json::from_slice(body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the order: {error}")))?;
    let boot = order.boot.as_deref().map(str::parse::<BootId>).transpose();
    let boot = boot.map_err(|error| wrong("boot", format!("boot: {error}")))?;
    let operator = caller.operator(order.operator.as_deref())?;
    let reason = one_line("reason", &order.reason, MAX_REASON_CHARS)?;
    Ok(RetireRequest { site, device, boot, operator, reason, confirmed: order.confirm })
}

pub(super) fn operator_of(name: &str) -> Result<String, Problem> {
    one_line("operator", name, MAX_OPERATOR_CHARS)
}

/// What somebody wrote for the log.
pub(super) fn one_line(name: &'static str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > most || text.chars().any(char::is_control) {
        let detail = format!("{name}: say it in 1 to {most} characters on one line");
        return Err(Problem::parameter(name, detail));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_programs_on_this_machine_may_order() {
        let local: Option<IpAddr> = Some([127, 0, 0, 1].into());
        for (peer, host, forwarded, taken) in [
            (local, "127.0.0.1:8080", false, true),
            (Some("::1".parse().unwrap()), "[::1]:8080", false, true),
            (Some("::ffff:127.0.0.1".parse().unwrap()), "localhost", false, true),
            (Some([10, 0, 0, 1].into()), "127.0.0.1", false, false),
            (None, "127.0.0.1", false, false),
            (local, "ingest.example:8080", false, false),
            (local, "localhost.example", false, false),
            (local, "", false, false),
            (local, "localhost", true, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if forwarded {
                headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
            }
            assert_eq!(refuse_strangers(peer, &headers).is_ok(), taken, "{peer:?} {host}");
        }
    }
}
