//! Everything runs with secrets that are marked, and logs all that it can. Then whatever was said anywhere is searched for them: logs, pages,
//! metrics, errors, the process list.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tidegate_protocol::{DeviceId, frame::keyed::DeviceKey};
use tidegate_service::Shutdown;
use tidegate_simulator::{BoardHandle, BoardPlan, VirtualBoard};
use tidegate_tests::{
    authority::{CertificateAuthority, enroll},
    chain::{Chain, GATEWAY, Part},
    eventually::PATIENCE,
    measured::RULES,
    programs::program,
    secured::{gateway, use_authority},
    tidegate::tidegate,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use toml::{Table, Value};

const ALL_LOGS: &[(&str, &str)] = &[("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")];
const DEVICE: &str = "marked-board";
const DEVICE_KEY: &str = "5ec2e7000a0b0c0d0e0f101112131415";

/// What must not be said, and what was.
#[derive(Default)]
struct Search {
    secrets: Vec<(String, String)>,
    heard: Vec<(String, String)>,
}

impl Search {
    fn secret(&mut self, what: &str, text: &str) {
        assert!(text.len() > 15, "{what}: so short that it may come by chance");
        self.secrets.push((what.to_owned(), text.to_owned()));
        // As programs print bytes.
        let bytes = format!("{:?}", text.as_bytes());
        self.secrets.push((format!("{what}, in bytes"), bytes.trim_matches(['[', ']']).to_owned()));
    }

    /// A password made of what it is for.
    fn password(&mut self, what: &str) -> String {
        let text = format!("marked-secret-of-{what}");
        self.secret(what, &text);
        text
    }

    fn heard(&mut self, from: &str, text: impl Into<String>) {
        self.heard.push((from.to_owned(), text.into()));
    }

    fn output(&mut self, from: &str, Output { stdout, stderr, .. }: &Output) {
        self.heard(from, [&**stdout, stderr].map(String::from_utf8_lossy).concat());
    }

    fn process(&mut self, from: &str, id: u32) {
        let line = fs::read(format!("/proc/{id}/cmdline")).expect("it runs");
        self.heard(&format!("{from} in the process list"), String::from_utf8_lossy(&line));
    }

    /// Names each secret that was said, and where.
    fn assert_nothing_was_said(&self) {
        let mut said = Vec::new();
        for (from, text) in &self.heard {
            let found = self.secrets.iter().filter(|(_, secret)| text.contains(secret));
            said.extend(found.map(|(what, secret)| {
                let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
                format!("{what} by {from}: {line}")
            }));
        }
        assert!(said.is_empty(), "{said:#?}");
    }

    /// The search finds what is there to be found: this was said by whoever is named so.
    fn assert_was_said(&self, from: &str, text: &str) {
        let of: Vec<_> = self.heard.iter().filter(|(by, _)| by.starts_with(from)).collect();
        assert!(of.iter().any(|(_, said)| said.contains(text)), "{from} says {text:?}: {of:?}");
    }

    async fn page(&mut self, part: &str, address: std::net::SocketAddr, path: &str, token: Option<&str>) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut request = client.get(format!("http://{address}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("it answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let head = format!("{:?}", answer.headers());
        let body = answer.text().await.expect("text");
        self.heard(&format!("{part}{path}"), head + &body);
    }
}

/// What a browser gets as a cookie.
fn cookie(answer: &reqwest::Response) -> String {
    let given = answer.headers().get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let given: Vec<_> = given.filter(|cookie| !cookie.contains("Max-Age=0")).collect();
    let [cookie] = given[..] else { panic!("{given:?}") };
    cookie.split(';').next().expect("it is named").to_owned()
}

/// Signs in by the page, with the wrong password first, and looks at a page as whoever that is.
async fn sign_in(search: &mut Search, address: std::net::SocketAddr, name: &str, password: &str) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.build().expect("a client");
    let url = |path: &str| format!("http://{address}{path}");
    let wrong = search.password("a-user-who-mistyped-it");
    for (password, session) in [(&*wrong, None), (password, Some("the session of a page"))] {
        let page = client.get(url("/login")).send().await.expect("it answers");
        let form_cookie = cookie(&page);
        let form = form_cookie.split_once('=').expect("a value").1.to_owned();
        search.secret("the secret of a form", &form);
        let post = client.post(url("/login")).header("cookie", &form_cookie);
        let post = post.header("sec-fetch-site", "same-origin");
        let post = post.header("content-type", "application/x-www-form-urlencoded");
        let body = format!("form={form}&name={name}&password={password}");
        let answer = post.body(body).send().await.expect("it answers");
        let Some(what) = session else {
            assert_eq!(answer.status(), 401);
            continue;
        };
        let session = cookie(&answer);
        search.secret(what, session.split_once('=').expect("a value").1);
        for path in ["/", "/api/v1/alarms", "/nowhere"] {
            let page = client.get(url(path)).header("cookie", &session).send().await.expect("it answers");
            search.heard(&format!("ingest{path} as {name}"), page.text().await.expect("text"));
        }
    }
}

fn table(text: &str) -> Table {
    text.parse().expect("TOML")
}

fn keep_logs(chain: &mut Chain) -> [(&'static str, PathBuf); 3] {
    let folder = chain.folder().to_owned();
    let parts = [("broker", &mut chain.broker), ("ingest", &mut chain.ingest), ("agent", &mut chain.agent)];
    parts.map(|(name, part)| {
        let path = folder.join(format!("{name}.log"));
        part.log = Some(path.clone());
        (name, path)
    })
}

fn board(chain: &Chain, name: &str, key: Option<&str>) -> BoardHandle {
    let key = key.map(|key| key.parse::<DeviceKey>().expect("a key"));
    let plan = BoardPlan { key, ..BoardPlan::typical(DeviceId::new(name).expect("a slug"), 1, 1, 10.0) };
    VirtualBoard::spawn(plan, chain.board_link(), Shutdown::new()).expect("a good plan")
}

async fn flows(board: &BoardHandle) {
    let some = board.wait_until(|status| status.acknowledged >= 5);
    tokio::time::timeout(PATIENCE, some).await.expect("readings arrive");
}

/// Takes what comes and says that it is fine.
async fn hook() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _length = stream.read(&mut [0; 4096]).await;
            let _sent = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        }
    });
    address
}

/// What `check` says of a file with a mistake in the very line of the secret.
fn mistaken(search: &mut Search, name: &str, part: &Part, folder: &Path, secret: &str) {
    let good = toml::to_string(&part.settings).expect("a table is TOML");
    let line = format!("password = \"{secret}\"");
    assert!(good.contains(&line), "{name}: {good}");
    let mistakes = [
        ("misspelt", format!("pasword = \"{secret}\"")),
        ("of another kind", format!("password = [\"{secret}\"]")),
        ("without its end", format!("password = \"{secret}")),
        ("without its quotes", format!("password = {secret}")),
        ("twice", format!("{line}\n{line}")),
        ("beside a file", format!("{line}\npassword_file = \"{secret}\"")),
    ];
    for (mistake, wrong) in mistakes {
        let file = folder.join("mistaken.toml");
        fs::write(&file, good.replacen(&line, &wrong, 1)).expect("the temporary folder can be written");
        let mut check = Command::new(program(&format!("tidegate-{name}")));
        let output = check.args(["check", "--config"]).arg(&file).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{mistake}");
        search.output(&format!("{name} check, {mistake}"), &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_keys_and_tokens_are_said_nowhere() {
    let (mut search, mut chain) = (Search::default(), Chain::new(RULES));
    let folder = chain.folder().to_owned();
    let logs = keep_logs(&mut chain);

    // Everybody's password at the broker.
    let of_ingest = search.password("ingest");
    let of_agent = search.password("agent");
    for user in chain.broker.settings["users"].as_array_mut().expect("users") {
        let user = user.as_table_mut().expect("a table");
        let password = match user["name"].as_str() {
            Some("ingest") => of_ingest.clone(),
            Some(GATEWAY) => of_agent.clone(),
            other => search.password(&format!("broker-user-{}", other.unwrap_or_default())),
        };
        user.insert("password".to_owned(), password.into());
    }
    let set_password = |part: &mut Part, password: &str| {
        let broker = part.settings.get_mut("broker").and_then(Value::as_table_mut).expect("a section");
        broker.insert("password".to_owned(), password.into());
    };
    set_password(&mut chain.ingest, &of_ingest);
    let wrong = search.password("agent-when-it-was-wrong");
    set_password(&mut chain.agent, &wrong);

    // Receivers of alarms, users and tokens of the page.
    let hook_secret = "whsec_bWFya2VkLXNlY3JldC1vZi10aGUtd2ViaG9vaw==";
    search.secret("the webhook's secret", &hook_secret[6..]);
    search.secret("the webhook's secret, decoded", "marked-secret-of-the-webhook");
    let of_mail = search.password("mail");
    let address = hook().await;
    chain.ingest.settings.extend(table(&format!(
        "[auth]\n[[receiver]]\nid = \"ops\"\ntype = \"webhook\"\nurl = \"http://{address}/\"\nallow_internal = true\nsecrets = [\"{hook_secret}\"]\n\
         [[receiver]]\nid = \"mail\"\ntype = \"email\"\nserver = \"127.0.0.1:1\"\ntls = \"none\"\nuser = \"alarms\"\npassword = \"{of_mail}\"\n\
         from = \"Tidegate <alarms@example.org>\"\nto = [\"eva@example.org\"]\n"
    )));
    chain.broker.start_with(ALL_LOGS);
    let mqtt = chain.mqtt();
    chain.connect_ingest(mqtt);
    chain.connect_agent(mqtt);
    chain.ingest.start_with(ALL_LOGS);
    let of_user = search.password("a-user-of-the-page");
    let added = chain.ingest.command_with_line(&["users", "add", "eva", "--role", "admin"], &of_user);
    assert!(added.status.success());
    search.output("ingest users add", &added);
    let made = chain.ingest.command(&["tokens", "create", "tom", "--role", "admin"]);
    let token = String::from_utf8(made.stdout).expect("UTF-8").trim().to_owned();
    search.secret("a token", &token);

    // A board with a key, at an agent that the broker does not let in at first.
    search.secret("a board's key", DEVICE_KEY);
    let key_file = folder.join("board.key");
    fs::write(&key_file, DEVICE_KEY).expect("the temporary folder can be written");
    chain.agent.start_with(ALL_LOGS);
    let key_path = key_file.display().to_string();
    search
        .output("agent devices key", &chain.agent.command(&["devices", "key", DEVICE, "--from", &key_path]));
    let refused = r#"tidegate_broker_connections_refused_total{reason="credentials"}"#;
    let counted =
        |text: &str| text.lines().any(|line| line.strip_prefix(refused).is_some_and(|n| n.trim() != "0"));
    let metrics = chain.broker.address("metrics");
    tidegate_tests::eventually::eventually("the agent is refused", async || {
        let text = reqwest::get(format!("http://{metrics}/metrics")).await.expect("it answers").text().await;
        counted(&text.expect("text")).then_some(()).ok_or_else(|| "nobody was refused yet".to_owned())
    })
    .await;
    chain.agent.kill();
    set_password(&mut chain.agent, &of_agent);
    chain.agent.start_with(ALL_LOGS);
    let keyed = board(&chain, DEVICE, Some(DEVICE_KEY));
    flows(&keyed).await;

    // Whatever can be asked.
    for (name, part) in
        [("broker", &mut chain.broker), ("ingest", &mut chain.ingest), ("agent", &mut chain.agent)]
    {
        search.process(name, part.daemon().id());
        search.output(&format!("{name} check"), &part.command(&["check"]));
    }
    let (http, status) = (chain.ingest.address("http"), chain.agent.address("status"));
    for path in ["/metrics", "/health"] {
        search.page("broker", metrics, path, None).await;
        search.page("agent", status, path, None).await;
        search.page("ingest", http, path, Some(&token)).await;
    }
    search.page("agent", status, "/status", None).await;
    for path in [
        "gateways",
        "devices",
        "audit",
        "alarms",
        "receivers",
        "tokens",
        "users",
        "changes",
        "rules",
        "quarantine",
    ] {
        search.page("ingest", http, &format!("/api/v1/{path}"), Some(&token)).await;
    }
    sign_in(&mut search, http, "eva", &of_user).await;
    let of_watcher = search.password("somebody-who-watches");
    let mut watch = Command::new(program("tidegate"));
    watch
        .args(["watch", "--raw", "--mqtt", &mqtt.to_string(), "--user", "eva"])
        .envs(ALL_LOGS.iter().copied());
    let refused = watch.env("TIDEGATE_MQTT_PASSWORD", &of_watcher).output().expect("it starts");
    search.output("tidegate watch --raw", &refused);
    let (token_file, no_token) = (folder.join("tom.token"), folder.join("nobody.token"));
    fs::write(&token_file, &token).expect("the temporary folder can be written");
    let forged = format!("{}0000", &token[..token.len() - 4]);
    search.secret("a token that is none", &forged);
    fs::write(&no_token, &forged).expect("the temporary folder can be written");
    let url = format!("http://{http}");
    for (arguments, file) in [
        (&["receivers", "list"][..], &token_file),
        (&["receivers", "test", "ops", "--as", "tom"], &token_file),
        (&["receivers", "test", "mail", "--as", "tom"], &token_file),
        (&["tokens", "list"], &token_file),
        (&["changes"], &token_file),
        (&["devices"], &no_token),
        (&["devices", "--verbose-nonsense"], &no_token),
    ] {
        let mut command = tidegate(&url, arguments);
        let output =
            command.arg("--token-file").arg(file).env("RUST_LOG", "trace").output().expect("it starts");
        search.output(&format!("tidegate {}", arguments.join(" ")), &output);
    }
    mistaken(&mut search, "broker", &chain.broker, &folder, &of_ingest);
    mistaken(&mut search, "ingest", &chain.ingest, &folder, &of_ingest);
    mistaken(&mut search, "agent", &chain.agent, &folder, &of_agent);

    drop(keyed);
    for part in [&mut chain.agent, &mut chain.ingest, &mut chain.broker] {
        part.terminate();
    }
    for (name, path) in logs {
        search.heard(&format!("{name}'s log"), fs::read_to_string(path).expect("it logged"));
    }
    search.assert_was_said("agent's log", "tidegate_agent");
    search.assert_was_said("broker's log", "TRACE");
    search.assert_was_said("ingest/api/v1/receivers", "ops");
    search.assert_was_said("tidegate watch --raw", "refuses this client");
    search.assert_was_said("ingest/ as eva", "<html");
    search.assert_was_said("tidegate receivers test mail", "did not reach mail");
    search.assert_nothing_was_said();
}

/// The lines of all private keys in a folder.
fn private_keys(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            private_keys(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let keys = text.split("PRIVATE KEY-----\n").skip(1).step_by(2);
            found.extend(
                keys.flat_map(str::lines)
                    .filter(|line| line.len() > 15 && !line.starts_with('-'))
                    .map(str::to_owned),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_and_invitations_are_said_nowhere() {
    let _built = ["tidegate", "tidegate-agent", "tidegate-broker", "tidegate-ingest"].map(program);
    let (mut search, mut chain) = (Search::default(), Chain::new(RULES));
    let folder = chain.folder().to_owned();
    let logs = keep_logs(&mut chain);
    let authority = CertificateAuthority::start(&folder, "127.0.0.1", &["--gateways-for", "140s"]);
    authority.issue(&["server", "127.0.0.1"], "broker.pem");
    authority.issue(&["role", "ingest"], "ingest.pem");
    let config = folder.join("gateway/agent.toml");
    let invitation = authority.run(&["gateway", "invite", &gateway()]).trim().to_owned();
    search.secret("an invitation", &invitation);
    let spoilt = invitation.replacen(|c: char| c.is_ascii_digit(), "x", 1);
    search.output("agent enroll, spoilt", &enroll(&spoilt, &config));
    let enrolled = enroll(&invitation, &config);
    assert!(enrolled.status.success(), "{enrolled:?}");
    search.output("agent enroll", &enrolled);
    search.output("agent enroll, again", &enroll(&invitation, &folder.join("second/agent.toml")));
    for arguments in [&["gateway", "list", "--all"][..], &["ca", "show"]] {
        search.heard(&format!("tidegate {}", arguments.join(" ")), authority.run(arguments));
    }
    use_authority(&mut chain, &config);
    let mut keys = Vec::new();
    private_keys(&folder, &mut keys);
    chain.broker.start_with(ALL_LOGS);
    let mqtt = chain.mqtt();
    chain.connect_ingest(mqtt);
    chain.connect_agent(mqtt);
    chain.ingest.start_with(ALL_LOGS);
    chain.agent.start_with(ALL_LOGS);
    let sending = board(&chain, DEVICE, None);
    flows(&sending).await;
    for (name, part) in
        [("broker", &mut chain.broker), ("ingest", &mut chain.ingest), ("agent", &mut chain.agent)]
    {
        search.process(name, part.daemon().id());
        search.output(&format!("{name} check"), &part.command(&["check"]));
    }
    drop(sending);
    for part in [&mut chain.agent, &mut chain.ingest, &mut chain.broker] {
        part.terminate();
    }
    for (name, path) in logs {
        search.heard(&format!("{name}'s log"), fs::read_to_string(path).expect("it logged"));
    }
    search.heard("the authority's log", authority.said());
    // Those too that came by renewal.
    private_keys(&folder, &mut keys);
    assert!(keys.len() >= 8, "of the authority, the service, broker, ingest and gateway: {}", keys.len());
    for key in &keys {
        search.secret("a private key", key);
    }
    search.assert_was_said("agent's log", "tidegate_agent");
    search.assert_was_said("the authority's log", "this invitation was used already");
    search.assert_nothing_was_said();
}
