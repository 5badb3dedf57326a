//! A line of a GPIO chip, by the kernel's character device (uAPI v2). It is held while the agent runs: when it is let go, the
//! chip's driver decides how it stands.

use std::{fmt, io, path::PathBuf};

use gpiocdev::{Request, line::Value};

use super::output::Output;

#[derive(Clone, Debug)]
pub struct Line {
    pub chip: PathBuf,
    pub offset: u32,
    pub active_low: bool,
}

/// However it is driven, it is one line.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        (&self.chip, self.offset) == (&other.chip, other.offset)
    }
}

impl Eq for Line {}

impl std::hash::Hash for Line {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.chip, self.offset).hash(state);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.offset, self.chip.display())
    }
}

impl Line {
    /// Why it cannot be driven on this machine as it is now, as far as can be said without taking it.
    pub fn trouble(&self) -> Option<String> {
        match std::fs::metadata(&self.chip) {
            Err(error) => Some(format!("{} cannot be looked at: {error}", self.chip.display())),
            Ok(_) => match gpiocdev::chip::is_chip(&self.chip) {
                Err(error) => Some(format!("{} is no GPIO chip: {error}", self.chip.display())),
                Ok(_) => None,
            },
        }
    }
}

/// Taken at the first time that it is set, and taken anew after an error.
pub struct GpioLine {
    line: Line,
    held: Option<Request>,
}

impl GpioLine {
    pub fn new(line: Line) -> Self {
        Self { line, held: None }
    }

    fn take(&self, value: Value) -> gpiocdev::Result<Request> {
        let mut builder = Request::builder();
        builder.on_chip(&self.line.chip).with_consumer("tidegate-agent").with_line(self.line.offset);
        if self.line.active_low {
            builder.as_active_low();
        }
        builder.as_output(value).request()
    }
}

impl Output for GpioLine {
    fn set(&mut self, on: bool) -> io::Result<()> {
        let value = if on { Value::Active } else { Value::Inactive };
        // Dropped if it fails: a chip that was unplugged and is back is another.
        let held = match self.held.take() {
            Some(held) => held.set_lone_value(value).map(|()| held),
            None => self.take(value),
        };
        self.held = Some(held.map_err(io::Error::other)?);
        Ok(())
    }
}
