//! The web page: three files held in the program. It asks this API and nobody else, which its policy states.

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
    response::IntoResponse,
    routing::get,
};

use super::Api;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", include_str!("../page/index.html"))))
        .route("/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../page/style.css"))))
        .route("/app.js", get(|| asset("text/javascript; charset=utf-8", include_str!("../page/app.js"))))
}

async fn asset(content_type: &'static str, body: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        // Asked again each time: after an upgrade the three must belong together.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body)
}
