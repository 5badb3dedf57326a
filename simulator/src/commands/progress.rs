//! One live line on a terminal; elsewhere a log line now and then.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line is renewed.
pub const EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    bar: Option<ProgressBar>,
    logged: Instant,
    before: (Instant, u64),
    rate: f64,
}

impl Progress {
    pub fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = ProgressBar::new_spinner();
            style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        let now = Instant::now();
        Self { bar, logged: now, before: (now, 0), rate: 0.0 }
    }

    /// Readings a second, smoothed, from a count that only grows.
    pub fn rate(&mut self, count: u64) -> f64 {
        let (then, before) = self.before;
        let elapsed = then.elapsed().as_secs_f64();
        if elapsed >= 0.5 {
            let now = count.saturating_sub(before) as f64 / elapsed;
            self.rate = if self.rate == 0.0 { now } else { self.rate * 0.5 + now * 0.5 };
            self.before = (Instant::now(), count);
        }
        self.rate
    }

    pub fn show(&mut self, line: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None if self.logged.elapsed() >= LOG_EVERY => {
                self.logged = Instant::now();
                tracing::info!("{line}");
            }
            None => {}
        }
    }

    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
