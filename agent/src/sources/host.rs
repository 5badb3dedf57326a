//! This computer's own figures, by the sysinfo crate: load, memory, disk, network, and temperatures where it has any.
//!
//! A polled source cannot resend, so its samples are committed at once unless configured otherwise. Its boot is random
//! and ends with the process; a clean stop says exactly how much was measured.

use std::time::Duration;

use sysinfo::{Components, CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};
use tidegate_protocol::{
    ChannelDecl, ChannelIndex, ChannelName, DeviceId, Origin, Quality, Tick, Value, ValueKind,
    block::Description,
};
use tidegate_service::Shutdown;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{clock::ShellClock, core::Event, random};

/// Temperatures beyond this many are left out: channels are few, and the first sensors are the interesting ones.
const MAX_TEMPERATURES: usize = 8;
const FIGURES: [(&str, &str); 8] = [
    ("cpu", "%"),
    ("load_1m", "/"),
    ("memory_used", "%"),
    ("memory_available", "B"),
    ("swap_used", "B"),
    ("disk_used", "%"),
    ("net_received", "B/s"),
    ("net_sent", "B/s"),
];

#[derive(Clone, Debug)]
pub struct HostSettings {
    pub device: DeviceId,
    pub interval: Duration,
    pub flush_interval_ms: u64,
}

/// Measures until stopped, then closes its boot.
pub async fn run(settings: HostSettings, clock: ShellClock, events: Sender<Event>, stop: Shutdown) {
    let Some(mut host) = tokio::task::spawn_blocking(Host::open).await.ok().flatten() else {
        return tracing::error!("this computer tells nothing about itself; the host source is off");
    };
    let origin = Origin::new(settings.device, random::boot());
    let description = host.description(origin);
    let opened = Event::LocalOpened { description, flush_interval_ms: settings.flush_interval_ms };
    if events.send(opened).await.is_err() {
        return;
    }
    let started = Instant::now();
    let mut ticks = interval(settings.interval);
    // A sample that is late is late; two at once would say nothing.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.wait() => break,
        }
        let (tick, taken) = (Tick(started.elapsed().as_millis() as u64), clock.at());
        // Reading /proc and statvfs may block on a bad disk.
        let Ok((measured, values)) = tokio::task::spawn_blocking(move || host.measure()).await else {
            return;
        };
        host = measured;
        if events.send(Event::LocalSample { origin, tick, taken, values }).await.is_err() {
            return;
        }
    }
    let _ending = events.send(Event::LocalClosed { origin }).await;
}

struct Host {
    system: System,
    disks: Option<Disks>,
    networks: Option<Networks>,
    components: Option<Components>,
    temperatures: usize,
    measured_at: Option<Instant>,
}

type Values = Vec<(ChannelIndex, Value, Quality)>;

impl Host {
    fn open() -> Option<Self> {
        let refreshes = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        let system = System::new_with_specifics(refreshes).ok()?;
        let components = Components::new_with_refreshed_list().ok();
        let known = |components: &Components| components.iter().filter(|c| c.temperature().is_some()).count();
        let temperatures = components.as_ref().map_or(0, known).min(MAX_TEMPERATURES);
        Some(Self {
            system,
            disks: Disks::new_with_refreshed_list().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            components,
            temperatures,
            measured_at: None,
        })
    }

    fn description(&self, origin: Origin) -> Description {
        let figures = FIGURES.iter().map(|(name, unit)| ((*name).to_owned(), *unit));
        let temperatures = (0..self.temperatures).map(|at| (format!("temperature_{at}"), "Cel"));
        let channels = figures.chain(temperatures).filter_map(|(name, unit)| {
            let name = ChannelName::new(&name).ok()?;
            Some(ChannelDecl { name, unit: unit.to_owned(), kind: ValueKind::F64, scale: 0 })
        });
        let version = System::long_os_version().unwrap_or_default();
        Description {
            origin,
            tag: System::host_name().unwrap_or_default(),
            firmware: version.chars().take(60).collect(),
            channels: channels.collect(),
        }
    }

    /// One sample of everything; what this computer does not say is a bad value, so that channels keep their places.
    fn measure(mut self) -> (Self, Values) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let seconds = self.measured_at.replace(Instant::now()).map(|before| before.elapsed().as_secs_f64());
        let memory = self.system.total_memory() as f64;
        let available = self.system.available_memory() as f64;
        let (received, sent) = self.network();
        let per_second = |bytes: Option<u64>| {
            let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
            bytes.map(|bytes| rounded(bytes as f64 / seconds, 1.0))
        };
        let figures = [
            Some(rounded(f64::from(self.system.global_cpu_usage()), 100.0)),
            System::load_average().ok().map(|load| rounded(load.one, 100.0)),
            (memory > 0.0).then(|| rounded(100.0 * (memory - available) / memory, 100.0)),
            Some(available),
            Some(self.system.used_swap() as f64),
            self.disk_used(),
            per_second(received),
            per_second(sent),
        ];
        let temperatures = self.temperatures();
        let all = figures.into_iter().chain(temperatures);
        let values = (0..=u8::MAX).zip(all).map(|(at, value)| {
            let quality = if value.is_some() { Quality::Good } else { Quality::Bad };
            (ChannelIndex(at), Value::F64(value.unwrap_or(f64::NAN)), quality)
        });
        let values = values.collect();
        (self, values)
    }

    /// Bytes since the last sample, over all interfaces.
    fn network(&mut self) -> (Option<u64>, Option<u64>) {
        let Some(networks) = &mut self.networks else { return (None, None) };
        networks.refresh(true);
        let sum = |each: fn(&sysinfo::NetworkData) -> u64| networks.values().map(each).sum();
        (Some(sum(sysinfo::NetworkData::received)), Some(sum(sysinfo::NetworkData::transmitted)))
    }

    /// The fullest disk's use, in percent.
    fn disk_used(&mut self) -> Option<f64> {
        let disks = self.disks.as_mut()?;
        disks.refresh(false);
        let used = disks.iter().filter(|disk| disk.total_space() > 0).map(|disk| {
            let total = disk.total_space() as f64;
            100.0 * (total - disk.available_space() as f64) / total
        });
        used.max_by(f64::total_cmp).map(|used| rounded(used, 100.0))
    }

    fn temperatures(&mut self) -> Vec<Option<f64>> {
        let mut found: Vec<Option<f64>> = Vec::new();
        if let Some(components) = &mut self.components {
            components.refresh(false);
            let known = components.iter().filter_map(sysinfo::Component::temperature);
            found.extend(known.map(|celsius| Some(rounded(f64::from(celsius), 10.0))));
        }
        found.resize(self.temperatures, None);
        found
    }
}

/// Fewer digits than a float has, since the sensor has no more either.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
