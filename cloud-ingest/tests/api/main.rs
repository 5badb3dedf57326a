//! The HTTP API over a real listener, with made-up data behind it.

mod alarm_actions;
mod asked;
mod changes;
mod deliveries;
mod documents;
mod idempotency;
mod made_up;
mod matrix;
mod orders;
mod page;
mod quarantine;
mod questions;
mod rules;
mod server;
mod settings;
mod sign_in;
mod snapshots;
mod streams;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use made_up::{MadeUp, raise};
use reqwest::Response;
use serde_json::Value as Json;
use tempfile::TempDir;
use tidegate_ingest::{
    api::{self, HttpListener},
    door::{Door, Policy},
};
use tidegate_service::Shutdown;
use tokio::{net::TcpListener, task::JoinHandle};

/// How many events wait for a watcher here.
const EVENTS_WAITING: usize = 64;
/// How many connections and event streams are open at most.
const MAX_CONNECTIONS: usize = 64;
const MAX_STREAMS: usize = 32;
/// Longer than anything awaited in these tests takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    address: SocketAddr,
    source: Arc<MadeUp>,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    door: Arc<Door>,
    /// Where users, tokens and the log of changes are.
    data_dir: TempDir,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(|listener| HttpListener::new(listener, MAX_CONNECTIONS)).await
    }

    async fn start_with(limits: impl FnOnce(TcpListener) -> HttpListener) -> Self {
        Self::start_kept(Policy::open_on_loopback(), limits).await
    }

    /// Everybody is asked who they are.
    async fn start_asking() -> Self {
        let policy = Policy { asks: true, ..Policy::open_on_loopback() };
        Self::start_kept(policy, |listener| HttpListener::new(listener, MAX_CONNECTIONS)).await
    }

    async fn start_kept(policy: Policy, limits: impl FnOnce(TcpListener) -> HttpListener) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let door = Arc::new(Door::open(data_dir.path(), policy).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (source, shutdown) = (Arc::new(MadeUp::new(EVENTS_WAITING)), Shutdown::new());
        let router = api::router(source.clone(), door.clone(), MAX_STREAMS, shutdown.clone());
        let serving = tokio::spawn(api::serve(limits(listener), router, shutdown.clone()));
        Self { address, source, shutdown, serving, door, data_dir }
    }

    async fn get(&self, path: &str) -> Response {
        let request = reqwest::get(format!("http://{}{path}", self.address));
        tokio::time::timeout(PATIENCE, request).await.expect("no answer").unwrap()
    }

    async fn json(&self, path: &str) -> Json {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), "application/json", "{path}");
        response.json().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.unwrap()
    }

    fn asked(&self) -> String {
        self.source.world.lock().unwrap().asked.clone()
    }
}

/// The stream comes to its end, whatever it still says before.
async fn ends(mut stream: Response) {
    let rest = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, rest).await.expect("the stream ends");
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
}
