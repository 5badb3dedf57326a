//! Keeps a certificate fresh as long as a program runs: asks for the next one when two thirds of the present one's time are over.
//!
//! Nothing is cut off for it: the link goes on with the old certificate, and the next connection reads the new one.

use std::{convert::Infallible, time::Duration};

use tidegate_service::Shutdown;
use tidegate_trust::{
    ClientFiles,
    certificate::{Certificate, date},
    files::first_certificate,
};
use tokio::time::{Instant, sleep};

use crate::{
    gateway::{self, Places},
    identity::IdentityFile,
};

/// A certificate may come by another way, and clocks are set: nobody waits longer without a look.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// Runs until `shutdown`; ends at once where nothing is to be renewed.
pub async fn keep(files: Option<ClientFiles>, shutdown: Shutdown) {
    let Some((files, service, places)) = files.and_then(what_to_renew) else { return };
    // Cut off anywhere it can go on at the next start.
    tokio::select! {
        never = renew_for_ever(&files, &service, &places) => match never {},
        () = shutdown.wait() => {}
    }
}

async fn renew_for_ever(files: &ClientFiles, service: &str, places: &Places) -> Infallible {
    let mut retry = FIRST_RETRY;
    let mut renewed: Option<Instant> = None;
    loop {
        let wait = match first_certificate(places.identity.path()) {
            Ok(certificate) => match until_due(&certificate, unix_now(), renewed.map(|at| at.elapsed())) {
                Some(wait) => wait,
                None => match gateway::renew(service, files, places).await {
                    Ok(enrolled) => {
                        retry = FIRST_RETRY;
                        renewed = Some(Instant::now());
                        let until = date(enrolled.certificate.not_after);
                        tracing::info!(service, until, "the certificate is renewed");
                        SHORTEST_WAIT
                    }
                    Err(error) => {
                        let until = date(certificate.not_after);
                        tracing::warn!(service, until, %error, "the certificate could not be renewed; it is tried again");
                        let wait = retry.min(life(&certificate) / 30);
                        retry = (retry * 2).min(LONGEST_WAIT);
                        wait
                    }
                },
            },
            Err(error) => {
                tracing::warn!(%error, "there is no certificate to renew");
                LONGEST_WAIT
            }
        };
        sleep(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT)).await;
    }
}

fn what_to_renew(files: ClientFiles) -> Option<(ClientFiles, String, Places)> {
    let service = files.renew_at.clone()?;
    let identity = IdentityFile::new(files.own.as_ref()?.certificate.clone());
    let places = Places { identity, authority: files.ca.clone() };
    Some((files, service, places))
}

/// None: now. `renewed` is how long ago this process renewed it, if it did.
///
/// A clock that shows a time before the certificate was made is wrong, and how much of the certificate's time is over nobody knows.
/// It is renewed when that is found, and then by the time for which we have run: so a gateway without a clock keeps its place, and the
/// new certificate tells it a later time.
fn until_due(certificate: &Certificate, now: i64, renewed: Option<Duration>) -> Option<Duration> {
    let used_by_then = life(certificate) / 3 * 2;
    let used = match u64::try_from(now.saturating_sub(certificate.not_before)) {
        Ok(used) => Duration::from_secs(used),
        Err(_) => renewed?,
    };
    used_by_then.checked_sub(used).filter(|left| !left.is_zero())
}

fn life(certificate: &Certificate) -> Duration {
    let seconds = certificate.not_after.saturating_sub(certificate.not_before);
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|now| now.as_secs().try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_after_two_thirds_of_its_time() {
        let certificate =
            Certificate { not_before: 1_000, not_after: 1_900, uris: Vec::new(), hosts: Vec::new() };
        for (now, left) in [(1_000, Some(600)), (1_599, Some(1)), (1_600, None), (5_000, None)] {
            for renewed in [None, Some(Duration::from_secs(300))] {
                let until = until_due(&certificate, now, renewed);
                assert_eq!(until, left.map(Duration::from_secs), "{now} {renewed:?}");
            }
        }
    }

    #[test]
    fn where_the_clock_is_wrong_it_is_due_at_once_and_then_by_the_time_we_have_run() {
        let certificate =
            Certificate { not_before: 1_000, not_after: 1_900, uris: Vec::new(), hosts: Vec::new() };
        for (renewed, left) in
            [(None, None), (Some(0), Some(600)), (Some(599), Some(1)), (Some(600), None), (Some(9_000), None)]
        {
            let until = until_due(&certificate, 999, renewed.map(Duration::from_secs));
            assert_eq!(until, left.map(Duration::from_secs), "{renewed:?}");
        }
    }
}
