//! An HTTP server whose every answer a test decides, and that remembers what it was asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use tokio::{net::TcpListener, runtime::Runtime};

#[derive(Clone, Debug)]
pub struct Request {
    /// With its path, as `GET /api/v1/devices`.
    pub line: String,
    pub body: Bytes,
    query: HashMap<String, String>,
    headers: HeaderMap,
}

impl Request {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

type Answer = dyn Fn(&Request, usize) -> Response + Send + Sync;

#[derive(Clone)]
struct Shared {
    answer: Arc<Answer>,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// Serves until it is dropped.
pub struct FakeIngest {
    url: String,
    shared: Shared,
    _runtime: Runtime,
}

impl FakeIngest {
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_counting(move |request, _| answer(request))
    }

    /// `answer` also gets how many requests came before.
    pub fn start_counting(answer: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Self {
        let shared = Shared { answer: Arc::new(answer), requests: Arc::default() };
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let service = Router::new().fallback(handle).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self { url, shared, _runtime: runtime }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("not poisoned").clone()
    }
}

async fn handle(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {}", uri.path());
    let request = Request { line, body, query, headers };
    let before = {
        let mut requests = shared.requests.lock().expect("not poisoned");
        requests.push(request.clone());
        requests.len() - 1
    };
    (shared.answer)(&request, before)
}
