//! Query strings. Unknown, repeated and unreadable parameters are refused by name; an empty one counts as absent.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::Query,
    http::{StatusCode, Uri},
};
use jiff::Timestamp;

use super::problem::Problem;
use crate::query::Selection;

/// The parameters of one request, each of which a handler takes once.
pub struct Parameters {
    given: Vec<(String, String)>,
}

impl Parameters {
    pub fn read(uri: &Uri, allowed: &[&'static str]) -> Result<Self, Problem> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the query string: {error}")))?;
        for (at, (name, _)) in given.iter().enumerate() {
            let known = match allowed {
                [] => "it takes none".to_owned(),
                _ => format!("known here: {}", allowed.join(", ")),
            };
            let Some(allowed_name) = allowed.iter().find(|allowed| *allowed == name) else {
                let detail = format!("{} has no parameter {name:?}; {known}", uri.path());
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            };
            if given.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(Problem::parameter(allowed_name, format!("{name} is given twice; give it once")));
            }
        }
        Ok(Self { given })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.given.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| wrong(name, text, &error.to_string()));
        self.text(name).map(parse).transpose()
    }

    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| wrong(name, text, "write true or false"));
        self.text(name).map(parse).transpose()
    }

    /// A number from 1 to `most`.
    pub fn count(&self, name: &'static str, otherwise: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else { return Ok(otherwise) };
        match text.parse() {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(wrong(name, text, &format!("give a whole number from 1 to {most}"))),
        }
    }

    /// RFC 3339 or unix milliseconds; in unix milliseconds.
    pub fn time(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if let Ok(unix_ms) = text.parse() {
            return Ok(Some(unix_ms));
        }
        let says = "give an RFC 3339 time as 2026-01-31T12:00:00Z (with + in an offset written as %2B), \
                    or unix milliseconds";
        text.parse::<Timestamp>().map(|time| Some(time.as_millisecond())).map_err(|_| wrong(name, text, says))
    }

    pub fn selection(&self) -> Result<Selection, Problem> {
        Ok(Selection {
            site: self.parsed("site")?,
            device: self.parsed("device")?,
            channel: self.parsed("channel")?,
        })
    }
}

fn wrong(name: &'static str, text: &str, says: &str) -> Problem {
    Problem::parameter(name, format!("{name}: {text:?} cannot be read: {says}"))
}
