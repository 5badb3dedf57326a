//! The links between the programs, each through a proxy of its own that stays where it is: a program that starts again
//! listens wherever it likes, and its neighbours find it where it always was.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate_simulator::Proxy;
use tidegate_tests::daemon::Announced;

use crate::plan::{AGENTS, BOARDS, Link, Program};

/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

pub struct Switchboard {
    boards: Vec<Proxy>,
    uplinks: Vec<Proxy>,
    intake: Proxy,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where each agent listens for boards.
    agents: [Option<SocketAddr>; AGENTS],
    /// The agent of each board.
    homes: [usize; BOARDS],
    http: Option<SocketAddr>,
    status: [Option<SocketAddr>; AGENTS],
}

impl Switchboard {
    pub async fn start() -> io::Result<Arc<Self>> {
        let (mut boards, mut uplinks) = (Vec::new(), Vec::new());
        for _ in 0..BOARDS {
            boards.push(Proxy::start(NOBODY).await?);
        }
        for _ in 0..AGENTS {
            uplinks.push(Proxy::start(NOBODY).await?);
        }
        let homes = std::array::from_fn(|board| board % AGENTS);
        let known = Mutex::new(Known { homes, ..Known::default() });
        Ok(Arc::new(Self { boards, uplinks, intake: Proxy::start(NOBODY).await?, known }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn link(&self, link: Link) -> &Proxy {
        match link {
            Link::Board(board) => &self.boards[board],
            Link::Uplink(agent) => &self.uplinks[agent],
            Link::Intake => &self.intake,
        }
    }

    /// For `program`'s next start: its neighbours are told where it listens.
    pub fn hears(self: &Arc<Self>, program: Program) -> Announced {
        let switchboard = Arc::clone(self);
        Box::new(move |listener, address| switchboard.listens(program, listener, address))
    }

    fn listens(&self, program: Program, listener: &str, address: SocketAddr) {
        let mut known = self.known();
        match (program, listener) {
            (Program::Agent(agent), "board_link") => {
                known.agents[agent] = Some(address);
                let boards = self.boards.iter().zip(known.homes);
                boards.filter(|(_, home)| *home == agent).for_each(|(proxy, _)| proxy.retarget(address));
            }
            (Program::Agent(agent), "status") => known.status[agent] = Some(address),
            (Program::Ingest, "http") => known.http = Some(address),
            (Program::Broker, "mqtt") => {
                self.uplinks.iter().chain([&self.intake]).for_each(|proxy| proxy.retarget(address));
            }
            _ => {}
        }
    }

    /// The board's next connection goes to the next agent.
    pub fn roam(&self, board: usize) {
        let mut known = self.known();
        let home = (known.homes[board] + 1) % AGENTS;
        known.homes[board] = home;
        self.boards[board].retarget(known.agents[home].unwrap_or(NOBODY));
    }

    pub fn http(&self) -> Option<SocketAddr> {
        self.known().http
    }

    pub fn status(&self, agent: usize) -> Option<SocketAddr> {
        self.known().status[agent]
    }

    pub fn restore_all(&self) {
        for link in Link::all() {
            self.link(link).limit(0);
            self.link(link).restore();
        }
    }
}
