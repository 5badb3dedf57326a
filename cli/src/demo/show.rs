//! The demo while it runs, and its end.

use std::{
    future::Future,
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{sync::mpsc, task::JoinHandle, time::interval};

use super::{
    alarms::{self, Arrived, Tally},
    drained::{Marks, drained},
    error::DemoError,
    outage::{Outage, Step},
    report::{Report, per_reading},
    sampled::Sampled,
    secured::Secured,
    status_line::{Rate, Screen, Status},
    system::System,
};
use crate::{
    client::Client,
    commands::{
        audit::{
            ledger::Audit,
            report::render,
            verdict::{Patience, Verdict, judge},
        },
        watch::print::line,
    },
    paint::Style,
};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After everything was delivered, the ledger may take this long to say so.
const SETTLING: Duration = Duration::from_secs(10);

pub struct Show {
    system: System,
    client: Client,
    screen: Screen,
    sampled: Sampled,
    outage: Outage,
    tally: Tally,
    rate: Rate,
    /// How far the boards were when the link came back.
    marks: Marks,
    events: mpsc::Receiver<Arrived>,
    following: JoinHandle<()>,
    begun: Instant,
}

/// What the agents' status pages say of their queues' writing.
#[derive(Deserialize)]
struct AgentStatus {
    disk_bytes_written: DiskBytes,
}

#[derive(Deserialize)]
struct DiskBytes {
    blocks: u64,
}

impl Show {
    pub async fn begin(
        system: System,
        client: Client,
        sampled: Sampled,
        outage: Outage,
        secured: Option<&Secured>,
        silent: bool,
    ) -> Result<Self, DemoError> {
        let (sender, events) = mpsc::channel(alarms::WAITING);
        let following = tokio::spawn(alarms::follow(alarms::open(&client).await?, sender));
        let mut screen = Screen::new(silent);
        let paint = screen.paint();
        screen.say(&paint.apply(Style::Bold, &format!("Tidegate runs: open {}", client.url())))?;
        if let Some(secured) = secured {
            screen.say(&format!(
                "Everybody has a certificate, by the authority {} (tidegate gateway list --dir {})",
                secured.fingerprint,
                secured.authority().display()
            ))?;
        }
        let observer = secured.map(Secured::observer).unwrap_or_default();
        screen.say(&format!(
            "Ten virtual boards and this computer, two gateways; whoever is on this computer may use them. In another terminal:\n  \
             TIDEGATE_URL={url} tidegate watch\n  \
             mosquitto_sub {observer}-p {port} -t 'tidegate/v1/alarms/#' -v\n\
             Ctrl-C ends it and prints the audit.\n",
            url = client.url(),
            port = system.mqtt().port()
        ))?;
        Ok(Self {
            system,
            client,
            screen,
            sampled,
            outage,
            tally: Tally::default(),
            rate: Rate::default(),
            marks: Marks::new(),
            events,
            following,
            begun: Instant::now(),
        })
    }

    /// Runs until `length` is over or `stop` resolves.
    pub async fn run(
        &mut self,
        length: Option<Duration>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), DemoError> {
        let mut stop = pin!(stop);
        let mut looks = interval(LOOK_EVERY);
        let ends = length.map(|length| self.begun + length);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(arrived) = self.events.recv() => self.show_alarm(&arrived)?,
                _ = looks.tick() => {
                    let now = Instant::now();
                    if ends.is_some_and(|ends| now >= ends) {
                        return Ok(());
                    }
                    self.look(now).await?;
                }
            }
        }
    }

    fn show_alarm(&mut self, arrived: &Arrived) -> Result<(), DemoError> {
        if self.tally.take(arrived, &self.sampled, &self.outage) {
            self.screen.say(&line(&arrived.0, self.screen.paint()))?;
        }
        Ok(())
    }

    async fn look(&mut self, now: Instant) -> Result<(), DemoError> {
        if let Some(step) = self.outage.due(now) {
            self.take_step(&step)?;
        }
        let audit = self.audit().await?;
        if self.outage.is_draining() && drained(&audit, &self.marks) {
            self.outage.drained(now);
            let seconds = self.outage.drain_seconds().unwrap_or_default();
            self.screen.say(&format!("The backlog has arrived, {seconds:.1} s after the link came back."))?;
        }
        let status = Status {
            totals: audit.totals,
            rate_per_second: self.rate.update(now, audit.totals.stored),
            alarms_active: self.tally.active(),
            link_cut: self.outage.is_cut(),
        };
        self.screen.status(&status, now)?;
        Ok(())
    }

    fn take_step(&mut self, step: &Step) -> Result<(), DemoError> {
        match step {
            Step::Cut => {
                self.system.cut();
                self.screen.say("The gateways' link is cut; readings wait in their queues.")?;
            }
            Step::Restore => {
                self.marks = self.system.marks();
                self.system.restore();
                self.screen.say("The link is back.")?;
            }
        }
        Ok(())
    }

    async fn audit(&self) -> Result<Audit, DemoError> {
        Ok(self.client.get::<Audit>("/api/v1/audit", &[]).await?.body)
    }

    /// Delivers what is on its way, accounts for it, ends everything.
    pub async fn finish(mut self) -> Result<Report, DemoError> {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.screen.end_line()?;
        self.screen.say("Delivering what is on its way; Ctrl-C again ends at once.")?;
        if let Some(step) = self.outage.end_early(Instant::now()) {
            self.take_step(&step)?;
        }
        self.deliver().await?;
        let uplink_bytes = self.system.uplink_bytes();
        let agents = self.system.agent_statuses();
        let disk_bytes = disk_bytes(&agents).await?;
        self.system.finish_agents().await;
        let audit = self.settled_audit().await?;
        self.following.abort();
        while let Ok(arrived) = self.events.try_recv() {
            self.show_alarm(&arrived)?;
        }
        // Everybody was drained: there is nothing left to be patient with.
        let patience = Patience { grace: Duration::ZERO, strict: false };
        let (verdict, findings) = judge(&audit, None, i64::MAX, patience);
        self.screen.say(&format!("\n{}", render(&audit, verdict, &findings, self.screen.paint())))?;
        let totals = audit.totals;
        let report = Report {
            verdict,
            findings,
            seconds,
            measured: totals.measured,
            stored: totals.stored,
            lost_declared: totals.lost,
            outstanding: totals.outstanding,
            duplicates: totals.duplicates,
            conflicts: totals.conflicts,
            alarms_raised: self.tally.raised,
            alarms_cleared: self.tally.cleared,
            alarm_latency_ms: self.tally.latencies.percentiles(),
            alarm_latency_of: "from a board's sample to the provisional event at an HTTP event stream, link up",
            wire_bytes_per_reading: per_reading(uplink_bytes, totals.stored),
            agent_disk_bytes_per_reading: per_reading(disk_bytes, totals.stored),
            outage_seconds: self.outage.seconds(),
            backlog_drain_seconds: self.outage.drain_seconds(),
        };
        self.system.stop().await;
        Ok(report)
    }

    /// Ends the boards once they have delivered, and keeps an eye on the backlog meanwhile.
    async fn deliver(&mut self) -> Result<(), DemoError> {
        self.system.finish_boards().await;
        let deadline = Instant::now() + SETTLING;
        while self.outage.is_draining() && Instant::now() < deadline {
            self.look(Instant::now()).await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn settled_audit(&self) -> Result<Audit, DemoError> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let audit = self.audit().await?;
            let patience = Patience { grace: Duration::ZERO, strict: false };
            if judge(&audit, None, i64::MAX, patience).0 == Verdict::Complete || Instant::now() >= deadline {
                return Ok(audit);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn disk_bytes(agents: &[SocketAddr]) -> Result<u64, DemoError> {
    let mut sum = 0;
    for agent in agents {
        let status = Client::new(&format!("http://{agent}"), &crate::client::Trust::default())?
            .get::<AgentStatus>("/status", &[])
            .await?;
        sum += status.body.disk_bytes_written.blocks;
    }
    Ok(sum)
}
