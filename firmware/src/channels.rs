//! What each channel measures, how often, and which of its samples are worth a reading.

use core::ops::RangeInclusive;

use tidegate_protocol::{
    ChannelDecl, Quality, Tick, Value, ValueKind,
    frame::{Deadband, Settings, SettingsCode, SettingsResult},
    id::ChannelIndex,
};

use crate::log;

/// How a channel is sampled and reported.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sampling {
    pub enabled: bool,
    /// 0: the channel is not polled; its samples come when something happens (a door, a pulse).
    pub period_ms: u32,
    /// Which changes are too small to be reported. None reports every sample.
    pub report_deadband: Option<Deadband>,
    /// Report at least this often whatever the deadband, 0 for no such limit.
    pub max_silence_ms: u32,
}

impl Sampling {
    /// Sampled each `period_ms`, every sample reported.
    pub const fn every(period_ms: u32) -> Self {
        Self { enabled: true, period_ms, report_deadband: None, max_silence_ms: 0 }
    }

    /// Sampled when something happens, every sample reported.
    pub const fn on_event() -> Self {
        Self::every(0)
    }
}

/// Why a value is not a sample of its channel. Each is a mistake in the firmware, not an event of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SampleError {
    #[error("channel {0} was not declared")]
    UnknownChannel(u8),
    #[error("the value's kind or scale is not the one declared for channel {0}")]
    WrongKind(u8),
}

/// What is to be done with a sample.
pub(crate) enum Verdict {
    Report,
    HoldBack,
    Off,
}

#[derive(Clone, Copy, Debug)]
struct State {
    sampling: Sampling,
    due: Tick,
    reported: Option<(Value, Quality, Tick)>,
    answer: Option<(u32, SettingsCode)>,
    /// The revision of settings that are in no flash yet.
    #[cfg(feature = "flash-queue")]
    unsaved: Option<u32>,
}

const START: State = State {
    sampling: Sampling::on_event(),
    due: Tick(0),
    reported: None,
    answer: None,
    #[cfg(feature = "flash-queue")]
    unsaved: None,
};

impl State {
    /// Takes settings where they are possible.
    fn take(
        &mut self,
        declared: &ChannelDecl<&str>,
        settings: &Settings,
        periods_ms: &RangeInclusive<u32>,
        now: Tick,
    ) -> SettingsCode {
        let &Settings { enabled, period_ms, report_deadband, max_silence_ms, .. } = settings;
        let polled = self.sampling.period_ms > 0;
        if polled != (period_ms > 0) || polled && !periods_ms.contains(&period_ms) {
            return SettingsCode::BadPeriod;
        }
        if report_deadband.is_some_and(|deadband| !deadband_fits(deadband, declared)) {
            return SettingsCode::BadDeadband;
        }
        self.sampling = Sampling { enabled, period_ms, report_deadband, max_silence_ms };
        // A long period that is made short must not wait for its old end.
        self.due = self.due.min(Tick(now.0.saturating_add(u64::from(period_ms))));
        SettingsCode::Applied
    }
}

/// At most `N` channels; the declarations stay with the caller.
#[derive(Debug)]
pub(crate) struct Channels<'a, const N: usize> {
    declared: &'a [ChannelDecl<&'a str>],
    states: [State; N],
    /// The answer to settings for a channel that does not exist; one at a time, the latest counts.
    refused: Option<(u8, u32)>,
}

impl<'a, const N: usize> Channels<'a, N> {
    /// None when more than `N` are declared.
    pub(crate) fn new(declared: &'a [ChannelDecl<&'a str>]) -> Option<Self> {
        (declared.len() <= N).then_some(Self { declared, states: [START; N], refused: None })
    }

    pub(crate) fn declared(&self) -> &'a [ChannelDecl<&'a str>] {
        self.declared
    }

    fn state(&mut self, channel: ChannelIndex) -> Option<(&ChannelDecl<&'a str>, &mut State)> {
        let at = usize::from(channel.0);
        self.declared.get(at).zip(self.states.get_mut(at))
    }

    pub(crate) fn sampling(&self, channel: ChannelIndex) -> Option<&Sampling> {
        let at = usize::from(channel.0);
        self.declared.get(at)?;
        self.states.get(at).map(|state| &state.sampling)
    }

    /// The firmware's own choice, before any settings came.
    pub(crate) fn set_sampling(
        &mut self,
        channel: ChannelIndex,
        sampling: Sampling,
    ) -> Result<(), SampleError> {
        let (declared, state) = self.state(channel).ok_or(SampleError::UnknownChannel(channel.0))?;
        if sampling.report_deadband.is_some_and(|deadband| !deadband_fits(deadband, declared)) {
            return Err(SampleError::WrongKind(channel.0));
        }
        state.sampling = sampling;
        Ok(())
    }

    /// A channel whose time has come. Its next time is counted from now when a period was missed: no bursts.
    pub(crate) fn due(&mut self, now: Tick) -> Option<ChannelIndex> {
        let count = self.declared.len();
        let states = self.states.iter_mut().take(count).zip(0_u8..);
        for (state, index) in states {
            let period = u64::from(state.sampling.period_ms);
            if !state.sampling.enabled || period == 0 || state.due > now {
                continue;
            }
            let next = state.due.0.saturating_add(period);
            state.due = Tick(if next > now.0 { next } else { now.0.saturating_add(period) });
            return Some(ChannelIndex(index));
        }
        None
    }

    pub(crate) fn next_due(&self) -> Option<Tick> {
        let states = self.states.iter().take(self.declared.len());
        states
            .filter(|state| state.sampling.enabled && state.sampling.period_ms > 0)
            .map(|state| state.due)
            .min()
    }

    pub(crate) fn judge(
        &mut self,
        channel: ChannelIndex,
        value: Value,
        quality: Quality,
        tick: Tick,
        whatever_changed: bool,
    ) -> Result<Verdict, SampleError> {
        let (declared, state) = self.state(channel).ok_or(SampleError::UnknownChannel(channel.0))?;
        if !kind_fits(value, declared) {
            return Err(SampleError::WrongKind(channel.0));
        }
        if !state.sampling.enabled {
            return Ok(Verdict::Off);
        }
        let silence_ms = u64::from(state.sampling.max_silence_ms);
        if let (Some(deadband), Some((last, last_quality, last_tick))) =
            (state.sampling.report_deadband, state.reported)
            && !whatever_changed
            && quality == last_quality
            && (silence_ms == 0 || tick.0.saturating_sub(last_tick.0) < silence_ms)
            && smaller_change(last, value, deadband)
        {
            return Ok(Verdict::HoldBack);
        }
        state.reported = Some((value, quality, tick));
        Ok(Verdict::Report)
    }

    /// Takes settings where they are possible, and remembers the answer until it is sent.
    pub(crate) fn apply(&mut self, settings: &Settings, periods_ms: &RangeInclusive<u32>, now: Tick) {
        let channel = ChannelIndex(settings.channel);
        let Some((declared, state)) = self.state(channel) else {
            self.refused = Some((settings.channel, settings.revision));
            log::warn!("settings {} are for channel {}, which there is not", settings.revision, channel);
            return;
        };
        let code = state.take(declared, settings, periods_ms, now);
        #[cfg(feature = "flash-queue")]
        if code == SettingsCode::Applied {
            state.unsaved = Some(settings.revision);
        }
        state.answer = Some((settings.revision, code));
        log::info!("settings {} for channel {}: {}", settings.revision, channel, code);
    }

    #[cfg(feature = "flash-queue")]
    pub(crate) fn unsaved(&self) -> Option<Settings> {
        let mut states = self.states.iter().zip(0_u8..);
        states.find_map(|(state, channel)| {
            let Sampling { enabled, period_ms, report_deadband, max_silence_ms } = state.sampling;
            state.unsaved.map(|revision| Settings {
                revision,
                channel,
                enabled,
                period_ms,
                report_deadband,
                max_silence_ms,
            })
        })
    }

    #[cfg(feature = "flash-queue")]
    pub(crate) fn saved(&mut self, settings: &Settings) {
        if let Some((_, state)) = self.state(ChannelIndex(settings.channel))
            && state.unsaved == Some(settings.revision)
        {
            state.unsaved = None;
        }
    }

    /// Takes settings of an earlier run; whether they are possible still.
    #[cfg(feature = "flash-queue")]
    pub(crate) fn restore(&mut self, settings: &Settings, periods_ms: &RangeInclusive<u32>) -> bool {
        let state = self.state(ChannelIndex(settings.channel));
        state.is_some_and(|(declared, state)| {
            state.take(declared, settings, periods_ms, Tick(0)) == SettingsCode::Applied
        })
    }

    /// The answer to send next; [`Self::answered`] forgets it.
    pub(crate) fn answer(&self) -> Option<SettingsResult> {
        if let Some((channel, revision)) = self.refused {
            return Some(SettingsResult { channel, revision, code: SettingsCode::UnknownChannel });
        }
        let mut states = self.states.iter().zip(0_u8..);
        states.find_map(|(state, channel)| {
            state.answer.map(|(revision, code)| SettingsResult { channel, revision, code })
        })
    }

    pub(crate) fn answered(&mut self, result: &SettingsResult) {
        if result.code == SettingsCode::UnknownChannel {
            self.refused = None;
        } else if let Some(state) = self.states.get_mut(usize::from(result.channel)) {
            state.answer = None;
        }
    }
}

fn kind_fits(value: Value, declared: &ChannelDecl<&str>) -> bool {
    match value {
        Value::Bool(_) => declared.kind == ValueKind::Bool,
        Value::Decimal { scale, .. } => declared.kind == ValueKind::Decimal && scale == declared.scale,
        Value::F32(_) => declared.kind == ValueKind::F32,
        Value::F64(_) => declared.kind == ValueKind::F64,
    }
}

fn deadband_fits(deadband: Deadband, declared: &ChannelDecl<&str>) -> bool {
    let Deadband::Absolute(width) = deadband else { return declared.kind != ValueKind::Bool };
    let positive = match width {
        Value::Bool(_) => true,
        Value::Decimal { mantissa, .. } => mantissa >= 0,
        Value::F32(width) => width.is_finite() && !width.is_sign_negative(),
        Value::F64(width) => width.is_finite() && !width.is_sign_negative(),
    };
    positive && kind_fits(width, declared)
}

/// Whether `now` is nearer to `last` than the deadband. Integers stay integers: a Cortex-M0 has no floating point.
/// NaN is near to nothing, so it is always reported. A bool's deadband hides samples that say the same again.
fn smaller_change(last: Value, now: Value, deadband: Deadband) -> bool {
    match deadband {
        Deadband::Absolute(width) => nearer(last, now, width),
        Deadband::Percent { hundredths } => nearer_in_percent(last, now, hundredths),
    }
}

fn nearer(last: Value, now: Value, width: Value) -> bool {
    match (last, now, width) {
        (Value::Bool(last), Value::Bool(now), _) => last == now,
        (
            Value::Decimal { mantissa: last, .. },
            Value::Decimal { mantissa: now, .. },
            Value::Decimal { mantissa: width, .. },
        ) => last.abs_diff(now) < width.unsigned_abs(),
        (Value::F32(last), Value::F32(now), Value::F32(width)) => (last - now).abs() < width,
        (Value::F64(last), Value::F64(now), Value::F64(width)) => (last - now).abs() < width,
        _ => false,
    }
}

/// Products that outgrow their integers are equal, so the change is reported. A single-precision product is enough to tell small
/// from large, and what outgrows it is reported, too.
fn nearer_in_percent(last: Value, now: Value, hundredths: u16) -> bool {
    const WHOLE: u64 = 100 * 100;
    let in_floats = |last: f32, change: f32| {
        let width = last.abs() * (f32::from(hundredths) / WHOLE as f32);
        width.is_finite() && change.abs() < width
    };
    match (last, now) {
        (Value::Decimal { mantissa: last, .. }, Value::Decimal { mantissa: now, .. }) => {
            let (change, width) = (last.abs_diff(now), last.unsigned_abs());
            change.saturating_mul(WHOLE) < width.saturating_mul(u64::from(hundredths))
        }
        (Value::F32(last), Value::F32(now)) => in_floats(last, last - now),
        (Value::F64(last), Value::F64(now)) => in_floats(last as f32, (last - now) as f32),
        _ => false,
    }
}
