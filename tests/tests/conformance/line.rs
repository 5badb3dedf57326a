//! The line between a client and the broker: it tells which packets pass, and is cut at the one that a test chose, which
//! is lost with it. The next connection goes through unhindered.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_broker::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::driver::PATIENCE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Broker,
    Client,
}

/// The packet types that tests look for, as in the first byte's upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    PingReq = 12,
    PingResp = 13,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub to: To,
    pub packet: Vec<u8>,
}

impl Passed {
    pub fn is(&self, to: To, kind: Kind) -> bool {
        self.to == to && self.packet[0] >> 4 == kind as u8
    }

    pub fn is_marked_duplicate(&self) -> bool {
        self.packet[0] & 0x08 != 0
    }
}

enum Event {
    Passed(Passed),
    Cut,
}

type Trap = Arc<Mutex<Option<(To, Kind)>>>;

pub struct Line {
    pub port: u16,
    trap: Trap,
    events: Receiver<Event>,
}

impl Line {
    pub async fn to(broker: &Running) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loop-back has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (trap, (tell, events)) = (Trap::default(), channel());
        tokio::spawn(accept(listener, broker.mqtt, Arc::clone(&trap), tell));
        Self { port, trap, events }
    }

    /// The next packet of this kind never arrives, and its connection ends there.
    pub fn cut_at(&self, to: To, kind: Kind) {
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some((to, kind));
    }

    /// What passes up to the first packet of this kind, that included. A packet that was lost did not pass.
    pub fn until(&self, to: To, kind: Kind) -> Vec<Passed> {
        let mut all = Vec::new();
        while !all.last().is_some_and(|last: &Passed| last.is(to, kind)) {
            match self.events.recv_timeout(PATIENCE) {
                Ok(Event::Passed(next)) => all.push(next),
                Ok(Event::Cut) => panic!("cut before a {kind:?} to the {to:?} passed"),
                Err(_) => panic!("no {kind:?} to the {to:?} passes"),
            }
        }
        all
    }

    /// Until the trap has sprung.
    pub fn until_cut(&self) {
        while !matches!(self.events.recv_timeout(PATIENCE).expect("the trap springs"), Event::Cut) {}
    }

    /// All that passed so far.
    pub fn so_far(&self) -> Vec<Passed> {
        let passed = |event| match event {
            Event::Passed(passed) => Some(passed),
            Event::Cut => None,
        };
        self.events.try_iter().filter_map(passed).collect()
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, trap: Trap, tell: Sender<Event>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(broker).await else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("an option of TCP");
        }
        let (trap, tell) = (Arc::clone(&trap), tell.clone());
        tokio::spawn(async move {
            let ((from_client, to_client), (from_broker, to_broker)) =
                (client.into_split(), server.into_split());
            // Whichever ends first takes the other with it, and both sockets are closed.
            tokio::select! {
                () = carry(from_client, to_broker, To::Broker, &trap, &tell) => {}
                () = carry(from_broker, to_client, To::Client, &trap, &tell) => {}
            }
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut into: OwnedWriteHalf, to: To, trap: &Trap, tell: &Sender<Event>) {
    while let Some(packet) = read_packet(&mut from).await {
        let passing = Passed { to, packet };
        {
            let mut trap = trap.lock().unwrap_or_else(PoisonError::into_inner);
            if trap.is_some_and(|(to, kind)| passing.is(to, kind)) {
                *trap = None;
                let _nobody_listens = tell.send(Event::Cut);
                return;
            }
        }
        // Told before it is sent on: what a client acts on has been told. A test that is over listens no more.
        let packet = passing.packet.clone();
        let _nobody_listens = tell.send(Event::Passed(passing));
        if into.write_all(&packet).await.is_err() {
            return;
        }
    }
}

async fn read_packet(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut packet = vec![from.read_u8().await.ok()?];
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = from.read_u8().await.ok()?;
        packet.push(byte);
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..]).await.ok()?;
    Some(packet)
}
