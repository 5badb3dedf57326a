//! Alarms as they stand, one in full, their settled history, and the log of what operators did with them.

use axum::{
    Json,
    extract::{Path, State},
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use tidegate_alarms::{AlarmKind, AlarmState, Glob, Priority, RuleId};

use super::{Answer, ApiState, parameters::Parameters, problem::Problem};
use crate::{
    core::lifecycle::AlarmKey,
    events::{
        AlarmLogPage, AlarmNames, AlarmSelection, AlarmsView, HistorySelection, HistoryView, LogSelection,
        MAX_ALARMS_PAGE, States, mark_from_text,
    },
};

/// How many alarms an answer has when nothing is said.
const ALARMS_PAGE: usize = 1_000;
/// How many patterns or names a parameter lists at most.
const MAX_LISTED: usize = 16;

const SELECTS: [&str; 6] = ["site", "device", "channel", "rule", "limit", "after"];
const SELECTS_ALARMS: [&str; 10] =
    ["site", "device", "channel", "rule", "limit", "after", "state", "priority", "kind", "unacknowledged"];

pub type AlarmPath = Path<(String, String, String, String)>;

pub async fn now(State(api): ApiState, uri: Uri) -> Answer<AlarmsView> {
    let given = Parameters::read(&uri, &SELECTS_ALARMS)?;
    let selection = AlarmSelection {
        names: names(&given)?,
        states: states(&given)?,
        priorities: priorities(&given)?,
        kinds: kinds(&given)?,
        unacknowledged: given.flag("unacknowledged")?.unwrap_or(false),
        limit: given.count("limit", ALARMS_PAGE, MAX_ALARMS_PAGE)?,
        after: after(&given, mark_from_text)?,
    };
    api.ask(move |source| source.alarms(&selection)).await.map(Json)
}

/// Its `ETag` is the id of its newest event.
pub async fn one(State(api): ApiState, Path(path): AlarmPath, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let key = key(&path)?;
    let alarm = api.ask(move |source| source.alarm(&key)).await?;
    let tag = format!("\"{}\"", alarm.newest);
    Ok(([(header::ETAG, tag)], Json(alarm)).into_response())
}

pub async fn history(State(api): ApiState, uri: Uri) -> Answer<HistoryView> {
    let given = Parameters::read(&uri, &SELECTS)?;
    let selection = HistorySelection {
        names: names(&given)?,
        limit: given.count("limit", ALARMS_PAGE, MAX_ALARMS_PAGE)?,
        after: after(&given, mark_from_text)?,
    };
    api.ask(move |source| source.alarm_history(&selection)).await.map(Json)
}

pub async fn log(State(api): ApiState, uri: Uri) -> Answer<AlarmLogPage> {
    let given = Parameters::read(&uri, &SELECTS)?;
    let selection = LogSelection {
        names: names(&given)?,
        limit: given.count("limit", ALARMS_PAGE, MAX_ALARMS_PAGE)?,
        after: after(&given, |text| text.parse().ok())?,
    };
    api.ask(move |source| source.alarm_log(&selection)).await.map(Json)
}

pub fn key((site, device, channel, rule): &(String, String, String, String)) -> Result<AlarmKey, Problem> {
    let wrong = |name, error| Problem::parameter(name, format!("{name}: {error}"));
    if rule.is_empty() || !rule.chars().all(is_of_a_name) {
        return Err(Problem::parameter("rule", format!("rule: {rule:?} is not a rule's name")));
    }
    Ok(AlarmKey {
        site: site.parse().map_err(|error| wrong("site", error))?,
        device: device.parse().map_err(|error| wrong("device", error))?,
        channel: channel.parse().map_err(|error| wrong("channel", error))?,
        rule: RuleId::new(rule),
    })
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
}

pub fn names(given: &Parameters) -> Result<AlarmNames, Problem> {
    Ok(AlarmNames {
        site: glob(given, "site")?,
        device: glob(given, "device")?,
        channel: glob(given, "channel")?,
        rule: glob(given, "rule")?,
    })
}

pub fn glob(given: &Parameters, name: &'static str) -> Result<Option<Glob>, Problem> {
    let Some(text) = given.text(name) else { return Ok(None) };
    if text.chars().all(|c| is_of_a_name(c) || matches!(c, '*' | '?')) {
        return Ok(Some(Glob::new(text)));
    }
    let detail = format!(
        "{name}: {text:?} selects nothing: use a-z, 0-9, -, and in channels _ and ., with * and ? as wildcards"
    );
    Err(Problem::parameter(name, detail))
}

fn after<T>(given: &Parameters, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(text) = given.text("after") else { return Ok(None) };
    let says = "after: this is no `next` that was given out; start again without one";
    read(text).map(Some).ok_or_else(|| Problem::parameter("after", says.to_owned()))
}

fn states(given: &Parameters) -> Result<States, Problem> {
    match given.text("state") {
        None | Some("active") => Ok(States::Active),
        Some("all") => Ok(States::All),
        Some("standing") => Ok(States::Standing),
        Some(list) => {
            let named = |name: &str| AlarmState::ALL.into_iter().find(|state| state.name() == name);
            let known = || AlarmState::ALL.map(AlarmState::name).join(", ");
            listed("state", list, named, || format!("active, standing, all, or some of {}", known()))
                .map(States::These)
        }
    }
}

fn priorities(given: &Parameters) -> Result<Vec<Priority>, Problem> {
    let Some(list) = given.text("priority") else { return Ok(Vec::new()) };
    let named = |name: &str| Priority::ALL.into_iter().find(|priority| priority.name() == name);
    listed("priority", list, named, || format!("some of {}", Priority::ALL.map(Priority::name).join(", ")))
}

fn kinds(given: &Parameters) -> Result<Vec<AlarmKind>, Problem> {
    let Some(list) = given.text("kind") else { return Ok(Vec::new()) };
    let named = |name: &str| AlarmKind::ALL.into_iter().find(|kind| kind.name() == name);
    listed("kind", list, named, || format!("some of {}", AlarmKind::ALL.map(AlarmKind::name).join(", ")))
}

fn listed<T>(
    parameter: &'static str,
    list: &str,
    named: impl Fn(&str) -> Option<T>,
    known: impl Fn() -> String,
) -> Result<Vec<T>, Problem> {
    let names = list.split(',').map(str::trim).take(MAX_LISTED);
    let read = |name: &str| {
        let wrong = || format!("{parameter}: {name:?} is none; give {}, with commas between", known());
        named(name).ok_or_else(|| Problem::parameter(parameter, wrong()))
    };
    names.map(read).collect()
}
