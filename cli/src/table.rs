//! Text in aligned columns.

use crate::paint::{Paint, Style};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A heading line and rows of as many cells; shorter rows end early.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<(Style, Vec<String>)>,
}

impl Table {
    pub fn new<const N: usize>(columns: [(&'static str, Align); N]) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    pub fn row<const N: usize>(&mut self, style: Style, cells: [String; N]) {
        self.rows.push((style, cells.into()));
    }

    /// Lines with a line break each.
    pub fn render(&self, paint: Paint) -> String {
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(at, column)| self.width(at, column.0)).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for ((cell, (_, align)), width) in cells.zip(&self.columns).zip(&widths) {
                let padded = match align {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
                text.push_str(&padded);
            }
            text.trim_end().to_owned()
        };
        let heading = line(&mut self.columns.iter().map(|(name, _)| *name));
        let mut lines = vec![paint.apply(Style::Dim, &heading)];
        for (style, cells) in &self.rows {
            lines.push(paint.apply(*style, &line(&mut cells.iter().map(String::as_str))));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn width(&self, at: usize, heading: &str) -> usize {
        let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(at));
        cells.map(|cell| cell.chars().count()).fold(heading.chars().count(), usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_content() {
        let mut table = Table::new([("DEVICE", Align::Left), ("N", Align::Right), ("UNIT", Align::Left)]);
        table.row(Style::Plain, ["a".into(), "1234".into(), "Cel".into()]);
        table.row(Style::Red, ["müllheizung".into(), "7".into(), String::new()]);
        let plain = "DEVICE          N  UNIT\na            1234  Cel\nmüllheizung     7\n";
        assert_eq!(table.render(Paint::always(false)), plain);
        assert!(table.render(Paint::always(true)).contains("\x1b[31mmüllheizung     7\x1b[0m"));
    }
}
