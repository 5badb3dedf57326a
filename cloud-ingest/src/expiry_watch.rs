//! Looks when certificates end, and tells the core, which raises alarms: the one that we show the broker, the one that the broker shows us,
//! and the API's. Files are read as they are and the broker is asked, so that what was renewed ends them.

use std::time::Duration;

use tidegate_service::Shutdown;
use tidegate_trust::{ClientFiles, files::OwnFiles};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    config::Broker,
    core::{Event, system::Certified},
};

/// Days are counted: an hour more or less does not matter.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);
/// A broker that does not answer is not asked before that is over; what it showed before goes on to count.
const ASK_AGAIN: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Whose certificates are watched.
pub struct Watched {
    broker: Option<Asked>,
    api: Option<OwnFiles>,
}

struct Asked {
    files: ClientFiles,
    host: String,
    port: u16,
}

impl Watched {
    pub fn new(broker: &Broker, api: Option<&OwnFiles>) -> Self {
        let asked = |files: &ClientFiles| Asked {
            files: files.clone(),
            host: broker.host.clone(),
            port: broker.port,
        };
        Self { broker: broker.tls.as_ref().map(asked), api: api.cloned() }
    }

    /// Until the ingest stops.
    pub async fn run(self, core: mpsc::Sender<Event>, stopping: Shutdown) {
        loop {
            let asked = tokio::select! {
                () = stopping.wait() => return,
                asked = self.broker_expiry() => asked,
            };
            let own = |files: Option<&ClientFiles>| files.and_then(ClientFiles::certificate_expiry);
            let mut seen = vec![
                (Certified::Ingest, own(self.broker.as_ref().map(|broker| &broker.files))),
                (Certified::Api, self.api.as_ref().and_then(OwnFiles::expiry)),
            ];
            // One that could not be asked has the certificate that it had, as far as anybody knows.
            if let Ok(expires_unix_s) = asked {
                seen.push((Certified::Broker, expires_unix_s));
            }
            for (whose, expires_unix_s) in seen {
                if core.send(Event::CertificateShown { whose, expires_unix_s }).await.is_err() {
                    return;
                }
            }
            let pause = if asked.is_ok() { LOOK_AGAIN } else { ASK_AGAIN };
            tokio::select! {
                () = stopping.wait() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// None where it shows none; an error where it could not be asked.
    async fn broker_expiry(&self) -> Result<Option<i64>, ()> {
        let Some(Asked { files, host, port }) = &self.broker else { return Ok(None) };
        let asked = async {
            let loaded = files.load().map_err(|error| error.to_string())?;
            loaded.certificate_of(host, *port).await.map_err(|error| error.to_string())
        };
        match timeout(HANDSHAKE, asked).await {
            Ok(Ok(certificate)) => Ok(Some(certificate.not_after)),
            Ok(Err(error)) => {
                tracing::debug!(error, "the broker cannot be asked for its certificate");
                Err(())
            }
            Err(_) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_trust::authority::{Authority, When, replace};

    use super::*;

    async fn seen(broker: &Broker, api: Option<&OwnFiles>, count: usize) -> Vec<(Certified, Option<i64>)> {
        let (core, mut events) = mpsc::channel(8);
        let stopping = Shutdown::new();
        let watching = tokio::spawn(Watched::new(broker, api).run(core, stopping.clone()));
        let mut seen = Vec::new();
        for _ in 0..count {
            match events.recv().await {
                Some(Event::CertificateShown { whose, expires_unix_s }) => seen.push((whose, expires_unix_s)),
                other => panic!("{other:?}"),
            }
        }
        stopping.trigger();
        watching.await.expect("it stops");
        assert!(events.recv().await.is_none(), "and says no more");
        seen
    }

    #[tokio::test]
    async fn the_apis_is_read_and_a_broker_that_does_not_answer_keeps_what_is_known_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("plant");
        let ca = folder.path().join("ca.pem");
        replace(&ca, &authority.pem(), 0o644);
        let until = 2_000_000_000;
        authority.server(&["api.example"], When::Until(until)).write(folder.path(), "api");
        let api = OwnFiles { certificate: folder.path().join("api.pem"), key: folder.path().join("api.key") };
        let in_clear =
            Broker { host: "127.0.0.1".into(), port: 1, tls: None, client_id: String::new(), login: None };
        let expected =
            [(Certified::Ingest, None), (Certified::Api, Some(until as i64)), (Certified::Broker, None)];
        assert_eq!(seen(&in_clear, Some(&api), 3).await, expected);
        let silent = Broker { tls: Some(ClientFiles::believing(ca)), ..in_clear };
        assert_eq!(seen(&silent, None, 2).await, [(Certified::Ingest, None), (Certified::Api, None)]);
    }
}
