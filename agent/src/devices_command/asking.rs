//! Asks a running agent what it holds, at its status page.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(5);
/// A status with many devices is some hundred KB.
const MOST_BYTES: u64 = 32 << 20;

/// What is wanted of `/status`.
#[derive(Deserialize)]
pub struct Answer {
    pub admission: Admission,
    pub pending: Vec<Pending>,
}

#[derive(Deserialize)]
pub struct Admission {
    pub admit: String,
}

/// A board that is held, as the agent's status has it.
#[derive(Deserialize, Serialize)]
pub struct Pending {
    pub device: String,
    pub held: String,
    pub proved_key: bool,
    pub tag: String,
    pub firmware: String,
    pub channels: Vec<String>,
    pub from: String,
    pub first_seen_unix_ms: i64,
    pub last_seen_unix_ms: i64,
    pub asked: u64,
}

pub fn status(address: &str) -> anyhow::Result<Answer> {
    let body = get(address).with_context(|| {
        format!("no agent answers at {address}; is it running? --status says where else its status page is")
    })?;
    serde_json::from_slice(&body)
        .with_context(|| format!("what answers at {address} is no agent of this version"))
}

fn get(address: &str) -> anyhow::Result<Vec<u8>> {
    let to = address.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Of HTTP 1.0, whose answers come in one piece and end with the connection.
    write!(stream, "GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").context("it does not speak HTTP")?;
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_vec()),
        code => bail!("it answers {}", code.unwrap_or("nothing")),
    }
}
