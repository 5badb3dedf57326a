//! The HTTP door as it is set up off loopback: TLS, users and tokens, with the real programs.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use serde_json::Value;
use tidegate_tests::{
    chain::Chain,
    eventually::eventually,
    measured::{Measured, RULES},
    node::node_with,
    programs::workspace,
    tidegate::{output_with_line, tidegate},
};
use tidegate_trust::{
    ClientFiles,
    authority::{Authority, When, replace},
    rustls::pki_types::ServerName,
    tokio_rustls::TlsConnector,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PASSWORD: &str = "tide and gate and tide";

struct Door {
    chain: Chain,
    authority: Authority,
}

impl Door {
    /// Broker and ingest run; `[auth]` and `[http.tls]` are set up.
    fn open() -> Self {
        let (mut chain, authority) = (Chain::new(RULES), Authority::new("plant"));
        let folder = chain.folder().to_owned();
        replace(&folder.join("ca.pem"), &authority.pem(), 0o644);
        authority.server(&["127.0.0.1"], When::Now).write(&folder, "http");
        let http = "certificate = \"http.pem\"\nkey = \"http.key\"\nreload_interval_ms = 50";
        let table = |text: &str| toml::Value::from(text.parse::<toml::Table>().expect("TOML"));
        let section = chain.ingest.settings.get_mut("http").and_then(toml::Value::as_table_mut);
        section.expect("a section").insert("tls".to_owned(), table(http));
        chain.ingest.settings.insert("auth".to_owned(), table(""));
        chain.start_broker();
        chain.ingest.start();
        Self { chain, authority }
    }

    fn address(&self) -> SocketAddr {
        self.chain.ingest.address("http")
    }

    fn ca(&self) -> PathBuf {
        self.chain.folder().join("ca.pem")
    }

    /// A user with all rights, and [`PASSWORD`].
    fn add_admin(&self, name: &str) {
        let added = self.chain.ingest.command_with_line(&["users", "add", name, "--role", "admin"], PASSWORD);
        assert!(added.status.success(), "{}", said(&added));
    }

    /// Made on the ingest's own machine, while it runs.
    fn local_token(&self, owner: &str, role: &str) -> PathBuf {
        let output = self.chain.ingest.command(&["tokens", "create", owner, "--role", role]);
        assert!(output.status.success(), "{}", said(&output));
        self.keep(owner, &String::from_utf8(output.stdout).expect("UTF-8"))
    }

    fn keep(&self, name: &str, token: &str) -> PathBuf {
        let path = self.chain.folder().join(format!("{name}.token"));
        std::fs::write(&path, token).expect("the temporary folder can be written");
        path
    }

    fn tidegate(&self, token: Option<&Path>, arguments: &[&str]) -> std::process::Command {
        let mut command = tidegate(&format!("https://{}", self.address()), arguments);
        command.arg("--ca").arg(self.ca()).env_remove("TIDEGATE_TOKEN").env_remove("TIDEGATE_OPERATOR");
        if let Some(token) = token {
            command.arg("--token-file").arg(token);
        }
        command
    }

    fn run(&self, token: Option<&Path>, arguments: &[&str]) -> Output {
        self.tidegate(token, arguments).output().expect("it starts")
    }

    /// What a browser sends and gets, over TLS.
    async fn exchange(&self, request: &str) -> String {
        let files = ClientFiles::believing(self.ca());
        let tls = files.load().expect("the authority is good");
        let stream = TcpStream::connect(self.address()).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let mut stream =
            TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await.expect("a handshake");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // Whoever closes without a farewell has said all the same.
        let _closed = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("UTF-8")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_the_door_over_tls_each_as_far_as_its_role_goes() {
    let door = Door::open();
    let stranger = door.run(None, &["devices"]);
    assert!(
        stranger.status.code() == Some(1) && said(&stranger).contains("asks who you are"),
        "{}",
        said(&stranger)
    );
    let admin = door.local_token("eva", "admin");
    let made = door.run(Some(&admin), &["tokens", "create", "tom", "--role", "viewer", "--expires", "1h"]);
    assert!(made.status.success(), "{}", said(&made));
    let viewer = door.keep("tom", &String::from_utf8(made.stdout).expect("UTF-8"));

    assert!(door.run(Some(&viewer), &["devices"]).status.success());
    let rules = door.chain.rules_file().display().to_string();
    for arguments in [&["tokens", "list"][..], &["changes"], &["rules", "put", &rules, "--reason", "x"]] {
        let refused = door.run(Some(&viewer), arguments);
        let why = said(&refused);
        assert!(refused.status.code() == Some(1) && why.contains("needs the role"), "{arguments:?}: {why}");
    }
    // By its own name or none; the settings name a rules file, so it goes no further than that.
    let engineer = door.local_token("kim", "engineer");
    for (by, what) in [
        (None, "the rules are those of"),
        (Some("kim"), "the rules are those of"),
        (Some("eva"), "you are kim"),
    ] {
        let mut command = door.tidegate(Some(&engineer), &["rules", "put", &rules, "--reason", "x"]);
        let refused = command.args(by.map(|by| ["--as", by]).iter().flatten()).output().expect("it starts");
        assert!(said(&refused).contains(what), "{by:?}: {}", said(&refused));
    }
    // The same token from the environment.
    let text = std::fs::read_to_string(&viewer).expect("it is there");
    let with =
        door.tidegate(None, &["devices"]).env("TIDEGATE_TOKEN", text.trim()).output().expect("it starts");
    assert!(with.status.success(), "{}", said(&with));

    let changes = lines(&door.run(Some(&admin), &["changes", "--json"]));
    let told = |who: &str, by: &str, path: &str| {
        let is_it = |change: &&Value| {
            change["by"] == by
                && change["actor"] == who
                && change["path"].as_str().is_some_and(|at| at.starts_with(path))
        };
        changes.iter().filter(is_it).count()
    };
    assert_eq!(told("eva", "token", "/api/v1/tokens"), 1, "{changes:?}");
    assert_eq!(told("kim", "token", "/api/v1/rules"), 3);
    assert_eq!(told("tom", "token", ""), 0, "what was not let in changed nothing");
    assert_eq!(changes.iter().filter(|change| change["by"] == "command").count(), 2);

    let listed = lines(&door.run(Some(&admin), &["tokens", "list", "--json"]));
    let id = listed.iter().find(|row| row["owner"] == "tom").expect("it is listed")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert!(door.run(Some(&admin), &["tokens", "revoke", &id]).status.success());
    assert!(said(&door.run(Some(&viewer), &["devices"])).contains("revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_password_signs_in_to_the_page_and_out_again() {
    let door = Door::open();
    door.add_admin("eva");
    let short = door.chain.ingest.command_with_line(&["users", "add", "tom", "--role", "admin"], "short");
    assert!(said(&short).contains("at least 15"), "{}", said(&short));
    let host = door.address();
    let get = |path: &str, cookie: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n")
    };
    let page = door.exchange(&get("/login", "")).await;
    let form =
        page.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let cookie = format!("__Host-tidegate-form={form}");
    assert!(
        page.contains(&format!("set-cookie: {cookie}; Path=/; HttpOnly; SameSite=Strict; Secure")),
        "{page}"
    );
    assert!(page.contains("strict-transport-security: max-age="), "{page}");
    let post = |path: &str, cookie: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\norigin: https://{host}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let body = format!("form={form}&name=eva&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = door.exchange(&post("/login", &cookie, &body)).await;
    assert!(signed_in.starts_with("HTTP/1.1 303"), "{signed_in}");
    let session =
        signed_in.split("set-cookie: ").find(|line| line.starts_with("__Host-tidegate=")).expect("a session");
    let session = session.split(';').next().expect("its value");
    let who = door.exchange(&get("/api/v1/whoami", session)).await;
    assert!(who.contains("\"name\":\"eva\"") && who.contains("\"by\":\"session\""), "{who}");
    assert!(door.exchange(&get("/", session)).await.starts_with("HTTP/1.1 200"));
    let form = who.split("\"form\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let out = door.exchange(&post("/logout", session, &format!("form={form}"))).await;
    assert!(out.starts_with("HTTP/1.1 303"), "{out}");
    assert!(door.exchange(&get("/api/v1/whoami", session)).await.starts_with("HTTP/1.1 401"));
}

/// Chromium itself says what the page's policy stops, and what goes wrong in a script.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_page_under_its_policy_and_runs_nothing_else() {
    let mut door = Door::open();
    door.add_admin("eva");
    door.chain.agent.start();
    let measured = Measured::default();
    let board = measured.board(1, 50, door.chain.board_link());
    board.wait_until(|status| status.acknowledged > 0).await;

    let mut browse = node_with("puppeteer-core");
    browse.arg(workspace().join("tests/clients/browse.js")).env("CHROMIUM", chromium());
    browse.env("PAGE", format!("https://{}/", door.address())).env("NAME", "eva").env("PASSWORD", PASSWORD);
    let browsed = tokio::task::spawn_blocking(move || browse.output().expect("node starts"));
    let browsed = browsed.await.expect("no panic");
    board.finish().await;
    let saw = lines(&browsed).remove(0);
    let quiet = Value::Array(Vec::new());
    for part in ["quietAtFirst", "quietOnThePage"] {
        assert_eq!(saw[part], quiet, "{saw}");
    }
    assert_eq!(saw["complaintsOfTheRefusal"].as_array().map(Vec::len), Some(1), "it does hear: {saw}");
    assert_eq!((&saw["first"], &saw["signedIn"]), (&"/login".into(), &"/".into()));
    assert_eq!((&saw["signedOut"], &saw["afterwards"]), (&"/login".into(), &"/login".into()));
    assert_eq!(saw["styled"], true, "{saw}");
    assert_eq!(saw["refused"], "The name or the password is wrong.");
    assert_eq!(saw["who"], "eva, admin");
    assert_eq!(saw["acknowledged"], 200, "{saw}");
    assert_eq!(saw["readableCookies"], "", "no script reads them");
    assert_eq!(saw["framed"], false, "nobody shows it inside a page of theirs");
    let brought = serde_json::json!({
        "ran": false,
        "fetched": "stopped",
        "stopped": ["connect-src", "img-src", "script-src-attr", "script-src-elem"],
    });
    assert_eq!(saw["brought"], brought);
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    found.find(|path| path.is_file()).expect("no chromium on PATH: `cargo xtask test` installs it")
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_with_the_command_line_and_no_password_is_in_any_log() {
    let mut door = Door::open();
    let admin = door.local_token("eva", "admin");
    let mut add = door.tidegate(Some(&admin), &["users", "add", "tom", "--role", "operator"]);
    let added = output_with_line(&mut add, PASSWORD);
    assert!(added.status.success(), "{}", said(&added));
    let mut passwd = door.tidegate(Some(&admin), &["users", "passwd", "tom"]);
    assert!(output_with_line(&mut passwd, "another long password").status.success());
    let users = lines(&door.run(Some(&admin), &["users", "list", "--json"]));
    assert_eq!((users.len(), &users[0]["name"], &users[0]["role"]), (1, &"tom".into(), &"operator".into()));
    assert!(door.run(Some(&admin), &["users", "remove", "tom"]).status.success());
    let secrets = [PASSWORD, "another long password", "argon2"];
    let log = std::fs::read_to_string(door.chain.ingest_data().join("access/changes.jsonl")).expect("a log");
    let token = std::fs::read_to_string(&admin).expect("it is there");
    let printed = door.chain.ingest.daemon().last_lines().join("\n");
    for text in [log, printed] {
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)) && !text.contains(token.trim()),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused_and_a_renewed_one_is_taken_over() {
    let door = Door::open();
    let viewer = door.local_token("tom", "viewer");
    let new = Authority::new("new");
    replace(&door.ca(), &new.pem(), 0o644);
    let refused = door.run(Some(&viewer), &["devices"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("authority"), "{}", said(&refused));
    new.server(&["127.0.0.1"], When::Now).write(door.chain.folder(), "http");
    eventually("the new certificate is in force", async || {
        let output = door.run(Some(&viewer), &["devices"]);
        if output.status.success() { Ok(()) } else { Err(said(&output)) }
    })
    .await;
    replace(&door.ca(), &door.authority.pem(), 0o644);
    assert!(!door.run(Some(&viewer), &["devices"]).status.success(), "the old one is not shown any more");
}
