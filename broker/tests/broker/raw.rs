//! MQTT by hand, for what an honest client library would not send.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidegate_broker::Running;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// TCP, or TLS over it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Raw {
    stream: Box<dyn Stream>,
    refuses: bool,
}

impl Raw {
    pub async fn open(broker: &Running) -> Self {
        Self::dial(broker.mqtt, HERE).await
    }

    pub async fn dial(broker: SocketAddr, from: Ipv4Addr) -> Self {
        Self::over(dial(broker, from).await)
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), refuses: false }
    }

    /// The next byte, or why none comes.
    pub async fn byte(&mut self) -> std::io::Result<u8> {
        timeout(PATIENCE, self.stream.read_u8()).await.expect("an answer")
    }

    /// Connects as `user` (password the same) and reads the CONNACK.
    pub async fn connect(broker: &Running, user: &str, client_id: &str, keep_alive_s: u16) -> Self {
        Self::enter(broker.mqtt, HERE, user, client_id, keep_alive_s).await
    }

    pub async fn enter(
        broker: SocketAddr,
        from: Ipv4Addr,
        user: &str,
        client_id: &str,
        keep_alive_s: u16,
    ) -> Self {
        let mut raw = Self::dial(broker, from).await;
        raw.send(&connect(user, client_id, keep_alive_s)).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]), "CONNACK for {client_id}");
        raw
    }

    /// What the broker already has closed may fail here; the answer is what counts.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.refuses |= self.stream.write_all(bytes).await.is_err();
    }

    /// Whether all that was sent was taken.
    pub fn is_open(&self) -> bool {
        !self.refuses
    }

    /// The next packet, or `None` when the broker has closed the connection.
    pub async fn packet(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.read_packet()).await.expect("an answer")
    }

    async fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![self.stream.read_u8().await.ok()?];
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.stream.read_u8().await.ok()?;
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let header = packet.len();
        packet.resize(header + length, 0);
        self.stream.read_exact(&mut packet[header..]).await.ok()?;
        Some(packet)
    }

    /// Whether the connection was closed without another packet.
    pub async fn is_cut_off(&mut self) -> bool {
        self.packet().await.is_none()
    }

    /// Whether it answers a ping.
    pub async fn is_alive(&mut self) -> bool {
        self.send(&[0xc0, 0]).await;
        self.packet().await.as_deref() == Some(&[0xd0, 0])
    }

    /// Reads whatever comes, for at most `limit`, and says whether the broker closed.
    pub async fn drain(&mut self, limit: Duration) -> bool {
        let mut buffer = [0; 4096];
        let closed = async { while !matches!(self.stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(limit, closed).await.is_ok()
    }
}

pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// From one of this machine's many addresses, as if it were another machine.
pub async fn dial(broker: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // The port is chosen when it connects, so that one may be used to several places.
    socket.bind((from, 0).into()).expect("an address of loop-back");
    let stream = socket.connect(broker).await.expect("the broker listens");
    stream.set_nodelay(true).expect("an option of TCP");
    stream
}

fn text(bytes: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text);
}

/// First byte and body with the remaining length between them.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let more = length > 0x7f;
        bytes.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

pub fn connect(user: &str, client_id: &str, keep_alive_s: u16) -> Vec<u8> {
    connect_with(0xc2, user, client_id, keep_alive_s)
}

/// `flags`: 0xc2 is user, password and clean session.
pub fn connect_with(flags: u8, user: &str, client_id: impl AsRef<[u8]>, keep_alive_s: u16) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(flags);
    body.extend(keep_alive_s.to_be_bytes());
    text(&mut body, client_id);
    text(&mut body, user);
    text(&mut body, user);
    packet(0x10, &body)
}

/// With a will of QoS 1.
pub fn connect_with_will(user: &str, client_id: &str, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\xce\0\x3c".to_vec();
    text(&mut body, client_id);
    text(&mut body, topic);
    text(&mut body, payload);
    text(&mut body, user);
    text(&mut body, user);
    packet(0x10, &body)
}

/// `id` 0 is QoS 0; otherwise `first` must carry the QoS.
pub fn publish(first: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    if id != 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(payload);
    packet(first, &body)
}

pub fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        text(&mut body, filter);
        body.push(*qos);
    }
    packet(0x82, &body)
}

pub fn unsubscribe(id: u16, filter: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    text(&mut body, filter);
    packet(0xa2, &body)
}
