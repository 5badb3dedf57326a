//! The HTTP doors of all daemons under hostile hands: the broker's and the agent's pages, the ingest's API, the authority's service. An
//! honest client is answered meanwhile, readings flow, memory stays within its bound, and none is kept from ending.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tidegate_tests::{
    api::Api,
    authority::CertificateAuthority,
    chain::{Chain, GATEWAY, SITE},
    hostile::{MIB, THERE, assert_grew_by_at_most, dial, resident},
    measured::{Measured, RULES},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of each kind.
const EACH: usize = 40;
/// What one connection may take: its head, and what is being written to it.
const BYTES_OF_ONE: u64 = 256 * 1024;
const SLACK: u64 = 16 * MIB;

/// Connections that are held open, each in the midst of something. A door may have closed some of them at once.
async fn besiege(door: SocketAddr, stream_path: &str) -> Vec<TcpStream> {
    let never_read = format!("GET {stream_path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let pages = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(500);
    let huge = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(30_000));
    let begun = [
        "",
        "GET /health HTTP/1.1\r\nx: ",
        &huge,
        "POST /api/v1/rules HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        "POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        &pages,
        &never_read,
    ];
    let mut held = Vec::new();
    for bytes in begun {
        for number in 0..EACH {
            let mut stream = dial(door, THERE).await;
            // A door that is full has closed it, and one whose answers nobody reads does not read on.
            let _refused = timeout(Duration::from_millis(100), stream.write_all(bytes.as_bytes())).await;
            if number % 4 == 0 {
                stream.set_zero_linger().expect("an option of TCP");
            } else {
                held.push(stream);
            }
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_api_answer_the_honest_and_nobody_keeps_a_daemon_from_ending() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    timeout(PATIENCE, board.wait_until(|status| status.acknowledged > 0)).await.expect("it flows");
    let doors = [
        (chain.broker.address("metrics"), chain.broker.daemon().id(), "/metrics"),
        (chain.agent.address("status"), chain.agent.daemon().id(), "/status"),
        (chain.ingest.address("http"), chain.ingest.daemon().id(), "/api/v1/events?since=beginning"),
    ];
    let mut besiegers = Vec::new();
    for (door, process, stream_path) in doors {
        let before = resident(process);
        besiegers.push(besiege(door, stream_path).await);
        for path in ["/health", "/metrics"] {
            let answer = timeout(PATIENCE, reqwest::get(format!("http://{door}{path}"))).await;
            assert_eq!(answer.expect("in time").expect("an answer").status(), 200, "{door}{path}");
        }
        // All that are held, were they let in.
        assert_grew_by_at_most(process, before, 8 * EACH as u64 * BYTES_OF_ONE + SLACK);
    }
    let before = board.measured();
    timeout(PATIENCE, board.wait_until(|status| status.acknowledged > before)).await.expect("it flows");
    let status = timeout(PATIENCE, board.finish()).await.expect("it delivers what it holds");
    assert_eq!((status.acknowledged, status.lost), (status.measured, 0));
    let all = measured.count();
    let stored = |audit: &serde_json::Value| audit["totals"]["stored"].as_u64() >= Some(all);
    Api::new(doors[2].0).get_when("all stored", "/api/v1/audit", stored).await;
    // With all of them still connected.
    for part in [&mut chain.agent, &mut chain.ingest, &mut chain.broker] {
        assert!(part.terminate().success());
    }
    drop(besiegers);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_enrols_a_gateway_while_strangers_knock() {
    const KNOCKING: usize = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let authority = CertificateAuthority::start(folder.path(), "127.0.0.1", &[]);
    let before = resident(authority.process());
    // Nothing; a ClientHello that does not end; HTTP in clear; a record that is longer than any.
    let openings: [&[u8]; 4] =
        [b"", &[0x16, 3, 1, 2, 0, 1, 0, 1], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 3, 0xff, 0xff, 1]];
    let mut held = Vec::new();
    for number in 0..KNOCKING {
        let mut stream = dial(authority.address(), THERE).await;
        let _refused = stream.write_all(openings[number % openings.len()]).await;
        held.push(stream);
    }
    // 32 of one address have a place; those that talk nonsense lose it, and the rest never had one.
    let (mut closed, deadline) = (0, Instant::now() + PATIENCE);
    while closed < KNOCKING - 32 {
        assert!(Instant::now() < deadline, "{closed} of {KNOCKING} were closed");
        let mut open = Vec::new();
        for mut stream in held {
            // An end, a reset, or an alert before either.
            match timeout(Duration::from_millis(5), stream.read(&mut [0; 64])).await {
                Ok(Ok(0) | Err(_)) => closed += 1,
                _ => open.push(stream),
            }
        }
        held = open;
    }
    let config = folder.path().join("agent.toml");
    let enrolled = authority.enrol(&format!("{SITE}/{GATEWAY}"), &config);
    let said = String::from_utf8_lossy(&enrolled.stderr);
    assert!(enrolled.status.success(), "{said}");
    assert_grew_by_at_most(authority.process(), before, 32 * BYTES_OF_ONE + SLACK);
}
