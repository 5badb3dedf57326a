//! A real authority, as its commands make it: `tidegate ca` and `tidegate gateway`.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::programs::program;

/// An authority's folder, and its service while it runs; dropping it kills that.
pub struct CertificateAuthority {
    folder: PathBuf,
    service: Option<Child>,
    said: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl CertificateAuthority {
    /// Makes one in `folder`, whose certificates are for this host, and starts its service.
    pub fn start(folder: &Path, host: &str, more: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut authority = Self { folder: folder.join("ca"), service: None, address, said: Arc::default() };
        let listen = "127.0.0.1:0";
        authority.run(&[&["ca", "init", "--host", host, "--service", listen], more].concat());
        let mut command = authority.command(&["ca", "serve", "--listen", listen]);
        let mut child = command.env("RUST_LOG", "info").stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        authority.service = Some(child);
        let line = lines.find(|line| line.contains("enrols and renews")).expect("it says where it listens");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
        let address: SocketAddr = address.and_then(|text| text.parse().ok()).expect("an address");
        // What it goes on to say belongs to the test's output.
        let said = Arc::clone(&authority.said);
        std::thread::spawn(move || {
            lines.for_each(|line| {
                eprintln!("ca serve: {line}");
                said.lock().expect("nobody panics with it").extend([&*line, "\n"]);
            });
        });
        authority.address = address;
        // Its port is known only now, and invitations name it.
        let file = authority.folder.join("authority.toml");
        let text = std::fs::read_to_string(&file).expect("its settings");
        let settings = text.lines().map(|line| match line.starts_with("service = ") {
            true => format!("service = \"{address}\"\n"),
            false => format!("{line}\n"),
        });
        std::fs::write(&file, settings.collect::<String>()).expect("it is ours");
        authority
    }

    /// What its service logged so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Where its service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its service's process.
    pub fn process(&self) -> u32 {
        self.service.as_ref().expect("it runs").id()
    }

    /// A command of `tidegate` about this authority.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("tidegate"));
        command.args(arguments).arg("--dir").arg(&self.folder).stdin(Stdio::null());
        command
    }

    /// What such a command prints; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it starts");
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("UTF-8")
    }

    /// Key and certificate in a file beside the authority's folder.
    pub fn issue(&self, what: &[&str], name: &str) {
        let file = self.folder.with_file_name(name);
        self.run(&[&["ca", "issue"], what, &["--out", file.to_str().expect("UTF-8")]].concat());
    }

    /// What `tidegate gateway list` knows of an identity.
    pub fn certificates(&self, identity: &str) -> Vec<Value> {
        let text = self.run(&["gateway", "list", "--all", "--json"]);
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        all.filter(|record| record["identity"] == identity).collect()
    }

    /// Invites a gateway, and has it enrol with this configuration.
    pub fn enrol(&self, gateway: &str, config: &Path) -> Output {
        enroll(&self.run(&["gateway", "invite", gateway]), config)
    }
}

/// `tidegate-agent enroll`, with the invitation on its standard input.
pub fn enroll(invitation: &str, config: &Path) -> Output {
    enroll_with(&[], invitation, config)
}

pub fn enroll_with(environment: &[(&str, &str)], invitation: &str, config: &Path) -> Output {
    let mut command = Command::new(program("tidegate-agent"));
    command.envs(environment.iter().copied());
    command.arg("enroll").arg("--config").arg(config).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // One that knows already that it cannot go on does not read.
    let _heard = child.stdin.take().expect("piped").write_all(invitation.as_bytes());
    child.wait_with_output().expect("it ends")
}

impl Drop for CertificateAuthority {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}
