//! The demo's parts, in one process and over real sockets:
//!
//! ```text
//! boards ──▶ agents ──▶ proxies ──▶ broker ──▶ ingest
//! ```
//!
//! The proxies carry the bytes that the report counts, and are what an outage cuts.

use std::{net::SocketAddr, time::Duration};

use tidegate_service::Shutdown;
use tidegate_simulator::{BoardHandle, Proxy, VirtualBoard, plan::Observer};
use tokio::time::{Instant, timeout_at};

use super::{
    configuration::{Folder, GATEWAYS},
    drained::Marks,
    error::DemoError,
    fleet,
};

/// How long boards and agents get to deliver what they hold.
const DELIVERY: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(10);

struct Gateway {
    agent: tidegate_agent::Running,
    proxy: Proxy,
}

pub struct System {
    broker: tidegate_broker::Running,
    ingest: tidegate_ingest::Running,
    gateways: Vec<Gateway>,
    boards: Vec<BoardHandle>,
}

impl System {
    /// Starts everything, the receiving end first.
    pub async fn start(
        folder: &Folder,
        http: SocketAddr,
        seed: u64,
        observer: &Observer,
    ) -> Result<Self, DemoError> {
        let broker = start_broker(folder).await?;
        let ingest = start_ingest(folder, broker.mqtt, http).await?;
        let mut gateways = Vec::new();
        for name in GATEWAYS {
            let proxy = Proxy::start(broker.mqtt).await.map_err(|e| DemoError::part("proxy")(e.into()))?;
            let agent = start_agent(folder, name, proxy.addr()).await?;
            gateways.push(Gateway { agent, proxy });
        }
        let mut system = Self { broker, ingest, gateways, boards: Vec::new() };
        system.start_boards(seed, observer)?;
        Ok(system)
    }

    fn start_boards(&mut self, seed: u64, observer: &Observer) -> Result<(), DemoError> {
        let links: Vec<SocketAddr> =
            self.gateways.iter().filter_map(|gateway| gateway.agent.board_link).collect();
        let plans = fleet::plans(seed, observer).map_err(|e| DemoError::part("fleet")(e.into()))?;
        for (plan, link) in plans.into_iter().zip(links.iter().cycle()) {
            let board = VirtualBoard::spawn(plan, *link, Shutdown::new());
            self.boards.push(board.map_err(|e| DemoError::part("fleet")(e.into()))?);
        }
        Ok(())
    }

    /// Where the page and the API are.
    pub fn http(&self) -> SocketAddr {
        self.ingest.http
    }

    pub fn mqtt(&self) -> SocketAddr {
        self.broker.mqtt
    }

    pub fn agent_statuses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.agent.status).collect()
    }

    pub fn cut(&self) {
        self.gateways.iter().for_each(|gateway| gateway.proxy.cut());
    }

    pub fn restore(&self) {
        self.gateways.iter().for_each(|gateway| gateway.proxy.restore());
    }

    /// What the agents have sent to the broker, MQTT and all.
    pub fn uplink_bytes(&self) -> u64 {
        self.gateways.iter().map(|gateway| gateway.proxy.bytes_to_upstream()).sum()
    }

    /// How far each board has measured.
    pub fn marks(&self) -> Marks {
        self.boards.iter().map(|board| (board.device().to_string(), board.measured())).collect()
    }

    /// Lets the boards deliver what they hold, and ends them.
    pub async fn finish_boards(&mut self) {
        let deadline = Instant::now() + DELIVERY;
        for board in &self.boards {
            board.stop_measuring();
        }
        for board in self.boards.drain(..) {
            // A board that cannot deliver is ended where its handle is dropped; the audit names what it kept.
            let _late = timeout_at(deadline, board.finish()).await;
        }
    }

    /// Lets the agents deliver what they hold, and ends them. The ingest and the broker go on, for the audit.
    pub async fn finish_agents(&mut self) {
        for Gateway { agent, proxy } in self.gateways.drain(..) {
            if let Err(error) = agent.drain(DRAIN).await {
                tracing::warn!(%error, "an agent did not end cleanly");
            }
            drop(proxy);
        }
    }

    pub async fn stop(self) {
        if let Err(error) = self.ingest.drain(DRAIN).await {
            tracing::warn!(%error, "the ingest did not end cleanly");
        }
        if let Err(error) = self.broker.drain(DRAIN).await {
            tracing::warn!(%error, "the broker did not end cleanly");
        }
    }
}

async fn start_broker(folder: &Folder) -> Result<tidegate_broker::Running, DemoError> {
    let part = || DemoError::part("broker");
    let config = tidegate_broker::Config::load(&folder.broker()?).map_err(|e| part()(e.into()))?;
    tidegate_broker::start(config).await.map_err(|e| part()(e.into()))
}

async fn start_ingest(
    folder: &Folder,
    broker: SocketAddr,
    http: SocketAddr,
) -> Result<tidegate_ingest::Running, DemoError> {
    let part = || DemoError::part("ingest");
    let config =
        tidegate_ingest::Config::load(&folder.ingest(broker, http)?).map_err(|e| part()(e.into()))?;
    tidegate_ingest::start(config).await.map_err(|e| part()(e.into()))
}

async fn start_agent(
    folder: &Folder,
    gateway: &str,
    broker: SocketAddr,
) -> Result<tidegate_agent::Running, DemoError> {
    let part = || DemoError::part(format!("agent {gateway}"));
    let config =
        tidegate_agent::Config::load(&folder.agent(gateway, broker)?).map_err(|e| part()(e.into()))?;
    tidegate_agent::start(config).await.map_err(|e| part()(e.into()))
}
