//! `tidegate-sim blast`: how fast is what is behind the board link?

use std::net::SocketAddr;

use tidegate_service::exit::Exit;
use tidegate_simulator::{Blast, BlastPlan};

use super::{Failure, address};

#[derive(clap::Args)]
pub struct Options {
    /// The agent's board link
    #[arg(long, default_value = "127.0.0.1:7780", value_parser = address, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// How many devices, each on a connection of its own
    #[arg(long, default_value_t = 4)]
    devices: u64,
    /// How many readings of each device
    #[arg(long, default_value_t = 1_000_000)]
    readings: u64,
    /// How many readings of a device may be unacknowledged
    #[arg(long, default_value_t = 200_000)]
    window: u64,
    /// Devices are named PREFIX-000, PREFIX-001 …
    #[arg(long, default_value = "blast")]
    prefix: String,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(options: Options) -> Result<Exit, Failure> {
    let plan = BlastPlan {
        devices: options.devices,
        prefix: options.prefix,
        readings_per_device: options.readings,
        window_readings: options.window,
        seed: options.seed,
    };
    let blast = Blast::prepare(&plan).map_err(Failure::usage)?;
    let report = blast.run(options.connect).await.map_err(Failure::runtime)?;
    let (seconds, rate) = (report.elapsed.as_secs_f64(), report.readings_per_s());
    let frame_bytes = report.frame_bytes as f64 / report.readings.max(1) as f64;
    if options.json {
        let object = serde_json::json!({
            "readings": report.readings,
            "seconds": seconds,
            "readings_per_s": rate,
            "frame_bytes_per_reading": frame_bytes,
            "frames_resent": report.frames_resent,
        });
        println!("{object}");
    } else {
        println!(
            "{} readings acknowledged in {seconds:.2} s: {rate:.0} readings/s, {frame_bytes:.2} bytes a reading \
             on the board link, {} frames sent again",
            report.readings, report.frames_resent
        );
    }
    Ok(Exit::Ok)
}
