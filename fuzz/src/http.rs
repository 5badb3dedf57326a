//! Whatever is asked of an ingest over HTTP, with made-up data behind its routes.

#[path = "../../cloud-ingest/tests/api/made_up.rs"]
mod made_up;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, header, header::HeaderValue, http::HeaderName, service::Service};
use hyper_util::service::TowerToHyperService;
use made_up::{MadeUp, raise};
use serde_json::Value as Json;
use tempfile::TempDir;
use tidegate_access::{Role, book::Wanted, secrecy::ExposeSecret};
use tidegate_ingest::{
    api,
    door::{Door, Policy, new_token},
};
use tidegate_service::Shutdown;
use tokio::runtime::Runtime;

use super::queue::in_memory;

/// Users, tokens and the log of changes grow with what is ordered; they begin anew after so many requests.
const REQUESTS_EACH: u32 = 2_000;
const MAX_ANSWER_BYTES: usize = 4 << 20;
const EVENTS_WAITING: usize = 64;

struct Served {
    runtime: Runtime,
    door: Arc<Door>,
    shutdown: Shutdown,
    source: Arc<MadeUp>,
    bearer: HeaderValue,
    asked: u32,
    _data_dir: TempDir,
}

thread_local! {
    static SERVED: std::cell::RefCell<Served> = std::cell::RefCell::new(Served::start());
}

/// As HTTP/1.1 has it, but for the ends of lines: method and target, headers, an empty line, the body. Who asks is an
/// administrator unless the request says who asks.
pub fn http(bytes: &[u8]) {
    let Some(request) = request(bytes) else { return };
    SERVED.with_borrow_mut(|served| {
        if served.asked == REQUESTS_EACH {
            *served = Served::start();
        }
        served.asked += 1;
        served.ask(request);
    });
}

fn request(bytes: &[u8]) -> Option<Request<Full<Bytes>>> {
    let line_end = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, mut rest) = bytes.split_at(line_end(bytes));
    let (method, target) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    while let Some(after) = rest.strip_prefix(b"\n") {
        let (line, more) = after.split_at(line_end(after));
        rest = more;
        if line.is_empty() {
            break;
        }
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
        let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
        request = request.header(HeaderName::from_bytes(name).ok()?, value);
    }
    let body = Bytes::copy_from_slice(rest.strip_prefix(b"\n").unwrap_or_default());
    // A target of its own kind (`*`, host:port) has no path that a route could be found by.
    request.body(Full::new(body)).ok().filter(|request| request.uri().path().starts_with('/'))
}

impl Served {
    fn start() -> Self {
        let data_dir = in_memory();
        let policy = Policy { asks: true, ..Policy::open_on_loopback() };
        let door = Arc::new(Door::open(data_dir.path(), policy).expect("a folder"));
        let token = new_token().expect("random numbers");
        let owner = "eva".parse().expect("a name");
        let wanted = Wanted { owner, role: Role::Admin, note: "fuzzed".to_owned(), life_ms: 1 << 33 };
        let now = door.unix_ms();
        door.change(|book| book.create_token(&token, wanted, "eva", now).cloned()).expect("there is room");
        let bearer = format!("Bearer {}", token.text().expose_secret());
        let bearer = HeaderValue::try_from(bearer).expect("a token is ASCII");
        let source = Arc::new(MadeUp::new(EVENTS_WAITING));
        for seq in 1..4 {
            source.commit(raise(seq));
        }
        // Streams end once they have told what there is.
        let shutdown = Shutdown::new();
        shutdown.trigger();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { runtime, door, shutdown, source, bearer, asked: 0, _data_dir: data_dir }
    }

    fn ask(&self, mut request: Request<Full<Bytes>>) {
        let is_known = !request.headers().contains_key(header::AUTHORIZATION);
        if is_known {
            request.headers_mut().insert(header::AUTHORIZATION, self.bearer.clone());
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (door, source) = (Arc::clone(&self.door), Arc::clone(&self.source));
        let router = api::router(source, door, 4, self.shutdown.clone());
        let (head, body) = self.runtime.block_on(async {
            let response = TowerToHyperService::new(router).call(request).await;
            let Ok(response) = response;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.expect("an answer has a bound");
            (Response::from_parts(head, ()), body.to_bytes())
        });
        let status = head.status();
        assert!(!status.is_server_error(), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        if !is_known && path.starts_with("/api/") {
            assert!(
                !status.is_success() || status == StatusCode::OK,
                "nobody changes anything without a token"
            );
        }
        answered(&head, &body, method == hyper::Method::HEAD);
    }
}

/// JSON where it says so, and every refusal a problem document (RFC 9457) that says what is wrong.
fn answered(head: &Response<()>, body: &[u8], is_head: bool) {
    let header =
        |name: HeaderName| head.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    let kind = header(header::CONTENT_TYPE);
    if is_head {
        return;
    }
    if kind.starts_with("application/json") || kind.starts_with("application/problem+json") {
        let json: Json = serde_json::from_slice(body).expect("what says that it is JSON is");
        if kind.starts_with("application/problem") {
            assert_eq!(json["status"], head.status().as_u16());
            assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{json}");
        }
    }
    if head.status().is_client_error() {
        assert!(kind.starts_with("application/problem+json"), "{} {kind}", head.status());
    }
}

/// One of each operation of the API's own document, and orders with good bodies.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let document: Json =
        serde_json::from_str(include_str!("../../cloud-ingest/src/api/openapi.json")).expect("JSON");
    let mut seeds = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if method == "parameters" {
                continue;
            }
            let mut filled = path.clone();
            for (name, value) in NAMES {
                filled = filled.replace(&format!("{{{name}}}"), value);
            }
            let given = operation["parameters"].as_array().into_iter().flatten();
            let query: Vec<String> = given
                .filter(|parameter| parameter["in"] == "query")
                .filter_map(|parameter| parameter["name"].as_str())
                .map(|name| format!("{name}={}", value_of(name)))
                .collect();
            let has_body = operation["requestBody"].is_object();
            let body = if has_body { body_of(path) } else { "" };
            let kind = if body.is_empty() { "" } else { "content-type: application/json\n" };
            let key = if method == "get" { "" } else { "idempotency-key: \"k1\"\n" };
            let mark = if query.is_empty() { "" } else { "?" };
            let text =
                format!("{} {filled}{mark}{}\n{kind}{key}\n{body}", method.to_uppercase(), query.join("&"));
            let name = format!("{method}{}", path.replace("/api/v1", "").replace(['/', '{', '}', '.'], "-"));
            seeds.push((name.trim_end_matches('-').to_owned(), text.into_bytes()));
        }
    }
    for (name, text) in [
        (
            "login",
            "POST /login\ncontent-type: application/x-www-form-urlencoded\n\nname=eva&password=tide+and%20gate",
        ),
        ("last-event-id", "GET /api/v1/events?provisional=true\nlast-event-id: 2\n\n"),
        (
            "if-match",
            "PUT /api/v1/rules?dry_run=true\ncontent-type: application/toml\nif-match: W/\"5\", \"6\"\n\n[[rule]]\nid = \"hot\"\nabove = 80\n",
        ),
        ("nobody", "GET /api/v1/devices\nauthorization: Bearer tdg_0123456789abcdef_00\n\n"),
        (
            "cookie",
            "POST /api/v1/tokens\nauthorization: x\ncookie: tidegate=1\norigin: https://elsewhere\n\n{}",
        ),
    ] {
        seeds.push((name.to_owned(), text.as_bytes().to_vec()));
    }
    seeds
}

const NAMES: [(&str, &str); 10] = [
    ("site", "plant"),
    ("device", "board-1"),
    ("channel", "temperature"),
    ("rule", "hot"),
    ("receiver", "ops"),
    ("cursor", "7"),
    ("number", "7"),
    ("token", "0123456789abcdef"),
    ("user", "tom"),
    ("boot", "0123456789abcdef"),
];

fn value_of(name: &str) -> &str {
    match name {
        "since" | "from" => "2026-01-31T12:00:00%2B01:00",
        "until" | "to" => "1790000000000",
        "limit" | "after" | "before" => "5",
        "state" => "all",
        "priority" => "high",
        "dry_run" | "sealed" | "differing" | "unacknowledged" | "provisional" => "true",
        known => NAMES.iter().find(|(name, _)| *name == known).map_or("x", |(_, value)| value),
    }
}

fn body_of(path: &str) -> &'static str {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "retire" => r#"{"operator":"eva","reason":"gone","boot":"0123456789abcdef","confirm":true}"#,
        "settings" => r#"{"period_ms":500,"report_deadband":0.5,"operator":"eva","reason":"quieter"}"#,
        "rules" => r#"{"rule":[{"id":"hot","above":80.0,"deadband":2.5,"on_delay":"5s","priority":"high"}]}"#,
        "tokens" => r#"{"role":"viewer","note":"panel","days":30}"#,
        // Too short, so that none is made: that takes long on purpose.
        "users" => r#"{"name":"tom","role":"viewer","password":"short"}"#,
        "password" => r#"{"password":"short"}"#,
        "shelve" => r#"{"operator":"eva","comment":"noisy","for_ms":3600000}"#,
        _ => r#"{"operator":"eva","comment":"seen","confirm":true}"#,
    }
}
