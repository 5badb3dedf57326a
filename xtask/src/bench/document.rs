//! docs/benchmarks.md: one section per bench, each with its own command, machine and date, so that running one bench
//! again leaves the others as they were.

use super::Report;
use super::machine::Machine;
use std::fmt::Write;

const HEAD: &str = "\
# Benchmarks

Measured by `cargo xtask bench`, which writes this page; don't edit it. Load generators share the machine with what
they load.
";

pub fn section(title: &str, command: &str, machine: &Machine, report: &Report) -> String {
    let mut text = format!("## {title}\n\n    {command}\n\n");
    let Machine { processor, cores, memory_gib, kernel, compiler, commit, date } = machine;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{date}, commit {commit}, {compiler}.\n{processor}, {cores} cores, {memory_gib:.0} GiB, {kernel}.\n"
    );
    text.push_str("| what | value | unit |\n|---|---:|---|\n");
    for row in &report.rows {
        let _ = writeln!(text, "| {} | {} | {} |", row.what, number(row.value), row.unit);
    }
    if !report.note.is_empty() {
        let _ = writeln!(text, "\n{}", report.note);
    }
    text
}

/// Puts a section in place of the one with the same title, or where `order` wants it. Text of other sections stays.
pub fn replace_section(document: &str, title: &str, section: &str, order: &[&str]) -> String {
    let mut sections: Vec<(&str, &str)> = split(document);
    match sections.iter_mut().find(|(found, _)| *found == title) {
        Some(found) => found.1 = section,
        None => sections.push((title, section)),
    }
    let place = |title: &str| order.iter().position(|known| *known == title).unwrap_or(order.len());
    sections.sort_by_key(|(title, _)| place(title));
    let bodies: String = sections.iter().map(|(_, text)| format!("\n{}\n", text.trim_end())).collect();
    format!("{HEAD}{bodies}")
}

fn split(document: &str) -> Vec<(&str, &str)> {
    let mut sections = Vec::new();
    let mut rest = document.find("\n## ").map_or("", |start| &document[start + 1..]);
    while !rest.is_empty() {
        let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
        let (text, after) = rest.split_at(end);
        let title = text.lines().next().unwrap_or_default().trim_start_matches("## ");
        sections.push((title, text));
        rest = after;
    }
    sections
}

/// Three significant figures or the whole number, with thousands set apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        let decimals = if value.abs() < 1.0 { 3 } else { 2 };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    #[test]
    fn numbers_read_well() {
        let shown = [0.0, 0.0123, 2.314, 42.0, 99.96, 1_234.5, 3_000_000.0, -1_500.0].map(number);
        assert_eq!(shown, ["0", "0.012", "2.31", "42", "99.96", "1,234", "3,000,000", "-1,500"]);
    }

    fn machine() -> Machine {
        Machine {
            processor: "Some CPU".into(),
            cores: 2,
            memory_gib: 23.9,
            kernel: "Linux 6.1".into(),
            compiler: "rustc 1.95.0".into(),
            commit: "abc1234".into(),
            date: "2026-01-02".into(),
        }
    }

    #[test]
    fn a_section_says_what_was_run_on_what() {
        let rows = vec![Row { what: "readings per second".into(), value: 1_250_000.0, unit: "1/s".into() }];
        let report = Report { name: "chain".into(), rows, note: "Ten boards.".into() };
        let text = section("The chain", "cargo run", &machine(), &report);
        assert!(text.starts_with("## The chain\n\n    cargo run\n\n2026-01-02, commit abc1234"), "{text}");
        assert!(text.contains("Some CPU, 2 cores, 24 GiB, Linux 6.1."), "{text}");
        assert!(text.contains("| readings per second | 1,250,000 | 1/s |"), "{text}");
        assert!(text.ends_with("\nTen boards.\n"), "{text}");
    }

    #[test]
    fn one_section_is_replaced_and_the_others_stay() {
        let order = ["First", "Second"];
        let with_second = replace_section("", "Second", "## Second\n\nold\n", &order);
        let with_both = replace_section(&with_second, "First", "## First\n\none\n", &order);
        let renewed = replace_section(&with_both, "Second", "## Second\n\nnew\n", &order);
        assert!(renewed.ends_with("\n## First\n\none\n\n## Second\n\nnew\n"), "{renewed}");
        assert_eq!(renewed.matches("# Benchmarks").count(), 1);
        let again = replace_section(&renewed, "Second", "## Second\n\nnew\n", &order);
        assert_eq!(again, renewed, "writing the same twice changes nothing");
    }
}
