//! The event stream for the screen, and orders on their way.
//!
//! The alarms that stand are asked for once the stream stands, so that what happens between comes by it. After a break it is
//! resumed by its cursor; where the ingest cannot resume, the alarms are asked for anew.

use futures_util::StreamExt;
use serde_json::{Value, value::RawValue};
use tokio::{sync::mpsc, time::sleep};

use super::{
    super::{
        super::{
            alarms::{filter::Filter, list},
            decode,
        },
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
    response: reqwest::Response,
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
    response: reqwest::Response,
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
    let mut chunks = response.bytes_stream();
    let mut parser = sse::Parser::default();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return Ok("the connection was lost".to_owned()) };
        let Ok(events) = parser.push(&chunk) else {
            return Ok("it sent an event that is too long".to_owned());
        };
        backoff.reset();
        for event in events {
            if event.name == "reset" {
                match standing(client).await {
                    Ok(alarms) => tell(Happening::Standing(alarms)).await?,
                    Err(error) => {
                        *is_loaded = false;
                        return Ok(short(&error));
                    }
                }
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
        ClientError::Refused { what, .. } => what.clone(),
        ClientError::Unreachable { reason, .. } | ClientError::NotAnIngest { reason, .. } => reason.clone(),
        ClientError::Url { problem, .. } => problem.clone(),
    }
}
