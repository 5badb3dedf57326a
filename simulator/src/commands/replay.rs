//! `tidegate-sim replay`: a recording as one board.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::anyhow;
use jiff::tz::TimeZone;
use tidegate_protocol::{BootId, DeviceId, id::ChannelName, unit};
use tidegate_service::{Shutdown, exit::Exit};
use tidegate_simulator::{
    BoardHandle, BoardPlan, BoardStatus, BootPlan, Pace, Recorded, Recording, Script, VirtualBoard,
    recording::ReadOptions,
};

use super::{
    Failure, address, duration,
    progress::{EVERY, Progress},
    stopped_or_after,
};

#[derive(clap::Args)]
pub struct Options {
    /// A CSV file with the columns timestamp and value
    file: PathBuf,
    /// The agent's board link
    #[arg(long, default_value = "127.0.0.1:7780", value_parser = address, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The board's name
    #[arg(long, default_value = "replay")]
    device: DeviceId,
    /// The channel's name
    #[arg(long, default_value = "value")]
    channel: ChannelName,
    /// The channel's unit (SenML: Cel, %RH, m/s2 …)
    #[arg(long, default_value = "")]
    unit: String,
    /// How many times as fast as recorded, or max
    #[arg(long, default_value = "1")]
    speed: Pace,
    /// Where times without an offset were taken, as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// Refuse the file for one bad row
    #[arg(long)]
    strict: bool,
    /// The boot id, 16 hexadecimal digits, for tests; never use one twice
    #[arg(long)]
    boot: Option<BootId>,
    /// What the board can hold
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    ring_bytes: usize,
    /// Give up when nothing was acknowledged for so long
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    patience: Duration,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(options: Options) -> Result<Exit, Failure> {
    let recording = Arc::new(read(&options)?);
    let script = Script::Recording(Recorded {
        recording: Arc::clone(&recording),
        channel: options.channel,
        unit: options.unit.clone(),
        pace: options.speed,
    });
    let plan = BoardPlan {
        tag: options
            .file
            .file_name()
            .map(|name| name.to_string_lossy().chars().take(32).collect())
            .unwrap_or_default(),
        boot: options.boot.map_or(BootPlan::Random, BootPlan::Fixed),
        ring_bytes: options.ring_bytes,
        ..BoardPlan::new(options.device, script)
    };
    let shutdown = Shutdown::new();
    let board = VirtualBoard::spawn(plan, options.connect, shutdown).map_err(Failure::usage)?;
    let status = watch(&board, &options, recording.rows().len() as u64).await;
    board.stop().await;
    summary(&options, &recording, &status);
    let complete = status.done && status.settled == status.measured;
    Ok(if complete { Exit::Ok } else { Exit::Failed })
}

fn read(options: &Options) -> Result<Recording, Failure> {
    let timezone = TimeZone::get(&options.timezone).map_err(|_| {
        Failure::usage(anyhow!(
            "--timezone {}: no such time zone; write it as Europe/Berlin",
            options.timezone
        ))
    })?;
    if options.unit.len() > unit::MAX_UNIT {
        return Err(Failure::usage(anyhow!(
            "--unit {}: a unit has at most {} bytes",
            options.unit,
            unit::MAX_UNIT
        )));
    }
    if !unit::is_known(&options.unit) {
        tracing::warn!(unit = options.unit, "the unit is not one of SenML's; it is sent as it is");
    }
    let read = ReadOptions { timezone, strict: options.strict };
    let recording = Recording::read_with(&options.file, &read).map_err(Failure::usage)?;
    if let (left_out, Some((line, problem))) = recording.left_out() {
        let file = options.file.display();
        eprintln!("{file}: {left_out} rows left out, the first in line {line}: {problem}");
    }
    Ok(recording)
}

/// Shows the progress until all is acknowledged, nothing moves any more, or the process is asked to stop.
async fn watch(board: &BoardHandle, options: &Options, rows: u64) -> BoardStatus {
    let mut progress = Progress::start();
    let end = stopped_or_after(None);
    tokio::pin!(end);
    let (mut settled, mut moved) = (0, tokio::time::Instant::now());
    let status = loop {
        let status = board.status();
        if status.done && status.settled == status.measured {
            break status;
        }
        if status.settled > settled || status.measured == status.settled {
            (settled, moved) = (status.settled, tokio::time::Instant::now());
        }
        if moved.elapsed() >= options.patience {
            break status;
        }
        let rate = progress.rate(status.measured);
        let waiting = if status.welcomed { "" } else { " · waiting for the agent" };
        progress.show(format!(
            "{} of {rows} rows measured · {} acknowledged · {rate:.0} readings/s{waiting}",
            status.measured, status.acknowledged
        ));
        tokio::select! {
            () = &mut end => break board.status(),
            _ = tokio::time::timeout(EVERY, board.wait_until(|status| status.done && status.settled == status.measured)) => {}
        }
    };
    progress.end();
    status
}

fn summary(options: &Options, recording: &Recording, status: &BoardStatus) {
    let (rows, flagged) = (recording.rows().len(), recording.flagged());
    let (left_out, _) = recording.left_out();
    let BoardStatus { boot, measured, acknowledged, lost, settled, .. } = *status;
    let boot = boot.map(|boot| boot.to_string());
    if options.json {
        let object = serde_json::json!({
            "device": options.device,
            "boot": boot,
            "rows": rows,
            "rows_flagged": flagged,
            "rows_left_out": left_out,
            "start_unix_ms": recording.start_unix_ms(),
            "measured": measured,
            "acknowledged": acknowledged,
            "lost_declared": lost,
            "unsettled": measured - settled,
        });
        println!("{object}");
        return;
    }
    println!(
        "{} (boot {}): {measured} of {rows} rows measured ({flagged} with a repeated or backward time), \
         {acknowledged} acknowledged, {lost} lost and declared",
        options.device,
        boot.as_deref().unwrap_or("none yet"),
    );
    if settled < measured {
        println!(
            "{} readings were not acknowledged: is an agent listening on {}?",
            measured - settled,
            options.connect
        );
    }
}
