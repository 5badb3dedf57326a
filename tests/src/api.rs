//! What the programs say over HTTP.

use std::net::SocketAddr;

use serde_json::Value;

use crate::eventually::eventually;

/// A program's HTTP listener.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    address: SocketAddr,
}

impl Api {
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client without TLS");
        Self { http, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The JSON at `path`, or why there is none now.
    pub async fn try_get(&self, path: &str) -> Result<Value, String> {
        let response = self
            .http
            .get(format!("{}{path}", self.url()))
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let body = response.text().await.map_err(|error| format!("{error:?}"))?;
        if !status.is_success() {
            return Err(format!("{path}: {status} {body}"));
        }
        serde_json::from_str(&body).map_err(|error| format!("{path}: {error} in {body}"))
    }

    /// The JSON at `path`.
    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks `path` until `accept` likes the answer.
    pub async fn get_when(&self, what: &str, path: &str, accept: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let answer = self.try_get(path).await?;
            if accept(&answer) { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await
    }

    /// Opens the event stream; the chunks of its body come one by one.
    pub async fn events(&self, query: &str) -> reqwest::Response {
        let response = self.http.get(format!("{}/api/v1/events{query}", self.url())).send().await;
        response.expect("the event stream opens")
    }
}

/// A number in an answer; absent and other things fail the test.
pub fn number(answer: &Value, pointer: &str) -> u64 {
    let found = answer.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {answer}"))
}
