//! An agent with a folder of names that come and go, as /dev/serial/by-id. Nobody is at its broker's address, so it makes
//! readings safe by itself.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_agent::{Config, Running, Settings, core::View};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::board::{Board, PATIENCE};

pub struct Gateway {
    agent: Running,
    names: Names,
}

/// The folder of names, and a configuration beside it.
pub struct Names {
    folder: TempDir,
}

impl Names {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The folder; it is there as long as a name is.
    pub fn by_id(&self) -> PathBuf {
        self.folder.path().join("by-id")
    }

    /// A file with these keys of serial sources; `BY-ID` stands for the folder.
    pub fn configuration(&self, sources: &[&str]) -> PathBuf {
        let mut text = format!(
            "site = \"plant\"\ngateway = \"gw-a\"\ndata_dir = \"{}\"\n[broker]\naddress = \"127.0.0.1:9\"\n[status]\n\
             listen = \"127.0.0.1:0\"\n[queue]\nflush_interval_ms = 20\noutage_flush_interval_ms = 20\n",
            self.folder.path().join("data").display()
        );
        for keys in sources {
            let keys = keys.replace("BY-ID", &self.by_id().display().to_string());
            text.push_str(&format!("[[source]]\ntype = \"board-serial\"\n{keys}\n"));
        }
        let file = self.folder.path().join("agent.toml");
        fs::write(&file, text).unwrap();
        file
    }

    pub fn plug(&self, name: &str, board: &Board) {
        fs::create_dir_all(self.by_id()).unwrap();
        symlink(board.path(), self.by_id().join(name)).unwrap();
    }

    pub fn unplug(&self, name: &str) {
        fs::remove_file(self.by_id().join(name)).unwrap();
        // As udev does with the last name.
        let _others_are_there = fs::remove_dir(self.by_id());
    }
}

impl Gateway {
    pub async fn start(names: Names, sources: &[&str]) -> Self {
        let file = names.configuration(sources);
        let settings = tidegate_service::load::<Settings>(&file).expect("it parses");
        let config = Config::validate(&file, settings).expect("it is good");
        Self { agent: tidegate_agent::start(config).await.expect("it starts"), names }
    }

    pub fn plug(&self, name: &str, board: &Board) {
        self.names.plug(name, board);
    }

    pub fn unplug(&self, name: &str) {
        self.names.unplug(name);
    }

    pub async fn get(&self, path: &str) -> String {
        let address: SocketAddr = self.agent.status;
        let mut stream = TcpStream::connect(address).await.expect("the page is served");
        let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    pub async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").await).expect("JSON")
    }

    /// The status once it is as wanted.
    pub async fn status_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let seen = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
            }
        };
        match timeout(PATIENCE, seen).await {
            Ok(status) => status,
            Err(_) => panic!("it never came so; now {}", self.status().await["serial"]),
        }
    }

    /// What is told of the line of this name once it is as wanted.
    pub async fn line_when(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = self.names.by_id().join(name);
        let status = self.status_when(|status| line(status, &path).is_some_and(&wanted)).await;
        line(&status, &path).expect("it was there").clone()
    }

    /// Once the agent has this board's line open by this name: what is written before may go nowhere.
    pub async fn open(&self, name: &str, board: &Board) -> Value {
        let device = Value::from(board.path().display().to_string());
        self.line_when(name, |line| line["open"] == true && line["device"] == device).await
    }

    pub async fn drain(self) -> View {
        self.agent.drain(PATIENCE).await.expect("all is safe").view.expect("the agent answers")
    }
}

fn line<'a>(status: &'a Value, path: &Path) -> Option<&'a Value> {
    let path = Value::from(path.display().to_string());
    status["serial"]["lines"].as_array()?.iter().find(|line| line["path"] == path)
}
