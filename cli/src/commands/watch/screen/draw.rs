//! The model as a picture.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState, Wrap},
};

use super::model::{Connection, Mode, Model, Typed, urgency};
use crate::{
    commands::alarms::{named::AlarmName, when},
    instant::local_time,
    view::{Alarm, show_value},
};

const DETAIL_LINES: u16 = 9;
const KEYS: &str = "↑↓ select  a acknowledge  s shelve  c comment  f filter  ? help  q quit";
const HELP: &str = "\
↑ ↓ k j        select an alarm; PgUp PgDn Home End go further
a              acknowledge it, as it is shown
s              shelve it; asks for how long (30m, 2h, 7d at most)
u              take it off the shelf
c              say something about it
r              reset it, where it is latched and acknowledged
f /            show only lines with these words; Esc shows all
q Ctrl-C       leave

Above are those that wait to be acknowledged, by priority, then those
that are acknowledged, then, dim, those that nobody is told of.
Any key leads back.";

pub fn draw(frame: &mut Frame<'_>, model: &Model, url: &str) {
    let [head, list, detail, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(DETAIL_LINES),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(model, url), head);
    draw_list(frame, model, list);
    draw_detail(frame, model, detail);
    frame.render_widget(footing(model), foot);
    if let (Mode::Typing { text, what }, true) = (&model.mode, foot.width > 0) {
        let column = prompt(*what).chars().count() + text.chars().count();
        let column = u16::try_from(column).unwrap_or(u16::MAX).min(foot.width - 1);
        frame.set_cursor_position((foot.x + column, foot.y));
    }
    if model.mode == Mode::Help {
        draw_help(frame);
    }
}

fn heading<'a>(model: &Model, url: &'a str) -> Line<'a> {
    let (unacknowledged, suppressed) = model.counts();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let link = match &model.connection {
        Connection::Live => Span::styled("live", dim),
        Connection::Connecting => Span::styled("connecting …", bold),
        Connection::Broken(why) => {
            Span::styled(format!("no connection ({why}); trying again"), bold.fg(Color::Red))
        }
    };
    let mut spans = vec![
        Span::styled("Tidegate alarms", bold),
        Span::raw(format!("  {unacknowledged} to acknowledge, {suppressed} suppressed  ")),
        link,
    ];
    if !model.words.is_empty() {
        spans.push(Span::styled(format!("  filter: {}", model.words), bold));
    }
    spans.push(Span::styled(format!("  {url}"), dim));
    Line::from(spans)
}

fn draw_list(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let shown = model.shown();
    let block = Block::new().borders(Borders::TOP);
    if shown.is_empty() {
        let says = match (&model.connection, model.words.is_empty()) {
            (_, false) => "No alarm has these words; Esc shows all.",
            (Connection::Live, true) => "Every alarm is normal.",
            _ => "",
        };
        return frame.render_widget(Paragraph::new(says).block(block), area);
    }
    let widths = [
        Constraint::Length(8),
        Constraint::Length(22),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(14),
        Constraint::Length(23),
    ];
    let head = Row::new(["PRIORITY", "STATE", "ALARM", "RULE", "VALUE", "RAISED"])
        .style(Style::new().add_modifier(Modifier::DIM));
    let table = Table::new(shown.iter().map(|alarm| row(alarm)), widths)
        .header(head)
        .block(block)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(model.selected_line());
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(alarm: &Alarm) -> Row<'static> {
    let style = style(alarm);
    let raised = alarm.raised.as_ref();
    let value = raised.map(|raised| {
        format!("{} {}", show_value(&raised.value), raised.unit.as_deref().unwrap_or_default())
    });
    let cells = [
        alarm.priority.clone(),
        alarm.state.clone(),
        format!("{}/{} {}", alarm.site, alarm.device, alarm.channel),
        alarm.rule.clone(),
        value.unwrap_or_default(),
        match raised {
            Some(raised) => when(raised),
            None if alarm.lifecycle.latest.is_none() => "never".to_owned(),
            None => String::new(),
        },
    ];
    Row::new(cells.map(Cell::from)).style(style)
}

/// As ISA-18.2 has it: the colour follows the priority, and what needs nobody has none.
fn style(alarm: &Alarm) -> Style {
    let colour = match alarm.priority.as_str() {
        "critical" => Color::LightRed,
        "high" => Color::Red,
        "medium" => Color::Yellow,
        "low" => Color::Cyan,
        _ => Color::Reset,
    };
    match urgency(alarm) {
        0 => Style::new().fg(colour).add_modifier(Modifier::BOLD),
        1 => Style::new().fg(colour),
        _ => Style::new().add_modifier(Modifier::DIM),
    }
}

fn draw_detail(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let block = Block::new().borders(Borders::TOP);
    let Some(alarm) = model.selected() else { return frame.render_widget(block, area) };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::from(vec![
        Span::styled(AlarmName::of(alarm).to_string(), bold),
        Span::raw(format!("  {}, {}", alarm.state, alarm.priority)),
    ])];
    let mut say = |what: &str, said: String| lines.push(Line::raw(format!("{what:<12}{said}")));
    if let Some(raised) = &alarm.raised {
        let unsure = if raised.provisional { "  (not yet stored)" } else { "" };
        let message = raised.message.as_deref().unwrap_or_default();
        say("raised", format!("{}  {message}{unsure}", when(raised)));
    }
    if let Some(cleared) = &alarm.cleared {
        say("cleared", format!("{}  {}", when(cleared), cleared.message.as_deref().unwrap_or_default()));
    }
    if let Some(done) = &alarm.done {
        say("last done", format!("{}  {}", when(done), done.message.as_deref().unwrap_or_default()));
    }
    let life = &alarm.lifecycle;
    if let Some(until) = life.shelved_until_unix_ms {
        say("shelved", format!("until {}", local_time(until)));
    }
    if let Some(occurrence) = &alarm.occurrence {
        say("occurrence", occurrence.clone());
    }
    let text = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(text, area);
}

fn prompt(what: Typed) -> &'static str {
    match what {
        Typed::ShelfTime => "Shelve for how long? ",
        Typed::Comment => "Comment: ",
        Typed::Filter => "Show lines with: ",
    }
}

fn footing(model: &Model) -> Line<'_> {
    let bad = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    match (&model.mode, &model.notice) {
        (Mode::Typing { what, text }, notice) => {
            let mut spans = vec![Span::raw(prompt(*what)), Span::raw(text.as_str())];
            spans.extend(notice.as_ref().map(|(said, _)| Span::styled(format!("   {said}"), bad)));
            Line::from(spans)
        }
        (_, Some((said, is_bad))) => Line::styled(said.as_str(), if *is_bad { bad } else { Style::new() }),
        _ => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    }
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (74.min(area.width), (HELP.lines().count() as u16 + 2).min(area.height));
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let place = Rect { x, y, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" Keys ")), place);
}
