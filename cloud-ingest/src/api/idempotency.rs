//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) on all that changes anything: an order that is given again under
//! its key is not carried out again, but answered as the first time.
//!
//! The same key with another order is 422, with one that is still being carried out 409. An order is carried out to its end though
//! its client goes away. Answers are kept in memory, the last [`MAX_KEPT`] of them with up to [`MAX_KEPT_BODY_BYTES`] each, and
//! until the ingest ends: then an alarm's own state refuses what was done already, and a comment or a shelf is given twice.
//! What was not carried out (5xx) is forgotten, so that it can be given again under the same key.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::door::Caller;

const HEADER: &str = "idempotency-key";
pub const MAX_KEPT: usize = 1_024;
pub const MAX_KEPT_BODY_BYTES: usize = 64 * 1024;
/// What is ordered or answered there is a secret.
const SECRET: [&str; 2] = ["/api/v1/tokens", "/api/v1/users"];
const MAX_KEY_CHARS: usize = 128;
/// As axum bounds bodies.
const MAX_ORDER_BYTES: usize = 2 * 1024 * 1024;

type Fingerprint = [u8; 32];

#[derive(Default)]
pub struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<String, (Fingerprint, Progress)>,
    /// Of answers, oldest first.
    order: VecDeque<String>,
}

enum Progress {
    UnderWay,
    Answered(Answered),
}

#[derive(Clone)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

pub async fn once(State(answers): State<Arc<Answers>>, request: Request, next: Next) -> Response {
    let is_order = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // Who signs in is nobody yet; and passwords and new tokens are not remembered.
    let is_secret = SECRET.iter().any(|path| request.uri().path().starts_with(path));
    let whose = request.extensions().get::<Caller>().map(Caller::key);
    let Some(whose) = whose.filter(|_| is_order && !is_secret && request.headers().contains_key(HEADER))
    else {
        return next.run(request).await;
    };
    match carry_out_once(answers, whose, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// Keys are everybody's own: nobody gets the answer to another's order.
async fn carry_out_once(
    answers: Arc<Answers>,
    whose: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = format!("{whose}\n{}", key(request.headers())?);
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_ORDER_BYTES).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the order is larger than 2 MiB".to_owned())
    })?;
    let condition = head.headers.get(header::IF_MATCH).map_or(&b""[..], |value| value.as_bytes());
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let mut digest = Sha256::new();
    for part in [head.method.as_str().as_bytes(), target.as_bytes(), condition, &body] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    if let Some(known) = answers.begin(&key, digest.finalize().into())? {
        return Ok(known.into_response());
    }
    let request = Request::from_parts(head, Body::from(body));
    let carried_out = tokio::spawn(async move {
        let under_way = UnderWay { answers: Arc::clone(&answers), key: Some(key) };
        let response = next.run(request).await;
        under_way.end(response).await
    });
    carried_out.await.map_err(|error| Problem::internal(&format!("the order did not end: {error}")))?
}

/// A string of structured fields (RFC 9651), or what most clients send: the bare word.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let wrong = || {
        let detail = format!("Idempotency-Key: give one of 1 to {MAX_KEY_CHARS} characters in quotes");
        Problem::parameter("Idempotency-Key", detail)
    };
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wrong()) };
    let text = value.to_str().map_err(|_| wrong())?.trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if bare.is_empty() || bare.contains('"') || bare.chars().count() > MAX_KEY_CHARS {
        return Err(wrong());
    }
    Ok(bare.to_owned())
}

impl Answers {
    /// The answer that was given already; none where the order is to be carried out now.
    fn begin(&self, key: &str, fingerprint: Fingerprint) -> Result<Option<Answered>, Problem> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.by_key.get(key) {
            None => {
                kept.by_key.insert(key.to_owned(), (fingerprint, Progress::UnderWay));
                Ok(None)
            }
            Some((known, _)) if *known != fingerprint => {
                let detail = "this Idempotency-Key was used for another order; take a new one for each";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail.to_owned()))
            }
            Some((_, Progress::UnderWay)) => {
                let detail = "the order of this Idempotency-Key is being carried out; ask again";
                Err(Problem::new(StatusCode::CONFLICT, detail.to_owned()))
            }
            Some((_, Progress::Answered(answered))) => Ok(Some(answered.clone())),
        }
    }
}

/// An order that is carried out; forgotten unless it comes to an answer.
struct UnderWay {
    answers: Arc<Answers>,
    key: Option<String>,
}

impl UnderWay {
    async fn end(mut self, response: Response) -> Result<Response, Problem> {
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .map_err(|error| Problem::internal(&format!("an answer cannot be read: {error}")))?;
        let answered = Answered { status: head.status, headers: head.headers, body };
        if !answered.status.is_server_error() && answered.body.len() <= MAX_KEPT_BODY_BYTES {
            self.keep(answered.clone());
        }
        Ok(answered.into_response())
    }

    fn keep(&mut self, answered: Answered) {
        let Some(key) = self.key.take() else { return };
        let mut kept = self.answers.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, progress)) = kept.by_key.get_mut(&key) {
            *progress = Progress::Answered(answered);
        }
        kept.order.push_back(key);
        while kept.order.len() > MAX_KEPT {
            if let Some(oldest) = kept.order.pop_front() {
                kept.by_key.remove(&oldest);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.answers.kept.lock().unwrap_or_else(PoisonError::into_inner).by_key.remove(&key);
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
