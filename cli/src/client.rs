//! The HTTP API of an ingest, as a client sees it.
//!
//! Bounds: connecting may take [`CONNECT_TIMEOUT`], an answer [`ANSWER_TIMEOUT`]; an event stream that is silent
//! for [`SILENCE_TIMEOUT`] (three missed heartbeats) counts as broken.

use std::{error::Error, time::Duration};

use reqwest::{Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const LONG_ANSWER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often an order is sent, and the pause between, where the connection breaks.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// The ingest sends a comment every 15 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{url}` is no usable address ({problem}); give --url or TIDEGATE_URL as {DEFAULT_URL}")]
    Url { url: String, problem: String },
    #[error(
        "cannot reach the ingest at {url} ({reason}); start it, or name another with --url or TIDEGATE_URL"
    )]
    Unreachable { url: String, reason: String },
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
    http: reqwest::Client,
}

/// An RFC 9457 problem document.
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
    /// The state of an alarm that refuses.
    state: Option<String>,
}

impl Client {
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let refused = |problem: String| ClientError::Url { url: url.to_owned(), problem };
        let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if parsed.scheme() != "http" {
            return Err(refused("only http:// is spoken".to_owned()));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .build()
            .map_err(|error| refused(innermost(&error)))?;
        Ok(Self { base: url.trim_end_matches('/').to_owned(), http })
    }

    /// For an answer that the ingest reads all stored readings for: it may think for [`LONG_ANSWER_TIMEOUT`].
    pub async fn get_after_long_work<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
        let http = builder.timeout(LONG_ANSWER_TIMEOUT).build().map_err(|error| self.unreachable(&error))?;
        let request = http.get(format!("{}{path}", self.base)).query(query);
        Ok(self.answer(path, request).await?.body)
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
        let request = self.http.get(format!("{}{path}", self.base)).query(query).timeout(ANSWER_TIMEOUT);
        self.answer(path, request).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer<T>, ClientError> {
        let response = self.accept(request.send().await.map_err(|error| self.unreachable(&error))?).await?;
        let server_unix_ms = response.headers().get(header::DATE).and_then(unix_ms_of);
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
        let request = self.http.post(format!("{}{path}", self.base)).json(order).timeout(ANSWER_TIMEOUT);
        self.answer(path, request).await
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
            let mut request =
                self.http.post(format!("{}{path}", self.base)).json(order).timeout(ANSWER_TIMEOUT);
            if let Some(key) = &key {
                request = request.header("Idempotency-Key", key);
            }
            match self.answer(path, request).await {
                Err(ClientError::Unreachable { .. }) if left > 0 => tokio::time::sleep(PAUSE).await,
                answer => return answer.map(|answer| answer.body),
            }
        }
    }

    /// Puts something in the place of what had this revision.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        wanted: &impl Serialize,
        revision: u32,
    ) -> Result<Answer<T>, ClientError> {
        let request = self.http.put(format!("{}{path}", self.base)).json(wanted).timeout(ANSWER_TIMEOUT);
        self.answer(path, request.header(header::IF_MATCH, format!("\"{revision}\""))).await
    }

    /// Puts a TOML text in the place of what had this revision, if one is named.
    pub async fn put_toml<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        text: String,
        revision: Option<u64>,
    ) -> Result<Answer<T>, ClientError> {
        let request = self.http.put(format!("{}{path}", self.base)).query(query).timeout(ANSWER_TIMEOUT);
        let mut request = request.header(header::CONTENT_TYPE, "application/toml").body(text);
        if let Some(revision) = revision {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        self.answer(path, request).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        let request = self.http.delete(format!("{}{path}", self.base)).timeout(ANSWER_TIMEOUT);
        self.answer(path, request).await
    }

    /// Opens the event stream.
    pub async fn events(
        &self,
        query: &[(&str, String)],
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.get(format!("{}/api/v1/events", self.base)).query(query);
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        self.accept(request.send().await.map_err(|error| self.unreachable(&error))?).await
    }

    async fn accept(&self, response: Response) -> Result<Response, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { title, detail, state }) => {
                let what = detail.map_or_else(|| title.clone(), |detail| format!("{title}: {detail}"));
                let what = what + &state.map(|state| format!(" (it is {state} now)")).unwrap_or_default();
                Err(ClientError::Refused { url: self.base.clone(), what })
            }
            Err(_) if status == StatusCode::NOT_FOUND => Err(self.not_an_ingest("404 not found".to_owned())),
            Err(_) => Err(ClientError::Refused { url: self.base.clone(), what: status.to_string() }),
        }
    }

    /// What a broken connection means to a person.
    pub fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let reason = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(error) };
        ClientError::Unreachable { url: self.base.clone(), reason }
    }

    fn not_an_ingest(&self, reason: String) -> ClientError {
        ClientError::NotAnIngest { url: self.base.clone(), reason }
    }
}

/// The cause at the end of the chain says most: "Connection refused (os error 111)".
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    // The number means nothing to most readers.
    text.split_once(" (os error").map_or_else(|| text.clone(), |(words, _)| words.to_lowercase())
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
        for (url, problem) in [("127.0.0.1:8080", "relative URL"), ("https://ingest", "only http://")] {
            let error = Client::new(url).expect_err(url).to_string();
            assert!(error.contains(problem) && error.contains("TIDEGATE_URL"), "{error}");
        }
    }

    #[test]
    fn the_servers_clock_is_read_from_its_date_header() {
        let date = header::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(unix_ms_of(&date), Some(784_111_777_000));
        assert_eq!(unix_ms_of(&header::HeaderValue::from_static("yesterday")), None);
    }
}
