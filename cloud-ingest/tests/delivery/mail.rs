//! Email, to a real SMTP server: aiosmtpd.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use tidegate_ingest::delivery::{
    EmailTarget, Failure, FailureKind, Target,
    compose::{self, Composed, Told},
    email::send,
};

use crate::{checked, encrypted::Identity, in_time, made, python, served::Served};

/// Prints its port, and then each mail as a line. Recipients choose what happens to them.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such mailbox"
        if address.startswith("busy"):
            return "450 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
            "login": session.auth_data, "data": envelope.content.decode()}), flush=True)
        return "250 OK"
def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"alarms", b"hush")
    return AuthResult(success=good, handled=good, auth_data="alarms", message=None if good else "535 wrong password")
async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    extra = dict(tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True) if context else {}
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler(), **extra), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

/// Ends when it is dropped.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(identity: Option<&Identity>) -> Self {
        let mut command = Command::new(python::interpreter());
        command.args(["-W", "ignore", "-c", SERVER]);
        if let Some(identity) = identity {
            command.arg(identity.certificate_file()).arg(identity.key_file());
        }
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("its port").expect("text").parse().expect("a number");
        Self { child, lines, port }
    }

    fn next(&mut self) -> Json {
        serde_json::from_str(&self.lines.next().expect("a mail").expect("text")).expect("JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which its test notices.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn settings(port: u16, to: &str) -> Json {
    json!({ "id": "night", "type": "email", "server": format!("127.0.0.1:{port}"), "tls": "none",
            "from": "Tidegate <alarms@example.org>", "to": [to] })
}

fn target(settings: &Json) -> EmailTarget {
    match checked(settings).target {
        Target::Email(target) => target,
        Target::Webhook(_) => panic!("no email"),
    }
}

fn message() -> Composed {
    let mut event = made::event("plant", "board-1", 1);
    event.message = "Füllstand zu hoch".to_owned();
    let told = Told { event, queued_unix_ms: 0, quiet_until_unix_ms: None };
    compose::compose("night", None, 1, &[told], &TimeZone::UTC).expect("something to tell")
}

async fn attempt(settings: &Json) -> Result<(), Failure> {
    in_time("an attempt", send(&target(settings), &message())).await
}

/// Headers (of one line each) and body of a mail.
fn parts(mail: &Json) -> (Vec<String>, String) {
    let data = mail["data"].as_str().expect("text").replace("\r\n", "\n");
    let (head, body) = data.split_once("\n\n").expect("a head and a body");
    (head.lines().map(str::to_owned).collect(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_it_in_plain_text_and_keeps_its_id_when_it_is_sent_again() {
    let mut server = Server::start(None);
    let settings = settings(server.port, "ops@example.org");
    attempt(&settings).await.expect("it is sent");
    let mail = server.next();
    assert_eq!((&mail["from"], &mail["to"]), (&json!("alarms@example.org"), &json!(["ops@example.org"])));
    let (head, body) = parts(&mail);
    for line in [
        "Subject: [high] plant/board-1 temperature: hot raised".to_owned(),
        format!("Message-ID: <{}@example.org>", message().id),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
    ] {
        assert!(head.contains(&line), "{line}: {head:?}");
    }
    assert!(body.contains("F=C3=BCllstand zu hoch") || body.contains("Füllstand zu hoch"), "{body}");
    attempt(&settings).await.expect("it is sent");
    let (again, _) = parts(&server.next());
    let id = |head: &[String]| head.iter().find(|line| line.starts_with("Message-ID")).cloned();
    assert_eq!(id(&again), id(&head));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_go_right_later_is_told_from_what_never_will() {
    let server = Server::start(None);
    let busy = attempt(&settings(server.port, "busy@example.org")).await.expect_err("it is busy");
    assert!(matches!(busy.kind, FailureKind::Temporary { .. }) && busy.why.contains("450"), "{busy:?}");
    let nobody = attempt(&settings(server.port, "nobody@example.org")).await.expect_err("nobody is there");
    assert!(nobody.kind == FailureKind::Permanent && nobody.why.contains("no such mailbox"), "{nobody:?}");
    let port = server.port;
    drop(server);
    let away = attempt(&settings(port, "ops@example.org")).await.expect_err("it is away");
    assert!(matches!(away.kind, FailureKind::Temporary { .. }), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_go_to_believed_servers_only_and_encrypted() {
    let identity = Identity::new();
    let mut server = Server::start(Some(&identity));
    let mut settings = settings(server.port, "ops@example.org");
    (settings["server"], settings["tls"]) = (json!(format!("localhost:{}", server.port)), json!("starttls"));
    (settings["user"], settings["password"]) = (json!("alarms"), json!("wrong"));
    let unknown = attempt(&settings).await.expect_err("its certificate is nobody's");
    assert!(matches!(unknown.kind, FailureKind::Temporary { .. }), "{unknown:?}");
    settings["ca_file"] = json!(identity.certificate_file());
    let refused = attempt(&settings).await.expect_err("the password is wrong");
    assert!(
        matches!(refused.kind, FailureKind::Temporary { .. }) && refused.why.contains("535"),
        "{refused:?}"
    );
    settings["password"] = json!("hush");
    attempt(&settings).await.expect("it is sent");
    let mail = server.next();
    assert_eq!((&mail["tls"], &mail["login"]), (&json!(true), &json!("alarms")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_mailed_and_what_nobody_takes_is_parked() {
    let mut server = Server::start(None);
    let folder = tempfile::tempdir().expect("a folder");
    let mut lost = settings(server.port, "nobody@example.org");
    lost["id"] = json!("lost");
    let served = Served::start(folder.path(), &[settings(server.port, "ops@example.org"), lost]);
    let cursors: VecDeque<u64> = served.commit(vec![made::event("plant", "a", 1)]).into();
    let (head, _) = parts(&server.next());
    assert!(head.iter().any(|line| line.ends_with("plant/a temperature: hot raised")), "{head:?}");
    served.receiver_when("night", |view| view.waiting == 0 && view.parked == 0).await;
    let view = served.receiver_when("lost", |view| view.parked == 1).await;
    assert_eq!((view.waiting, view.tally.parked), (0, 1));
    let parked = served.deliveries().await;
    assert_eq!(parked.iter().map(|row| row.cursor).collect::<VecDeque<u64>>(), cursors);
    assert!(parked[0].due_unix_ms.is_none() && parked[0].attempts == 1);
}
