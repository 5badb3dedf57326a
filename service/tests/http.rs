//! The HTTP door under hostile hands: each connection is bounded in number, size and time, and an honest one is served meanwhile.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use tidegate_service::{
    Shutdown,
    http::{self, Bounds, MAX_HEAD_BYTES},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// So short that a test may wait for it.
const SOON: Duration = Duration::from_millis(200);
/// So long that no test gets there.
const NEVER: Duration = Duration::from_secs(3_600);
const SERENE: Bounds = Bounds {
    max_connections: 8,
    max_connections_of_address: 4,
    head_limit: NEVER,
    body_limit: NEVER,
    stall_limit: NEVER,
};
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MAX_BODY: usize = 2 * 1024 * 1024;

struct Door {
    address: SocketAddr,
    stop: Shutdown,
    serving: JoinHandle<()>,
}

impl Door {
    async fn open(bounds: Bounds) -> Self {
        let endless = || async { Body::from(vec![b'x'; 64 << 20]) };
        let pages = Router::new()
            .route("/page", get(|| async { "here" }))
            .route("/endless", get(endless))
            .route("/echo", post(|body: Bytes| async move { body.len().to_string() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Shutdown::new());
        let serving = tokio::spawn(http::serve(listener, pages, bounds, stop.clone()));
        Self { address, stop, serving }
    }

    async fn dial(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn ask(&self, from: Ipv4Addr, request: &[u8]) -> String {
        let mut stream = self.dial(from).await;
        // What it does not want to read any more it may refuse.
        let _refused = stream.write_all(request).await;
        rest(&mut stream).await
    }

    async fn assert_honest_is_served(&self) {
        let answer = self
            .ask(Ipv4Addr::LOCALHOST, b"GET /page HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
    }
}

/// All that comes until the far end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer or an end")
    {
        answer.extend_from_slice(&buffer[..len]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends these again and again, a little apart, until the far end hangs up.
async fn until_cut_off(stream: &mut TcpStream, again: &[u8]) {
    let mut answer = [0; 1024];
    let talking = async {
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
                () = tokio::time::sleep(SOON / 20) => {}
            }
            if stream.write_all(again).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, talking).await.expect("it is cut off");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off_however_it_comes() {
    let door = Door::open(Bounds { head_limit: SOON, ..SERENE }).await;
    let mut mute = door.dial(THERE).await;
    let mut slow = door.dial(THERE).await;
    slow.write_all(b"GET /page HTTP/1.1\r\nx: ").await.unwrap();
    door.assert_honest_is_served().await;
    until_cut_off(&mut slow, b"x").await;
    assert_eq!(rest(&mut mute).await, "");
    // The pause after an answer is of the next head.
    let mut lingering = door.dial(THERE).await;
    lingering.write_all(b"GET /page HTTP/1.1\r\nhost: d\r\n\r\n").await.unwrap();
    assert!(rest(&mut lingering).await.ends_with("here"));
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_off_however_it_comes() {
    let door = Door::open(Bounds { body_limit: SOON, ..SERENE }).await;
    let post = "POST /echo HTTP/1.1\r\nhost: d\r\n";
    let mut slow = door.dial(THERE).await;
    slow.write_all(format!("{post}content-length: 1000000\r\n\r\n").as_bytes()).await.unwrap();
    door.assert_honest_is_served().await;
    until_cut_off(&mut slow, b"x").await;
    let mut chunked = door.dial(THERE).await;
    chunked.write_all(format!("{post}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    until_cut_off(&mut chunked, b"1\r\nx\r\n").await;
    let good = format!("{post}content-length: 3\r\nconnection: close\r\n\r\nabc");
    assert!(door.ask(THERE, good.as_bytes()).await.ends_with('3'));
}

#[tokio::test]
async fn an_endless_body_is_refused_at_its_routes_bound() {
    let door = Door::open(SERENE).await;
    let mut endless = door.dial(THERE).await;
    endless.write_all(b"POST /echo HTTP/1.1\r\nhost: d\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let (mut reader, mut writer) = endless.split();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let (mut sent, mut answer) = (0, [0; 12]);
    let flood = async {
        while writer.write_all(&chunk).await.is_ok() {
            sent += 0x10000;
        }
    };
    tokio::select! {
        () = flood => {}
        read = timeout(PATIENCE, reader.read_exact(&mut answer)) => {
            read.expect("an answer").expect("whole");
            assert_eq!(&answer, b"HTTP/1.1 413");
        }
    }
    assert!(sent < 16 * MAX_BODY, "{sent} bytes were taken, or are under way");
    door.assert_honest_is_served().await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let door = Door::open(Bounds { stall_limit: SOON, max_connections_of_address: 1, ..SERENE }).await;
    let mut greedy = door.dial(THERE).await;
    greedy.write_all(b"GET /endless HTTP/1.1\r\nhost: d\r\n\r\n").await.unwrap();
    door.assert_honest_is_served().await;
    // Its place comes back although it stays.
    let again = async {
        while !door
            .ask(THERE, b"GET /page HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n")
            .await
            .ends_with("here")
        {
            tokio::time::sleep(SOON / 20).await;
        }
    };
    timeout(PATIENCE, again).await.expect("a place");
    drop(greedy);
}

#[tokio::test]
async fn a_flood_is_closed_at_once_and_one_address_cannot_take_all() {
    let door = Door::open(SERENE).await;
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.push(door.dial(THERE).await);
    }
    for over in &mut flood[4..] {
        assert_eq!(rest(over).await, "");
    }
    door.assert_honest_is_served().await;
    for host in 3..6 {
        flood.push(door.dial(Ipv4Addr::new(127, 0, 0, host)).await);
        flood.push(door.dial(Ipv4Addr::new(127, 0, 0, host)).await);
    }
    // Eight in all: from four addresses none is left.
    assert_eq!(door.ask(Ipv4Addr::new(127, 0, 0, 9), b"GET /page HTTP/1.1\r\nhost: d\r\n\r\n").await, "");
    drop(flood);
    let served = async {
        while door.ask(THERE, b"GET /page HTTP/1.0\r\n\r\n").await.is_empty() {
            tokio::time::sleep(SOON / 20).await;
        }
    };
    timeout(PATIENCE, served).await.expect("places come back");
}

#[tokio::test]
async fn heads_that_are_none_are_answered_and_closed() {
    let door = Door::open(SERENE).await;
    let huge = vec![b'x'; 4 * MAX_HEAD_BYTES];
    let many = "a: b\r\n".repeat(200);
    for (request, status) in [
        ([b"GET /page HTTP/1.1\r\nx: ", &huge[..], b"\r\n\r\n"].concat(), " 431 "),
        ([b"GET /", &huge[..], b" HTTP/1.1\r\n\r\n"].concat(), " 414 | 431 "),
        (format!("GET /page HTTP/1.1\r\n{many}\r\n").into_bytes(), " 431 "),
        (b"GET /\xff\xfe HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n".to_vec(), " 400 | 404 "),
        (b"GET /%ff%00 HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n".to_vec(), " 404 "),
        (b"GET /../../etc/passwd HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n".to_vec(), " 404 "),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n".to_vec(), " 404 "),
        (
            b"POST /echo HTTP/1.1\r\nhost: d\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n".to_vec(),
            " 400 ",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), " 400 "),
        // HTTP/2 with what it knows beforehand.
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), " 400 | 505 |"),
    ] {
        let answer = door.ask(THERE, &request).await;
        let head = answer.lines().next().unwrap_or_default();
        assert!(status.split('|').any(|status| head.contains(status)), "{status}: {head:?}");
        assert!(!answer.contains("root:"), "{answer}");
    }
    door.assert_honest_is_served().await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_one_by_one() {
    const MANY: usize = 500;
    let door = Door::open(SERENE).await;
    let mut requests = b"GET /page HTTP/1.1\r\nhost: d\r\n\r\n".repeat(MANY - 1);
    requests.extend_from_slice(b"GET /page HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n");
    assert_eq!(door.ask(THERE, &requests).await.matches("here").count(), MANY);
}

#[tokio::test]
async fn nobody_keeps_a_door_from_closing() {
    let door = Door::open(SERENE).await;
    let mut slow = door.dial(THERE).await;
    slow.write_all(b"GET /page HTTP/1.1\r\nx: ").await.unwrap();
    let mut greedy = door.dial(THERE).await;
    greedy.write_all(b"GET /endless HTTP/1.1\r\nhost: d\r\n\r\n").await.unwrap();
    door.assert_honest_is_served().await;
    door.stop.trigger();
    timeout(PATIENCE, door.serving).await.expect("it closes").expect("it does not panic");
    drop((slow, greedy));
}
