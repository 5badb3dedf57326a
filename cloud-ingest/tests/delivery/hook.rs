//! A server that takes webhooks and answers as a test wants it to, down to the bytes.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The device that it tells of.
    pub fn device(&self) -> String {
        self.json()["data"]["device"].as_str().expect("a device").to_owned()
    }
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, and the end of the connection.
    Bytes(String),
    /// These bytes, and then more and more, without end.
    Endless(String),
    /// Not a word; the connection stays.
    Nothing,
}

pub fn status(status: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"))
}

pub struct Hook {
    pub address: SocketAddr,
    pub received: mpsc::UnboundedReceiver<Received>,
    _serving: JoinSet<()>,
}

impl Hook {
    /// `answer` is told how many came before.
    pub async fn start(answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_over(answer, async |stream| Some(stream)).await
    }

    /// With something between the connection and what is said on it.
    pub async fn start_over<S, F>(
        answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, received) = mpsc::unbounded_channel();
        let (answer, count) = (Arc::new(answer), Arc::new(watch::Sender::new(0)));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, answer, count, stream) =
                    (sender.clone(), Arc::clone(&answer), Arc::clone(&count), wrap(stream));
                connections.spawn(async move {
                    let Some(stream) = stream.await else { return };
                    serve(stream, &sender, |received| {
                        let mut before = 0;
                        count.send_modify(|count| {
                            before = *count;
                            *count += 1;
                        });
                        answer(before, received)
                    })
                    .await;
                });
            }
        });
        Self { address, received, _serving: serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?key=1", self.address)
    }

    pub async fn next(&mut self) -> Received {
        crate::in_time("a webhook", self.received.recv()).await.expect("it serves")
    }

    /// What came, without waiting.
    pub fn came(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    sender: &mpsc::UnboundedSender<Received>,
    answer: impl Fn(&Received) -> Answer,
) {
    let Some(received) = request(&mut stream).await else { return };
    let answer = answer(&received);
    sender.send(received).expect("the test listens");
    match answer {
        // Whoever asked may be gone.
        Answer::Bytes(bytes) => {
            let _gone = stream.write_all(bytes.as_bytes()).await;
            let _gone = stream.shutdown().await;
        }
        Answer::Endless(bytes) => {
            let mut gone = stream.write_all(bytes.as_bytes()).await;
            while gone.is_ok() {
                gone = stream.write_all(&[b'x'; 4_096]).await;
            }
        }
        Answer::Nothing => std::future::pending().await,
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("a head");
            let mut lines = head.lines();
            let line = lines.next().expect("a request line").to_owned();
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers["content-length"].parse().expect("a length");
            if bytes.len() >= end + 4 + length {
                return Some(Received { line, headers, body: bytes[end + 4..end + 4 + length].to_vec() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
