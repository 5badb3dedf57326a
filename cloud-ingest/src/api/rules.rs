//! The rules. All of them are one resource; its `ETag` is their edition. They are changed as a whole.

use std::path::Path as FilePath;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_service::settings;

use super::{
    Answer, ApiState,
    if_match::expected,
    operations::{MAX_REASON_CHARS, one_line},
    parameters::Parameters,
    problem::Problem,
};
use crate::{
    door::Caller,
    rules::{RulesLogView, RulesRequest},
};

/// Lines of the log in one answer, unless asked otherwise, and at most.
const LOG_LINES: usize = 100;
const MOST_LOG_LINES: usize = 1_000;

pub async fn list(State(api): ApiState, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    api.ask(|source| source.rules()).await.map(|view| tagged(view.edition, view))
}

pub async fn show(State(api): ApiState, Path(rule): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let (view, edition) = api.ask(move |source| source.rule(&rule)).await?;
    Ok(tagged(edition, view))
}

pub async fn log(State(api): ApiState, uri: Uri) -> Answer<RulesLogView> {
    let limit = Parameters::read(&uri, &["limit"])?.count("limit", LOG_LINES, MOST_LOG_LINES)?;
    api.ask(move |source| source.rules_log(limit)).await.map(Json)
}

pub async fn put(
    State(api): ApiState,
    uri: Uri,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["operator", "reason", "dry_run"])?;
    let text = |name| parameters.text(name).unwrap_or_default();
    let dry_run = parameters.flag("dry_run")?.unwrap_or(false);
    let operator = caller.operator(parameters.text("operator"))?;
    let reason = one_line("reason", text("reason"), MAX_REASON_CHARS)?;
    let expected = expected(&headers)?;
    let rules = rules_in(&headers, &body)?;
    let request = RulesRequest { rules, operator, reason, expected, dry_run };
    api.ask(move |source| source.put_rules(&request)).await.map(|view| tagged(view.edition, view))
}

fn tagged(edition: u64, view: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{edition}\""))], Json(view)).into_response()
}

/// Something that is wrong with rules: where, what, and what to do about it.
#[derive(Serialize)]
struct Wrong {
    /// The key's path, `rule[2].select.device`; empty where it is the whole.
    key: String,
    /// In TOML that cannot be read.
    line: Option<usize>,
    /// Which rule.
    rule: Option<String>,
    problem: String,
    remedy: String,
}

fn rules_in(headers: &HeaderMap, body: &[u8]) -> Result<RuleSet, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let read = match kind.split(';').next().unwrap_or_default().trim() {
        "application/toml" => toml(body),
        "application/json" => serde_json::from_slice(body).map_err(|error| whole(&error)),
        _ => {
            let detail = "send the whole rules file as application/toml, or the same as application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail.to_owned()));
        }
    };
    let rules: RulesSettings = read.map_err(|wrong| refused(vec![wrong]))?;
    RuleSet::from_settings(rules).map_err(|errors| {
        let each = errors.iter().map(|error| Wrong {
            key: error.key_path(),
            line: None,
            rule: Some(error.id.clone()).filter(|id| !id.is_empty()),
            problem: error.problem.to_string(),
            remedy: error.problem.remedy(),
        });
        refused(each.collect())
    })
}

fn toml(body: &[u8]) -> Result<RulesSettings, Wrong> {
    let text = std::str::from_utf8(body).map_err(|error| whole(&error))?;
    // There is no such file: its name is for messages, which are taken apart here.
    settings::parse(FilePath::new("rules"), text).map_err(|error| Wrong {
        key: error.key().to_owned(),
        line: error.line(),
        rule: None,
        problem: error.problem().to_owned(),
        remedy: error.remedy().to_owned(),
    })
}

fn whole(error: &dyn std::error::Error) -> Wrong {
    let remedy = "docs/rules.md has every key".to_owned();
    Wrong { key: String::new(), line: None, rule: None, problem: error.to_string(), remedy }
}

fn refused(all: Vec<Wrong>) -> Problem {
    let first = all.first().map(|Wrong { key, problem, remedy, .. }| {
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        format!("{key}{problem}; {remedy}")
    });
    let more = match all.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more in problems)"),
    };
    let detail = format!("the rules are wrong, and were not changed: {}{more}", first.unwrap_or_default());
    Problem::new(StatusCode::BAD_REQUEST, detail).with("problems", json!(all))
}
