//! The text an operator reads: a rule's template, or a plain sentence. A template speaks of what is wrong, so a clear has
//! the sentence, unless the template names `{transition}` and thus speaks of both.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    condition::ConditionKind,
    settings::{MAX_MESSAGE, duration_text},
};

/// What a template may name.
const PLACEHOLDERS: [(&str, Placeholder); 14] = [
    ("site", Placeholder::Site),
    ("device", Placeholder::Device),
    ("channel", Placeholder::Channel),
    ("rule", Placeholder::Rule),
    ("priority", Placeholder::Priority),
    ("transition", Placeholder::Transition),
    ("value", Placeholder::Value),
    ("unit", Placeholder::Unit),
    ("limit", Placeholder::Limit),
    ("rate", Placeholder::Measure(Only::Rate)),
    ("deviation", Placeholder::Measure(Only::Deviation)),
    ("silence", Placeholder::Measure(Only::Stale)),
    ("count", Placeholder::Measure(Only::Group)),
    ("selected", Placeholder::Selected),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Site,
    Device,
    Channel,
    Rule,
    Priority,
    Transition,
    Value,
    Unit,
    Limit,
    /// What is compared with the limit, by its name in rules of that kind.
    Measure(Only),
    /// How many devices a group rule selects.
    Selected,
}

/// The rules in which a placeholder has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Rate,
    Deviation,
    Stale,
    Group,
}

impl Placeholder {
    const fn only(self) -> Option<Only> {
        match self {
            Self::Measure(only) => Some(only),
            Self::Selected => Some(Only::Group),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        PLACEHOLDERS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A parsed template: text with `{name}`s; `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("there is no {{{0}}} to put in")]
    Unknown(String),
    #[error("a rule with {condition} has no {{{placeholder}}} to put in")]
    Unsuited { placeholder: &'static str, condition: &'static str },
    #[error("a brace has no partner")]
    Unpaired,
    #[error("the message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
}

impl TemplateError {
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Unknown(_) => {
                let names: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                format!("use {}", names.join(", "))
            }
            Self::Unsuited { .. } => "use {value} and {limit}".to_string(),
            Self::Unpaired => "close it, or double it for a brace in the text".to_string(),
            Self::TooLong => "shorten it".to_string(),
        }
    }
}

/// What a message is about.
pub(crate) struct Subject<'a> {
    pub site: &'a str,
    pub device: &'a str,
    pub channel: &'a str,
    pub rule: &'a str,
    pub priority: &'a str,
    pub transition: &'a str,
    pub value: &'a str,
    pub unit: &'a str,
    pub limit: &'a str,
    /// What was compared with the limit.
    pub measure: &'a str,
    /// How many devices a group has; empty otherwise.
    pub selected: &'a str,
    pub saying: Saying,
}

/// How the plain sentence goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    Value,
    Listed,
    Rate { per_ms: u64 },
    Deviation,
    Silence,
    Group,
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(source: String) -> Result<Self, TemplateError> {
        Self::new(&source)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl Template {
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_MESSAGE {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                text.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                text.push('}');
                rest = after;
            } else {
                let (name, after) = from
                    .strip_prefix('{')
                    .and_then(|from| from.split_once('}'))
                    .ok_or(TemplateError::Unpaired)?;
                let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name.trim());
                let (_, placeholder) = known.ok_or_else(|| TemplateError::Unknown(name.trim().into()))?;
                if !text.is_empty() {
                    parts.push(Part::Text(core::mem::take(&mut text)));
                }
                parts.push(Part::Placeholder(*placeholder));
                rest = after;
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { source: source.into(), parts })
    }

    /// Whether a rule with such a condition can fill it.
    pub fn suits(&self, kind: ConditionKind, is_group: bool) -> Result<(), TemplateError> {
        let fits = |only| match only {
            Only::Rate => kind == ConditionKind::Rate && !is_group,
            Only::Deviation => kind == ConditionKind::Deviation && !is_group,
            Only::Stale => kind == ConditionKind::Stale,
            Only::Group => is_group,
        };
        let placeholders = self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(*placeholder),
            Part::Text(_) => None,
        });
        for placeholder in placeholders {
            if placeholder.only().is_some_and(|only| !fits(only)) {
                let condition = if is_group { "group" } else { kind.name() };
                return Err(TemplateError::Unsuited { placeholder: placeholder.name(), condition });
            }
        }
        Ok(())
    }

    pub fn speaks_of_clears(&self) -> bool {
        self.parts.contains(&Part::Placeholder(Placeholder::Transition))
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn render(&self, subject: &Subject<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Placeholder(placeholder) => out.push_str(subject.named(*placeholder)),
            }
        }
        // A channel without a unit leaves the template's space before it dangling.
        out.truncate(out.trim_end().len());
        out
    }
}

impl Subject<'_> {
    fn named(&self, placeholder: Placeholder) -> &str {
        match placeholder {
            Placeholder::Site => self.site,
            Placeholder::Device => self.device,
            Placeholder::Channel => self.channel,
            Placeholder::Rule => self.rule,
            Placeholder::Priority => self.priority,
            Placeholder::Transition => self.transition,
            Placeholder::Value => self.value,
            Placeholder::Unit => self.unit,
            Placeholder::Limit => self.limit,
            Placeholder::Measure(_) => self.measure,
            Placeholder::Selected => self.selected,
        }
    }

    /// `board-1 temperature is 39.8 Cel (limit 40 Cel)`, or `… is back at …`.
    pub fn plain_sentence(&self, raised: bool) -> String {
        let Self { site, device, channel, rule, value, unit, limit, measure, selected, .. } = self;
        let is = if raised { "is" } else { "is back at" };
        let space = if unit.is_empty() { "" } else { " " };
        let value = format!("{value}{space}{unit}");
        match self.saying {
            Saying::Value => format!("{device} {channel} {is} {value} (limit {limit}{space}{unit})"),
            Saying::Listed => format!("{device} {channel} {is} {value}"),
            Saying::Rate { per_ms } => {
                let (per, again) = (duration_text(per_ms), if raised { "" } else { "only " });
                format!(
                    "{device} {channel} is {value} and changes by {again}{measure}{space}{unit} per {per} \
                     (limit {limit}{space}{unit})"
                )
            }
            Saying::Deviation => format!(
                "{device} {channel} {is} {value}, {measure}{space}{unit} off its mean \
                 (limit {limit}{space}{unit})"
            ),
            Saying::Silence if raised => {
                format!("{device} {channel} has said nothing for {measure} (limit {limit})")
            }
            Saying::Silence => format!("{device} {channel} speaks again"),
            Saying::Group => {
                let only = if raised { "" } else { "only " };
                format!("{site}: {rule} on {only}{measure} of {selected} devices (limit {limit})")
            }
        }
    }
}

/// A computed number with as many digits as say something: four.
pub(crate) fn rounded(number: f64) -> String {
    // Through text, since there are no logarithms without an operating system.
    let short = format!("{number:.3e}").parse().unwrap_or(number);
    format!("{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>(unit: &'a str) -> Subject<'a> {
        Subject {
            site: "plant",
            device: "board-1",
            channel: "temperature",
            rule: "too-cold",
            priority: "high",
            transition: "raise",
            value: "39.8",
            unit,
            limit: "40",
            measure: "39.8",
            selected: "",
            saying: Saying::Value,
        }
    }

    #[test]
    fn templates_are_filled() {
        let rendered = |source: &str| Template::new(source).unwrap().render(&subject("Cel"));
        assert_eq!(rendered("{device} {channel} is {value} {unit}"), "board-1 temperature is 39.8 Cel");
        assert_eq!(
            rendered("{site}/{ rule }: {transition}, {priority}, {limit}"),
            "plant/too-cold: raise, high, 40"
        );
        assert_eq!(rendered("{{{value}}} and }}{{"), "{39.8} and }{");
        assert_eq!(rendered(""), "");
        assert_eq!(Template::new("{value} {unit}").unwrap().render(&subject("")), "39.8");
    }

    #[test]
    fn wrong_templates_are_refused() {
        assert_eq!(Template::new("{colour}"), Err(TemplateError::Unknown("colour".into())));
        assert_eq!(Template::new("{value"), Err(TemplateError::Unpaired));
        assert_eq!(Template::new("value}"), Err(TemplateError::Unpaired));
        assert_eq!(Template::new(&"x".repeat(MAX_MESSAGE + 1)), Err(TemplateError::TooLong));
        assert!(TemplateError::Unknown("colour".into()).remedy().contains("{device}, {channel}"));
    }

    #[test]
    fn without_a_template_the_sentence_says_value_and_limit() {
        assert_eq!(subject("Cel").plain_sentence(true), "board-1 temperature is 39.8 Cel (limit 40 Cel)");
        assert_eq!(subject("").plain_sentence(false), "board-1 temperature is back at 39.8 (limit 40)");
    }
    #[test]
    fn each_kind_of_rule_has_its_sentence() {
        let said = |saying, raised| {
            let subject = Subject { measure: "3.2", selected: "5", limit: "2", saying, ..subject("Cel") };
            subject.plain_sentence(raised)
        };
        for (saying, raised, sentence) in [
            (Saying::Listed, true, "board-1 temperature is 39.8 Cel"),
            (
                Saying::Rate { per_ms: 60_000 },
                true,
                "board-1 temperature is 39.8 Cel and changes by 3.2 Cel per 1m (limit 2 Cel)",
            ),
            (Saying::Deviation, true, "board-1 temperature is 39.8 Cel, 3.2 Cel off its mean (limit 2 Cel)"),
            (Saying::Silence, true, "board-1 temperature has said nothing for 3.2 (limit 2)"),
            (Saying::Silence, false, "board-1 temperature speaks again"),
            (Saying::Group, true, "plant: too-cold on 3.2 of 5 devices (limit 2)"),
        ] {
            assert_eq!(said(saying, raised), sentence);
        }
    }

    #[test]
    fn a_placeholder_belongs_to_its_kind_of_rule() {
        let suits = |source: &str, kind, group| Template::new(source).unwrap().suits(kind, group).is_ok();
        assert!(suits("{rate} {value}", ConditionKind::Rate, false));
        assert!(!suits("{rate}", ConditionKind::Above, false));
        assert!(!suits("{rate}", ConditionKind::Rate, true));
        assert!(suits("{count} of {selected}", ConditionKind::Above, true));
        assert!(!suits("{selected}", ConditionKind::Above, false));
        assert!(suits("{silence}", ConditionKind::Stale, false));
    }

    #[test]
    fn computed_numbers_have_four_digits() {
        for (number, text) in [
            (3.2000000000000006, "3.2"),
            (-0.00012345678, "-0.0001235"),
            (123456.0, "123500"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(rounded(number), text);
        }
    }
}
