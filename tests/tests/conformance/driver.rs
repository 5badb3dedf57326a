//! Other people's client libraries, each in a process of its own, driven alike. A script in `tests/clients` takes commands as
//! lines of JSON (`do`: connect, subscribe, unsubscribe, publish, disconnect) and tells events as such (`event`:
//! connected, refused, granted, unsubscribed, published, message, disconnected).
//!
//! A client with a kept session (`clean` off) comes back by itself when its connection is cut, and repeats what was not
//! acknowledged; one with a clean session does not come back.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_broker::{Config, Role, Running, User};
use tidegate_tests::node::node_with;
use tidegate_tests::programs::workspace;
use tidegate_tests::python::python_with;

/// Far beyond what anything here takes; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Its users' passwords are all the same.
pub async fn broker() -> Running {
    broker_with(|_| {}).await
}

pub async fn broker_with(change: impl FnOnce(&mut Config)) -> Running {
    let user = |name: &str, role| User::new(name, "secret", role);
    let users = vec![user("operator", Role::Operator), user("viewer", Role::Observer)];
    let mut config = Config::demo(([127, 0, 0, 1], 0).into(), users);
    change(&mut config);
    tidegate_broker::start(config).await.expect("loop-back has free ports")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Paho,
    Gmqtt,
    MqttJs,
}

impl Library {
    pub const ALL: [Self; 3] = [Self::Paho, Self::Gmqtt, Self::MqttJs];

    /// For the other end of a conversation.
    pub fn another(self) -> Self {
        match self {
            Self::Paho => Self::Gmqtt,
            Self::Gmqtt => Self::MqttJs,
            Self::MqttJs => Self::Paho,
        }
    }

    fn command(self) -> Command {
        let (mut command, script) = match self {
            Self::Paho => (Command::new(python_with("paho.mqtt")), "drive_paho.py"),
            Self::Gmqtt => (Command::new(python_with("gmqtt")), "drive_gmqtt.py"),
            Self::MqttJs => (node_with("mqtt"), "drive_mqtt.js"),
        };
        command.arg(workspace().join("tests/clients").join(script));
        command
    }
}

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub struct Connect {
    port: u16,
    id: String,
    clean: bool,
    keep_alive_s: u16,
    user: &'static str,
    will: Option<Value>,
}

impl Connect {
    pub fn clean(port: u16, id: &str) -> Self {
        Self { port, id: id.to_owned(), clean: true, keep_alive_s: 60, user: "operator", will: None }
    }

    pub fn kept(port: u16, id: &str) -> Self {
        Self { clean: false, ..Self::clean(port, id) }
    }

    pub fn keep_alive_s(self, keep_alive_s: u16) -> Self {
        Self { keep_alive_s, ..self }
    }

    pub fn user(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    pub fn will(self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        let will = json!({ "topic": topic, "payload": payload, "qos": qos, "retain": retain });
        Self { will: Some(will), ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
}

impl Received {
    fn read(event: &Value) -> Self {
        let text = |field: &str| event[field].as_str().expect("a text").to_owned();
        let flag = |field: &str| event[field].as_bool().expect("a flag");
        Self {
            topic: text("topic"),
            payload: text("payload"),
            qos: event["qos"].as_u64().expect("a QoS") as u8,
            retain: flag("retain"),
            dup: flag("dup"),
        }
    }
}

/// One that is new to its subscriber: no flag set.
pub fn live(topic: &str, payload: &str, qos: u8) -> Received {
    Received { topic: topic.into(), payload: payload.into(), qos, retain: false, dup: false }
}

pub fn retained(topic: &str, payload: &str, qos: u8) -> Received {
    Received { retain: true, ..live(topic, payload, qos) }
}

pub struct Client {
    library: Library,
    process: Child,
    commands: ChildStdin,
    events: Receiver<Value>,
    /// Messages that came while something else was awaited.
    early: VecDeque<Received>,
}

impl Client {
    fn start(library: Library) -> Self {
        let mut command = library.command();
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it ran a moment ago");
        let commands = process.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "event": line }));
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        Self { library, process, commands, events, early: VecDeque::new() }
    }

    /// Connects; with what comes back whether there was a session.
    pub fn connect(library: Library, connect: &Connect) -> (Self, bool) {
        let mut client = Self::start(library);
        client.say_connect(connect);
        let is_present = client.connected();
        (client, is_present)
    }

    /// Connects with a clean session.
    pub fn new(library: Library, broker: &Running, id: &str) -> Self {
        let (client, is_present) = Self::connect(library, &Connect::clean(broker.mqtt.port(), id));
        assert!(!is_present, "a clean session is a new one");
        client
    }

    /// Is refused; gives CONNACK's code.
    pub fn refused(library: Library, connect: &Connect) -> u64 {
        let mut client = Self::start(library);
        client.say_connect(connect);
        client.event("refused")["code"].as_u64().expect("a code")
    }

    fn say_connect(&mut self, connect: &Connect) {
        let Connect { port, id, clean, keep_alive_s, user, will } = connect;
        self.say(json!({
            "do": "connect", "port": port, "id": id, "clean": clean, "keep_alive": keep_alive_s, "user": user,
            "will": will,
        }));
    }

    /// Comes back, if it was cut off; gives whether its session was there.
    pub fn connected(&mut self) -> bool {
        self.event("connected")["present"].as_bool().expect("a flag")
    }

    /// The codes of the SUBACK.
    pub fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        self.say(json!({ "do": "subscribe", "filters": filters }));
        let granted = self.event("granted");
        let codes = granted["codes"].as_array().expect("a list");
        codes.iter().map(|code| code.as_u64().expect("a code") as u8).collect()
    }

    /// All of them must be granted as asked for.
    pub fn subscribe_granted(&mut self, filters: &[(&str, u8)]) {
        let asked: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        assert_eq!(self.subscribe(filters), asked, "{:?}", self.library);
    }

    pub fn unsubscribe(&mut self, filters: &[&str]) {
        self.say(json!({ "do": "unsubscribe", "filters": filters }));
        self.event("unsubscribed");
    }

    /// Returns with the last acknowledgement that the QoS asks for.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: u8) {
        self.publish_with(topic, payload, qos, false);
    }

    pub fn publish_retained(&mut self, topic: &str, payload: &str, qos: u8) {
        self.publish_with(topic, payload, qos, true);
    }

    fn publish_with(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) {
        self.start_publish(topic, payload, qos, retain);
        self.published();
    }

    pub fn start_publish(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) {
        self.say(
            json!({ "do": "publish", "topic": topic, "payload": payload, "qos": qos, "retain": retain }),
        );
    }

    pub fn published(&mut self) {
        self.event("published");
    }

    /// The next message.
    pub fn message(&mut self) -> Received {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        Received::read(&self.event("message"))
    }

    /// All messages up to one with this payload, without it.
    pub fn messages_until(&mut self, payload: &str) -> Vec<Received> {
        let all = std::iter::repeat_with(|| self.message());
        all.take_while(|message| message.payload != payload).collect()
    }

    pub fn until_cut_off(&mut self) {
        self.event("disconnected");
    }

    /// Says goodbye.
    pub fn disconnect(mut self) {
        self.say(json!({ "do": "disconnect" }));
        self.event("disconnected");
    }

    /// Is gone without a word.
    pub fn kill(self) {}

    /// Does nothing more, and its connection stays open.
    pub fn freeze(&mut self) {
        let stop = format!("kill -STOP {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &stop]).status().expect("a shell").success());
    }

    fn say(&mut self, command: Value) {
        writeln!(self.commands, "{command}").expect("the client runs");
    }

    /// The next event of this kind; messages on the way are kept for [`Client::message`].
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.events.recv_timeout(PATIENCE);
            let event = event.unwrap_or_else(|_| panic!("{:?}: no {kind:?} came", self.library));
            if event["event"] == kind {
                return event;
            }
            match event["event"].as_str() {
                Some("message") => self.early.push_back(Received::read(&event)),
                // Of a publish whose end nobody waited for; of the cut before a return.
                Some("published" | "disconnected") => {}
                _ => panic!("{:?}: {event} came and no {kind:?}", self.library),
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
