//! Alarms of real boards through real processes to a webhook: whenever the ingest is killed, every event that was committed
//! arrives, in the order of its alarm.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value as Json;
use tidegate_alarms::{AlarmEvent, TransitionKind};
use tidegate_ingest::{failpoint::FailPoint, store::LmdbStore};
use tidegate_tests::{
    api::number,
    chain::Chain,
    measured::{Measured, RULES},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const PERIOD_MS: u32 = 10;
/// Met for the first time, and in the middle of the flow.
const TIMES: [u32; 2] = [1, 3];

/// What came, in its order: ids, and the alarms that they are of.
type Arrived = Arc<Mutex<Vec<(String, String)>>>;

async fn hook(arrived: Arrived) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let arrived = Arc::clone(&arrived);
            tokio::spawn(async move { take(stream, &arrived).await });
        }
    });
    address
}

/// Whoever sends may be killed at any time: what is not whole has not come.
async fn take(mut stream: TcpStream, arrived: &Arrived) -> Option<()> {
    let mut bytes = Vec::new();
    let body = loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() >= length.parse().expect("a number") {
                break body.to_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let payload: Json = serde_json::from_str(&body).expect("JSON");
    let text = |name: &str| payload["data"][name].as_str().expect("text").to_owned();
    let alarm = ["site", "device", "channel", "rule"].map(text).join("/");
    arrived.lock().expect("no thread panics").push((text("id"), alarm));
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_killed_between_commit_and_delivery_loses_no_event() {
    let arrived = Arrived::default();
    let address = hook(Arc::clone(&arrived)).await;
    let mut chain = Chain::new(RULES);
    let receiver = format!(
        "[[receiver]]\nid = \"ops\"\ntype = \"webhook\"\nurl = \"http://{address}/\"\nallow_internal = true\n\
         secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n"
    );
    chain.ingest.settings.extend(receiver.parse::<toml::Table>().expect("TOML"));
    chain.start();
    let measured = Measured::default();
    let boards = [1, 2].map(|number| measured.board(number, PERIOD_MS, chain.board_link()));
    let points = [FailPoint::BeforeCommit, FailPoint::AfterCommitBeforeAck, FailPoint::AfterDelivery];
    for point in points {
        for nth in TIMES {
            let point = format!("{}:{nth}", point.name());
            chain.ingest.terminate();
            chain.ingest.launch(&[("TIDEGATE_FAILPOINT", &point)]);
            chain.ingest.wait_for_death();
            chain.ingest.start();
            let before = arrived.lock().expect("no thread panics").len();
            tidegate_tests::eventually::eventually("another alarm", async || {
                let now = arrived.lock().expect("no thread panics").len();
                if now > before { Ok(()) } else { Err(format!("{now} came")) }
            })
            .await;
        }
    }
    for board in boards {
        tokio::time::timeout(Duration::from_secs(60), board.finish())
            .await
            .expect("a board delivers what it holds");
    }
    let is_done = |answer: &Json| number(answer, "/receivers/0/waiting") == 0;
    let receivers = chain.api().get_when("all delivered", "/api/v1/receivers", is_done).await;
    assert_eq!(number(&receivers, "/receivers/0/parked"), 0);
    assert!(chain.agent.terminate().success() && chain.ingest.terminate().success());

    let store = LmdbStore::open_read_only(&chain.ingest_data().join("store")).expect("a store");
    let look = store.look().expect("a look");
    assert!(
        look.outbox_counts().expect("counts").is_empty(),
        "what came in while it ended has its turn first"
    );
    let id = |id| serde_json::to_value(id).expect("JSON").as_str().expect("text").to_owned();
    let events = look.events_after(0, usize::MAX).expect("events");
    // Nobody is told that an occurrence began elsewhere, nor of one that was told as late already.
    let is_told = |event: &AlarmEvent| {
        event.transition != TransitionKind::Amend && event.continues.is_none() && !event.suppressed
    };
    let told = events.iter().filter(|(_, event)| is_told(event));
    let cursors: BTreeMap<String, u64> = told.map(|(cursor, event)| (id(event.id), *cursor)).collect();
    let arrived = arrived.lock().expect("no thread panics");
    let ids: BTreeSet<&String> = arrived.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, cursors.keys().collect(), "every event that is to be told arrived, and no other");
    assert!(arrived.len() > ids.len(), "what was killed after its delivery came again, under its id");
    let mut newest: BTreeMap<&String, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (id, alarm) in arrived.iter().filter(|(id, _)| seen.insert(id)) {
        let before = newest.insert(alarm, cursors[id]);
        assert!(before < Some(cursors[id]), "{alarm}: an event overtook another");
    }
}
