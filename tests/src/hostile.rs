//! What a hostile test looks at and speaks with: a process's memory as the kernel counts it, its counters, and connections that
//! seem to come from another machine.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use crate::eventually::eventually;

/// Where hostile clients come from.
pub const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const MIB: u64 = 1 << 20;

/// From one of this machine's many addresses.
pub async fn dial(to: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of loop-back");
    let stream = socket.connect(to).await.expect("somebody listens");
    stream.set_nodelay(true).expect("an option of TCP");
    stream
}

fn memory(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("a number of kB") * 1024
}

/// Bytes that a process has in memory now.
pub fn resident(process: u32) -> u64 {
    memory(process, "VmRSS")
}

/// Holds the most that it ever had, since it had `before`, against a bound.
pub fn assert_grew_by_at_most(process: u32, before: u64, bound: u64) {
    let grown = memory(process, "VmHWM").saturating_sub(before);
    println!("grown by {} MiB of {} MiB", grown / MIB, bound / MIB);
    assert!(grown <= bound, "grown by {grown} bytes, {bound} are the bound");
}

/// The value of a metric; none where it is not there.
pub async fn metric(page: SocketAddr, name: &str) -> Option<u64> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("http://{page}/metrics")).send().await.ok()?;
    let text = answer.text().await.ok()?;
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok();
    text.lines().find_map(of).map(|value| value as u64)
}

/// Waits until a metric is as it should be.
pub async fn metric_when(page: SocketAddr, name: &str, is_so: impl Fn(u64) -> bool) -> u64 {
    eventually(name, async || match metric(page, name).await {
        Some(value) if is_so(value) => Ok(value),
        other => Err(format!("{other:?}")),
    })
    .await
}
