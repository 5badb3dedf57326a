//! The `[local_alarms]` section.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use tidegate_alarms::Glob;
use tidegate_service::SettingsError;

use super::Checked;
use crate::{
    local_actions::{ActionSettings, Line, OutputRule},
    settings::{LocalAlarmSettings, OutputSettings},
};

/// Each costs an open line and a look at every change.
const MAX_OUTPUTS: usize = 64;
/// No chip has as many lines.
const MAX_OFFSET: u64 = 65_535;

pub(super) fn local_alarms(
    check: &Checked<'_>,
    settings: LocalAlarmSettings,
    folder: &Path,
) -> Result<ActionSettings, SettingsError> {
    if settings.state_file.is_none() && settings.outputs.is_empty() {
        let remedy = "give a state_file, or add [[local_alarms.output]]";
        return Err(check.refuse("local_alarms", "nothing is to be done", remedy));
    }
    let state_file = settings.state_file.map(|path| folder.join(path));
    if let Some(path) = state_file.as_ref().filter(|path| !names_a_file(path)) {
        let problem = format_args!("\"{}\" names no file", path.display());
        return Err(check.refuse(
            "local_alarms.state_file",
            problem,
            "name one, such as \"/run/tidegate/alarms.json\"",
        ));
    }
    if settings.outputs.len() > MAX_OUTPUTS {
        let problem = format_args!("there are {} outputs", settings.outputs.len());
        let remedy = format_args!("keep at most {MAX_OUTPUTS}");
        return Err(check.refuse("local_alarms.output", problem, remedy));
    }
    let mut taken = HashSet::new();
    let mut outputs = Vec::new();
    for (at, settings) in settings.outputs.into_iter().enumerate() {
        let key = |name: &str| format!("local_alarms.output[{at}].{name}");
        let output = output(check, settings, &key)?;
        if !taken.insert(output.line.clone()) {
            let problem = format_args!("{} is used twice", output.line);
            return Err(check.refuse(&key("line"), problem, "give each output its own"));
        }
        outputs.push(output);
    }
    Ok(ActionSettings { state_file, outputs })
}

fn names_a_file(path: &Path) -> bool {
    matches!(path.components().next_back(), Some(Component::Normal(_)))
        && !path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn output(
    check: &Checked<'_>,
    settings: OutputSettings,
    key: &impl Fn(&str) -> String,
) -> Result<OutputRule, SettingsError> {
    let OutputSettings { line, min_priority, active_low, select, fail_safe } = settings;
    if !line.chip.is_absolute() {
        let problem = format_args!("\"{}\" is relative", line.chip.display());
        return Err(check.refuse(&key("line.chip"), problem, "write it in full, such as \"/dev/gpiochip0\""));
    }
    check.between(&key("line.offset"), u64::from(line.offset), 0, MAX_OFFSET)?;
    let pattern = |name: &str, text: &str| {
        let possible = |c: char| match name {
            "tag" => true,
            "channel" => c.is_ascii_lowercase() || c.is_ascii_digit() || "-*?_.".contains(c),
            _ => c.is_ascii_lowercase() || c.is_ascii_digit() || "-*?".contains(c),
        };
        if text.is_empty() && name != "tag" || !text.chars().all(possible) {
            let problem = format_args!("the pattern \"{text}\" selects nothing");
            let remedy = "use the characters of such names, with * and ? as wildcards";
            return Err(check.refuse(&key(&format!("select.{name}")), problem, remedy));
        }
        Ok(Glob::new(text))
    };
    Ok(OutputRule {
        // The same path in as few words, so that one line has one name.
        line: Line { chip: line.chip.components().collect(), offset: line.offset, active_low },
        min_priority,
        device: pattern("device", &select.device)?,
        channel: pattern("channel", &select.channel)?,
        tag: pattern("tag", &select.tag)?,
        rule: pattern("rule", &select.rule)?,
        fail_safe,
    })
}
