//! Colour on terminals, and only there: a pipe, a dumb terminal or a non-empty `NO_COLOR` gets plain text.

use std::io::{self, IsTerminal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Cyan,
    Red,
    BoldRed,
}

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    enabled: bool,
}

impl Paint {
    pub fn for_stdout() -> Self {
        Self { enabled: wanted(io::stdout().is_terminal()) }
    }

    pub fn for_stderr() -> Self {
        Self { enabled: wanted(io::stderr().is_terminal()) }
    }

    #[cfg(test)]
    pub const fn always(enabled: bool) -> Self {
        Self { enabled }
    }

    pub fn apply(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
            Style::Red => "31",
            Style::BoldRed => "1;31",
        };
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold_red(self, text: &str) -> String {
        self.apply(Style::BoldRed, text)
    }
}

/// How an alarm of this priority looks (ISA-18.2: the colour follows the priority).
pub fn priority_style(priority: &str) -> Style {
    match priority {
        "critical" => Style::BoldRed,
        "high" => Style::Red,
        "medium" => Style::Yellow,
        "low" => Style::Cyan,
        _ => Style::Plain,
    }
}

fn wanted(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_painted_only_where_colour_is_wanted() {
        assert_eq!(Paint::always(true).apply(Style::Red, "hot"), "\x1b[31mhot\x1b[0m");
        assert_eq!(Paint::always(false).apply(Style::Red, "hot"), "hot");
        assert_eq!(Paint::always(true).apply(Style::Plain, "hot"), "hot");
    }
}
