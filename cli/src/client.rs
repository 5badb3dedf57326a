//! The HTTP API of an ingest, as a client sees it.
//!
//! Bounds: an answer may take [`ANSWER_TIMEOUT`] to begin, and be silent for as long; an event stream that is silent
//! for [`SILENCE_TIMEOUT`] (three missed heartbeats) counts as broken.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_access::{
    Token,
    secrecy::{ExposeSecret, SecretString},
};
use tidegate_trust::{ClientFiles, ClientTls, settings::is_this_machine};
use url::Url;

use crate::http::{self, Broken, Response};

pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const LONG_ANSWER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often an order is sent, and the pause between, where the connection breaks.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// The ingest sends a comment every 15 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

/// Whose certificate is believed, and who we are.
#[derive(Debug, Default)]
pub struct Trust<'a> {
    pub ca: Option<&'a Path>,
    pub token: Option<SecretString>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{url}` is no usable address ({problem}); give --url or TIDEGATE_URL as {DEFAULT_URL}")]
    Url { url: String, problem: String },
    #[error(
        "cannot reach the ingest at {url} ({reason}); start it, or name another with --url or TIDEGATE_URL"
    )]
    Unreachable { url: String, reason: String },
    #[error("--ca: {0}")]
    Authority(#[from] tidegate_trust::FileError),
    #[error("the token: {0}; `tidegate tokens create` makes one")]
    Token(#[from] tidegate_access::token::NoToken),
    #[error("--token-file: cannot read {} ({error})", path.display())]
    TokenFile { path: std::path::PathBuf, error: std::io::Error },
    #[error("a token is not sent to {url} in clear: anybody on the way could take it; use https and --ca")]
    TokenInClear { url: String },
    #[error(
        "the ingest at {url} asks who you are ({what}); give a token with --token-file or TIDEGATE_TOKEN"
    )]
    WhoAreYou { url: String, what: String },
    #[error("the ingest at {url} refuses: {what}")]
    Refused { url: String, what: String },
    #[error(
        "what answers at {url} is no Tidegate ingest ({reason}); name the right one with --url or TIDEGATE_URL"
    )]
    NotAnIngest { url: String, reason: String },
}

/// A decoded answer, and the ingest's own clock when it gave it.
#[derive(Debug)]
pub struct Answer<T> {
    pub body: T,
    /// From the `Date` header, so that ages are right even where this machine's clock is not.
    pub server_unix_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    tls: Option<ClientTls>,
    token: Option<Token>,
}

/// An RFC 9457 problem document.
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
    /// The state of an alarm that refuses.
    state: Option<String>,
}

/// A request that is being made.
struct Asking<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'a str, String)],
    headers: Vec<(header::HeaderName, String)>,
    body: Vec<u8>,
    silence: Duration,
}

impl<'a> Asking<'a> {
    fn new(method: Method, path: &'a str, query: &'a [(&'a str, String)]) -> Self {
        Self { method, path, query, headers: Vec::new(), body: Vec::new(), silence: ANSWER_TIMEOUT }
    }

    fn with(mut self, name: header::HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn json(mut self, order: &impl Serialize) -> Self {
        // Orders have only texts, numbers and names, which always serialise.
        self.body = serde_json::to_vec(order).unwrap_or_default();
        self.with(header::CONTENT_TYPE, "application/json".to_owned())
    }
}

impl Client {
    pub fn new(url: &str, trust: &Trust<'_>) -> Result<Self, ClientError> {
        let refused = |problem: String| ClientError::Url { url: url.to_owned(), problem };
        let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        let Some(host) = parsed.host_str() else { return Err(refused("it names no host".to_owned())) };
        let tls = match (parsed.scheme(), trust.ca) {
            ("http", _) => None,
            ("https", Some(ca)) => Some(ClientFiles::believing(ca).load()?),
            ("https", None) => {
                let says = "https needs --ca FILE: the authority of the ingest's certificate";
                return Err(refused(says.to_owned()));
            }
            _ => return Err(refused("only http:// and https:// are spoken".to_owned())),
        };
        let token = trust.token.as_ref().map(|text| Token::read(text.expose_secret())).transpose()?;
        if token.is_some() && tls.is_none() && !is_this_machine(host) {
            return Err(ClientError::TokenInClear { url: url.to_owned() });
        }
        Ok(Self { base: url.trim_end_matches('/').to_owned(), tls, token })
    }

    /// Whether the ingest hears from a token who we are.
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// For an answer that the ingest reads all stored readings for: it may think for [`LONG_ANSWER_TIMEOUT`].
    pub async fn get_after_long_work<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let asking = Asking { silence: LONG_ANSWER_TIMEOUT, ..Asking::new(Method::GET, path, query) };
        Ok(self.answer(asking).await?.body)
    }

    pub fn url(&self) -> &str {
        &self.base
    }

    /// Asks `path` and decodes the answer.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Answer<T>, ClientError> {
        self.answer(Asking::new(Method::GET, path, query)).await
    }

    async fn send(&self, asking: Asking<'_>) -> Result<Response, ClientError> {
        let refused = |problem: String| ClientError::Url { url: self.base.clone(), problem };
        let mut url = Url::parse(&format!("{}{}", self.base, asking.path))
            .map_err(|error| refused(error.to_string()))?;
        if !asking.query.is_empty() {
            url.query_pairs_mut().extend_pairs(asking.query);
        }
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut request = Request::builder().method(asking.method).uri(target).header(header::HOST, host);
        if let Some(token) = &self.token {
            let mut value =
                header::HeaderValue::from_str(&format!("Bearer {}", token.text().expose_secret()))
                    .map_err(|error| refused(error.to_string()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        for (name, value) in asking.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(Full::new(Bytes::from(asking.body))).map_err(|error| refused(error.to_string()))?;
        let sent = http::send(&url, self.tls.as_ref(), request, asking.silence).await;
        self.accept(sent.map_err(|error| self.unreachable(&error))?).await
    }

    async fn answer<T: DeserializeOwned>(&self, asking: Asking<'_>) -> Result<Answer<T>, ClientError> {
        let path = asking.path.to_owned();
        let response = self.send(asking).await?;
        let server_unix_ms = response.headers.get(header::DATE).and_then(unix_ms_of);
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body = serde_json::from_slice(&body)
            .map_err(|error| self.not_an_ingest(format!("{path} is not what it should be: {error}")))?;
        Ok(Answer { body, server_unix_ms })
    }

    /// Gives an order and decodes what came of it.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<Answer<T>, ClientError> {
        self.answer(Asking::new(Method::POST, path, &[]).json(order)).await
    }

    /// Gives an order under a key of its own, so that it is carried out once though it is sent again where the connection broke.
    pub async fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<T, ClientError> {
        let key = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
        let key = key.map(|(high, low)| format!("\"{high:016x}{low:016x}\"")).ok();
        // Without a key it must not be sent twice.
        let mut left = if key.is_some() { ATTEMPTS } else { 1 };
        loop {
            left -= 1;
            let mut asking = Asking::new(Method::POST, path, &[]).json(order);
            if let Some(key) = &key {
                asking = asking.with(header::HeaderName::from_static("idempotency-key"), key.clone());
            }
            match self.answer(asking).await {
                Err(ClientError::Unreachable { .. }) if left > 0 => tokio::time::sleep(PAUSE).await,
                answer => return answer.map(|answer| answer.body),
            }
        }
    }

    /// Puts something in the place of what had this revision, if one is named.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        wanted: &impl Serialize,
        revision: Option<u32>,
    ) -> Result<Answer<T>, ClientError> {
        let mut asking = Asking::new(Method::PUT, path, &[]).json(wanted);
        if let Some(revision) = revision {
            asking = asking.with(header::IF_MATCH, format!("\"{revision}\""));
        }
        self.answer(asking).await
    }

    /// Puts a TOML text in the place of what had this revision, if one is named.
    pub async fn put_toml<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        text: String,
        revision: Option<u64>,
    ) -> Result<Answer<T>, ClientError> {
        let mut asking = Asking { body: text.into_bytes(), ..Asking::new(Method::PUT, path, query) };
        asking = asking.with(header::CONTENT_TYPE, "application/toml".to_owned());
        if let Some(revision) = revision {
            asking = asking.with(header::IF_MATCH, format!("\"{revision}\""));
        }
        self.answer(asking).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        self.answer(Asking::new(Method::DELETE, path, &[])).await
    }

    /// Opens the event stream.
    pub async fn events(
        &self,
        query: &[(&str, String)],
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let asking = Asking { silence: SILENCE_TIMEOUT, ..Asking::new(Method::GET, "/api/v1/events", query) };
        let mut asking = asking.with(header::ACCEPT, "text/event-stream".to_owned());
        if let Some(id) = last_event_id {
            asking = asking.with(header::HeaderName::from_static("last-event-id"), id.to_owned());
        }
        self.send(asking).await
    }

    async fn accept(&self, response: Response) -> Result<Response, ClientError> {
        let status = response.status;
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { title, detail, state }) => {
                let what = detail.map_or_else(|| title.clone(), |detail| format!("{title}: {detail}"));
                if status == StatusCode::UNAUTHORIZED {
                    return Err(ClientError::WhoAreYou { url: self.base.clone(), what });
                }
                let what = what + &state.map(|state| format!(" (it is {state} now)")).unwrap_or_default();
                Err(ClientError::Refused { url: self.base.clone(), what })
            }
            Err(_) if status == StatusCode::NOT_FOUND => Err(self.not_an_ingest("404 not found".to_owned())),
            Err(_) => Err(ClientError::Refused { url: self.base.clone(), what: status.to_string() }),
        }
    }

    fn unreachable(&self, broken: &Broken) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), reason: broken.to_string() }
    }

    fn not_an_ingest(&self, reason: String) -> ClientError {
        ClientError::NotAnIngest { url: self.base.clone(), reason }
    }
}

fn unix_ms_of(date: &header::HeaderValue) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?;
    Some(parsed.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_says_how_to_write_it() {
        for (url, problem) in
            [("127.0.0.1:8080", "relative URL"), ("ftp://ingest", "only http://"), ("https://ingest", "--ca")]
        {
            let error = Client::new(url, &Trust::default()).expect_err(url).to_string();
            assert!(error.contains(problem) && error.contains("TIDEGATE_URL"), "{error}");
        }
    }

    #[test]
    fn a_token_stays_on_this_machine_or_goes_by_tls() {
        let text = format!("tdg_{}_{}", "0".repeat(16), "a".repeat(64));
        let with = |url, text: &str| Client::new(url, &Trust { ca: None, token: Some(text.into()) });
        assert!(with("http://127.0.0.1:8080", &text).is_ok_and(|client| client.has_token()));
        let error = with("http://ingest.example", &text).expect_err("in clear").to_string();
        assert!(error.contains("in clear") && !error.contains("aaaa"), "{error}");
        let error = with("http://127.0.0.1", &text[..80]).expect_err("no token").to_string();
        assert!(error.contains("tdg_") && !error.contains("aaaa"), "{error}");
    }

    #[test]
    fn the_servers_clock_is_read_from_its_date_header() {
        let date = header::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(unix_ms_of(&date), Some(784_111_777_000));
        assert_eq!(unix_ms_of(&header::HeaderValue::from_static("yesterday")), None);
    }
}
