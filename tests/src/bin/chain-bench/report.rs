//! The rows of the table.

use serde::Serialize;

#[derive(Default, Serialize)]
pub struct Report {
    name: &'static str,
    rows: Vec<Row>,
    note: String,
}

#[derive(Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
}

impl Report {
    pub fn row(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        let what = what.into();
        eprintln!("{what:<74} {value:>14.3} {unit}");
        self.rows.push(Row { what, value, unit });
    }

    pub fn note(&mut self, note: &str) {
        if !self.note.is_empty() {
            self.note.push(' ');
        }
        self.note.push_str(note);
    }

    pub fn print(mut self, name: &'static str, json: bool) {
        self.name = name;
        if json {
            println!("{}", serde_json::to_string(&self).expect("rows are JSON"));
        } else {
            println!("{}", self.note);
        }
    }
}

/// The `share` quantile (0 to 1) by nearest rank.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}
