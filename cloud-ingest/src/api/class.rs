//! Which role each route wants. Pure. A route that is not here is for admins alone, and a test fails.

use axum::http::Method;
use tidegate_access::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Everybody, whoever they are.
    Everybody,
    /// Everybody, where the settings say so; else viewers.
    Metrics,
    AtLeast(Role),
}

/// Of a route as the router has it; none where it does not take this method.
pub fn of(method: &Method, route: &str) -> Option<Class> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let reads = *method == Method::GET;
    let class = match (method.as_str(), route) {
        // What a browser needs to sign in, whether it is alive, and what there is to ask.
        ("GET" | "POST", "/login") | ("GET", "/style.css" | "/health" | "/api/v1/openapi.json") => {
            Class::Everybody
        }
        ("GET", "/metrics") => Class::Metrics,
        ("GET", "/api/v1/tokens" | "/api/v1/users" | "/api/v1/changes")
        | ("POST", "/api/v1/tokens" | "/api/v1/users")
        | ("DELETE", "/api/v1/tokens/{token}" | "/api/v1/users/{user}")
        | ("PUT", "/api/v1/users/{user}/password") => Class::AtLeast(Role::Admin),
        ("POST", "/logout") => Class::AtLeast(Role::Viewer),
        ("POST", route) if route.starts_with("/api/v1/alarms/{site}/{device}/{channel}/{rule}/") => {
            Class::AtLeast(Role::Operator)
        }
        ("PUT", "/api/v1/rules")
        | ("PUT" | "DELETE", "/api/v1/devices/{site}/{device}/channels/{channel}/settings")
        | ("POST", "/api/v1/devices/{site}/{device}/retire")
        | ("POST", "/api/v1/receivers/{receiver}/enable" | "/api/v1/receivers/{receiver}/test")
        | ("POST", "/api/v1/deliveries/{receiver}/{cursor}/replay") => Class::AtLeast(Role::Engineer),
        (_, route) if reads && READ.contains(&route) => Class::AtLeast(Role::Viewer),
        _ => return None,
    };
    Some(class)
}

/// What every viewer may read.
const READ: &[&str] = &[
    "/",
    "/app.js",
    "/api/v1/whoami",
    "/api/v1/devices",
    "/api/v1/channels",
    "/api/v1/latest",
    "/api/v1/readings",
    "/api/v1/summaries",
    "/api/v1/gateways",
    "/api/v1/audit",
    "/api/v1/audit/certificate",
    "/api/v1/operations",
    "/api/v1/settings",
    "/api/v1/devices/{site}/{device}/channels/{channel}/settings",
    "/api/v1/alarms",
    "/api/v1/alarms/history",
    "/api/v1/alarms/log",
    "/api/v1/alarms/report",
    "/api/v1/alarms/{site}/{device}/{channel}/{rule}",
    "/api/v1/quarantine",
    "/api/v1/quarantine/{number}",
    "/api/v1/verdicts",
    "/api/v1/rules",
    "/api/v1/rules/log",
    "/api/v1/rules/{rule}",
    "/api/v1/receivers",
    "/api/v1/deliveries",
    "/api/v1/events",
];
