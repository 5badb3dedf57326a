//! `tidegate-sim fleet`: many boards until told to stop.

use std::{net::SocketAddr, time::Duration};

use tidegate_service::{Shutdown, exit::Exit};
use tidegate_simulator::{
    BootPlan, Fleet, FleetPlan, FleetStatus, fleet::overheat, plan::DEFAULT_RING_BYTES,
};

use super::{
    Failure, address, duration,
    progress::{EVERY, Progress},
    stopped_or_after,
};

#[derive(clap::Args)]
pub struct Options {
    /// The agent's board link
    #[arg(long, default_value = "127.0.0.1:7780", value_parser = address, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// How many boards
    #[arg(long, default_value_t = 10)]
    boards: u64,
    /// Readings a second of each board
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// What the signals are drawn from; boots are always new
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to measure; without it, until Ctrl-C
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    time: Option<Duration>,
    /// How long to wait at the end for what is not acknowledged
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    drain: Duration,
    /// Devices are named PREFIX-000, PREFIX-001 …
    #[arg(long, default_value = "sim")]
    prefix: String,
    /// What each board can hold
    #[arg(long, default_value_t = DEFAULT_RING_BYTES, value_name = "BYTES")]
    ring_bytes: usize,
    /// Let the agent give boot ids, as boards without a counter or entropy need
    #[arg(long)]
    boot_from_gateway: bool,
    /// No sensor misbehaves; without this, room thermometers overheat once a minute
    #[arg(long)]
    no_faults: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(options: Options) -> Result<Exit, Failure> {
    let plan = FleetPlan {
        boards: options.boards,
        rate: options.rate,
        seed: options.seed,
        prefix: options.prefix,
        ring_bytes: options.ring_bytes,
        boot: if options.boot_from_gateway { BootPlan::FromGateway } else { BootPlan::Random },
    };
    let shutdown = Shutdown::new();
    let mut plans = Fleet::plans(&plan).map_err(Failure::usage)?;
    if !options.no_faults {
        overheat(&mut plans);
    }
    let fleet = Fleet::spawn_plans(plans, options.connect, &shutdown).map_err(Failure::usage)?;
    let mut progress = Progress::start();
    let end = stopped_or_after(options.time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = tokio::time::sleep(EVERY) => {
                let status = fleet.status();
                let rate = progress.rate(status.measured);
                progress.show(line(&status, rate, options.connect));
            }
        }
    }
    fleet.stop_measuring();
    let status = drain(fleet, options.drain, &mut progress).await;
    progress.end();
    summary(&status, options.json);
    Ok(if status.settled == status.measured { Exit::Ok } else { Exit::Failed })
}

/// Waits for what is not settled, showing it; a second Ctrl-C ends the waiting.
async fn drain(fleet: Fleet, patience: Duration, progress: &mut Progress) -> FleetStatus {
    let end = stopped_or_after(Some(patience));
    tokio::pin!(end);
    loop {
        if fleet.is_settled() {
            break;
        }
        let status = fleet.status();
        progress.show(format!("draining: {} readings to be acknowledged", status.measured - status.settled));
        tokio::select! {
            () = &mut end => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    fleet.finish(Duration::ZERO).await
}

fn line(status: &FleetStatus, rate: f64, gateway: SocketAddr) -> String {
    let FleetStatus { boards, welcomed, measured, acknowledged, lost, settled } = *status;
    let waiting = if welcomed == boards { String::new() } else { format!(", waiting for {gateway}") };
    let held = measured - settled;
    format!(
        "{welcomed}/{boards} boards connected{waiting} · {rate:.0} readings/s · \
         measured {measured} · acknowledged {acknowledged} · held {held} · lost {lost}"
    )
}

fn summary(status: &FleetStatus, json: bool) {
    let FleetStatus { boards, measured, acknowledged, lost, settled, .. } = *status;
    let unsettled = measured - settled;
    if json {
        let object = serde_json::json!({
            "boards": boards,
            "measured": measured,
            "acknowledged": acknowledged,
            "lost_declared": lost,
            "unsettled": unsettled,
        });
        println!("{object}");
    } else {
        println!(
            "{boards} boards measured {measured} readings: {acknowledged} acknowledged, {lost} lost and declared"
        );
        if unsettled > 0 {
            println!("{unsettled} readings (or declarations of loss) were not acknowledged in time");
        }
    }
}
