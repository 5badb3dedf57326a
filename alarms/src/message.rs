//! The text an operator reads: a rule's template, or a plain sentence. A template speaks of what is wrong, so a clear has
//! the sentence, unless the template names `{transition}` and thus speaks of both.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write;

use crate::settings::MAX_MESSAGE;

/// What a template may name.
const PLACEHOLDERS: [(&str, Placeholder); 9] = [
    ("site", Placeholder::Site),
    ("device", Placeholder::Device),
    ("channel", Placeholder::Channel),
    ("rule", Placeholder::Rule),
    ("priority", Placeholder::Priority),
    ("transition", Placeholder::Transition),
    ("value", Placeholder::Value),
    ("unit", Placeholder::Unit),
    ("limit", Placeholder::Limit),
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A parsed template: text with `{name}`s; `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("there is no {{{0}}} to put in")]
    Unknown(String),
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
    pub limit: f64,
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
                Part::Placeholder(Placeholder::Limit) => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "{}", subject.limit);
                }
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
            Placeholder::Limit => "",
        }
    }

    /// `board-1 temperature is 39.8 Cel (limit 40 Cel)`, or `… is back at …`.
    pub fn plain_sentence(&self, raised: bool) -> String {
        let is = if raised { "is" } else { "is back at" };
        let space = if self.unit.is_empty() { "" } else { " " };
        let Self { device, channel, value, unit, limit, .. } = self;
        format!("{device} {channel} {is} {value}{space}{unit} (limit {limit}{space}{unit})")
    }
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
            limit: 40.0,
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
}
