//! The web page: files held in the program. It asks this API and nobody else, which its policy states.

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};

use super::{Api, sign_in};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(|| async { html(include_str!("../page/index.html")) }))
        .route("/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../page/style.css"))))
        .route("/app.js", get(|| asset("text/javascript; charset=utf-8", include_str!("../page/app.js"))))
        .route("/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
}

pub fn html(body: impl IntoResponse) -> impl IntoResponse {
    // Who signed out must not see it by the browser's "back".
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, body)
}

async fn asset(content_type: &'static str, body: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // Asked again each time: after an upgrade they must belong together.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body)
}

/// A page with a form: its secret, which has hexadecimal digits only, and what is said above it, which is our own words.
pub fn with_form(page: &str, secret: &str, said: &str) -> String {
    let hidden = if said.is_empty() { " hidden" } else { "" };
    page.replace("{form}", secret).replace("{hidden}", hidden).replace("{said}", said)
}
