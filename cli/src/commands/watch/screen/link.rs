//! The event stream for the screen, and orders on their way.
//!
//! The alarms that stand are asked for once the stream stands, so that what happens between comes by it. After a break it is
//! resumed by its cursor; where the ingest cannot resume, it tells anew what stands.

use futures_util::StreamExt;
use serde_json::{Value, value::RawValue};
use tokio::{sync::mpsc, time::sleep};

use super::{
    super::{
        super::{
            alarms::{filter::Filter, list},
            decode,
        },
        snapshot::Snapshot,
        stream::{Backoff, Position, Start},
    },
    Told,
    model::Happening,
};
use crate::{
    client::{Client, ClientError},
    error::CliError,
    sse,
    view::{Alarm, AlarmEvent},
};

pub struct Link {
    position: Position,
    response: crate::http::Response,
}

/// Nobody looks any more.
struct Closed;

impl Link {
    /// The first connection must stand: a wrong address is told at once.
    pub async fn open(client: &Client) -> Result<Self, CliError> {
        let position = Position::new(Start::Now, false);
        let response = position.open(client).await?;
        Ok(Self { position, response })
    }

    /// Until nobody looks any more.
    pub async fn follow(self, client: Client, happens: mpsc::Sender<Told>) {
        let Self { mut position, mut response } = self;
        let mut backoff = Backoff::default();
        let mut is_loaded = false;
        loop {
            let told = read(&client, response, &mut position, &mut backoff, &mut is_loaded, &happens).await;
            let Ok(mut why) = told else { return };
            response = loop {
                if happens.send(Some(Happening::Broken(why))).await.is_err() {
                    return;
                }
                sleep(backoff.next()).await;
                match position.open(&client).await {
                    Ok(response) => break response,
                    Err(error) => why = short(&error),
                }
            };
        }
    }
}

/// Until the stream breaks; says why it did.
async fn read(
    client: &Client,
    response: crate::http::Response,
    position: &mut Position,
    backoff: &mut Backoff,
    is_loaded: &mut bool,
    happens: &mpsc::Sender<Told>,
) -> Result<String, Closed> {
    let tell = async |happening| happens.send(Some(happening)).await.map_err(|_| Closed);
    tell(Happening::Connected).await?;
    if !*is_loaded {
        match standing(client).await {
            Ok(alarms) => tell(Happening::Standing(alarms)).await?,
            Err(error) => return Ok(short(&error)),
        }
        *is_loaded = true;
    }
    let mut chunks = response.chunks();
    let (mut parser, mut snapshot) = (sse::Parser::default(), Snapshot::default());
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return Ok("the connection was lost".to_owned()) };
        let Ok(events) = parser.push(&chunk) else {
            return Ok("it sent an event that is too long".to_owned());
        };
        backoff.reset();
        for event in events {
            match snapshot.take(&event) {
                Ok(Some(alarms)) => tell(Happening::Standing(alarms)).await?,
                Ok(None) => {}
                Err(error) => return Ok(format!("it sent an alarm that cannot be read: {error}")),
            }
            if let ("alarm", Ok(alarm)) =
                (event.name.as_str(), serde_json::from_str::<AlarmEvent>(&event.data))
            {
                tell(Happening::Event(Box::new(alarm))).await?;
            }
            position.passed(&event);
        }
    }
    Ok("the ingest closed the stream".to_owned())
}

async fn standing(client: &Client) -> Result<Vec<Alarm>, ClientError> {
    let found = list::all(client, "standing", false, &Filter::default()).await?;
    decode(client, &found)
}

/// Gives an order, and tells what came of it.
pub async fn give(client: Client, happens: mpsc::Sender<Told>, alarm: String, path: String, order: Value) {
    let done = client.order::<Box<RawValue>>(&path, &order).await;
    let told = match done {
        Ok(done) => {
            let event = serde_json::from_str::<AlarmEvent>(done.get());
            let said = event.ok().and_then(|event| event.message);
            Ok(said.unwrap_or_else(|| format!("{alarm}: done")))
        }
        Err(error) => Err(format!("{alarm}: {}", short(&error))),
    };
    // Where nobody looks any more, nobody need be told.
    let _closed = happens.send(Some(Happening::Done(told))).await;
}

/// Without the address, which the screen shows.
fn short(error: &ClientError) -> String {
    match error {
        ClientError::Refused { what, .. } | ClientError::WhoAreYou { what, .. } => what.clone(),
        ClientError::Unreachable { reason, .. } | ClientError::NotAnIngest { reason, .. } => reason.clone(),
        ClientError::Url { problem, .. } => problem.clone(),
        ClientError::Authority(_)
        | ClientError::Token(_)
        | ClientError::TokenFile { .. }
        | ClientError::TokenInClear { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, response::IntoResponse, routing::get};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    fn alarm(device: &str) -> Value {
        json!({ "site": "plant", "device": device, "channel": "t", "rule": "hot", "priority": "low",
                "state": "unacknowledged" })
    }

    #[tokio::test]
    async fn behind_a_reset_what_stands_is_told_anew_once_all_of_it_is_there() {
        let listed = json!({ "alarms": [alarm("before")], "next": null }).to_string();
        let stream = format!(
            "retry: 1000\n\nevent: reset\ndata: {{\"reason\":\"unknown-cursor\"}}\n\n\
             event: snapshot\ndata: {}\n\nevent: snapshot\ndata: {}\n\n\
             event: snapshot-end\ndata: {{\"alarms\":2}}\nid: 7\n\n",
            alarm("a"),
            alarm("b")
        );
        let events = get(|| async { ([("content-type", "text/event-stream")], stream).into_response() });
        let alarms = get(|| async { ([("content-type", "application/json")], listed).into_response() });
        let router = Router::new().route("/api/v1/events", events).route("/api/v1/alarms", alarms);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });

        let client = Client::new(&url, &crate::client::Trust::default()).expect("a good address");
        let Ok(link) = Link::open(&client).await else { panic!("it answers") };
        let (Link { mut position, response }, mut backoff) = (link, Backoff::default());
        let (happens, mut happened) = mpsc::channel(16);
        let told = read(&client, response, &mut position, &mut backoff, &mut false, &happens).await;
        assert!(told.is_ok_and(|why| why.contains("closed")));
        drop(happens);
        let mut standing = Vec::new();
        while let Some(happening) = happened.recv().await {
            if let Some(Happening::Standing(alarms)) = happening {
                standing.push(alarms.into_iter().map(|alarm| alarm.device).collect::<Vec<_>>());
            }
        }
        assert_eq!(standing, [vec!["before"], vec!["a", "b"]]);
        serving.abort();
    }
}
