//! The demo's live line: readings measured, stored and on their way, the rate, active alarms.
//!
//! On a terminal it is one line that is written over, with alarms above it. Elsewhere it is a line every
//! [`EVERY_ELSEWHERE`].

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{
    commands::audit::ledger::Totals,
    paint::{Paint, Style},
};

const EVERY_ELSEWHERE: Duration = Duration::from_secs(5);
const ERASE_LINE: &str = "\r\x1b[K";

/// What the line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub totals: Totals,
    pub rate_per_second: f64,
    pub alarms_active: usize,
    pub link_cut: bool,
}

impl Status {
    fn text(&self) -> String {
        let Totals { measured, stored, lost, outstanding, .. } = self.totals;
        let alarms = if self.alarms_active == 1 { "alarm" } else { "alarms" };
        let lost = if lost > 0 { format!(" · {lost} declared lost") } else { String::new() };
        let link = if self.link_cut { " · link cut" } else { "" };
        format!(
            "{measured} measured · {stored} stored · {outstanding} on their way{lost} · {:.0}/s · {} {alarms} active{link}",
            self.rate_per_second, self.alarms_active
        )
    }

    fn style(&self) -> Style {
        if self.link_cut { Style::Yellow } else { Style::Dim }
    }
}

/// Where the demo speaks to people. Silent when only JSON was asked for.
pub struct Screen {
    silent: bool,
    terminal: bool,
    paint: Paint,
    line: Option<String>,
    last_elsewhere: Option<Instant>,
}

impl Screen {
    pub fn new(silent: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { silent, terminal, paint: Paint::for_stdout(), line: None, last_elsewhere: None }
    }

    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Prints text that stays, above the live line.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match &self.line {
            Some(line) => write!(out, "{ERASE_LINE}{text}\n{line}")?,
            None => writeln!(out, "{text}")?,
        }
        out.flush()
    }

    /// Renews the live line.
    pub fn status(&mut self, status: &Status, now: Instant) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let text = status.text();
        if !self.terminal {
            let due = self.last_elsewhere.is_none_or(|last| now.duration_since(last) >= EVERY_ELSEWHERE);
            if due {
                self.last_elsewhere = Some(now);
                self.say(&text)?;
            }
            return Ok(());
        }
        let line = self.paint.apply(status.style(), &text);
        let mut out = io::stdout().lock();
        write!(out, "{ERASE_LINE}{line}")?;
        self.line = Some(line);
        out.flush()
    }

    /// Ends the live line, so that what follows starts on a fresh one.
    pub fn end_line(&mut self) -> io::Result<()> {
        if self.line.take().is_some() {
            let mut out = io::stdout().lock();
            write!(out, "{ERASE_LINE}")?;
            out.flush()?;
        }
        Ok(())
    }
}

/// Readings per second, smoothed: they are stored in bursts.
#[derive(Debug, Default)]
pub struct Rate {
    last: Option<(Instant, u64)>,
    smoothed: f64,
}

impl Rate {
    /// After this long, two thirds of the figure are new.
    const MEMORY_S: f64 = 2.0;

    pub fn update(&mut self, now: Instant, stored: u64) -> f64 {
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            if seconds > 0.0 {
                let rate = stored.saturating_sub(before) as f64 / seconds;
                let weight = 1.0 - (-seconds / Self::MEMORY_S).exp();
                self.smoothed += weight * (rate - self.smoothed);
            }
        }
        self.last = Some((now, stored));
        self.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_the_readings_are() {
        let totals = Totals { measured: 120, stored: 100, outstanding: 20, ..Default::default() };
        let mut status = Status { totals, rate_per_second: 49.6, alarms_active: 1, link_cut: false };
        assert_eq!(status.text(), "120 measured · 100 stored · 20 on their way · 50/s · 1 alarm active");
        status.totals.lost = 3;
        status.link_cut = true;
        assert!(status.text().contains(" · 3 declared lost · ") && status.text().ends_with(" · link cut"));
    }

    #[test]
    fn the_rate_settles_on_a_steady_flow() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let last = (0..60).map(|s| rate.update(start + Duration::from_secs(s), s * 50)).last();
        assert!(last.is_some_and(|rate| (rate - 50.0).abs() < 0.1), "{last:?}");
    }
}
