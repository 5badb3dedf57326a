//! A drawing of what rules would have raised: each series with its limits, alarms as shades over it and as bars below it.
//! Plain SVG; light or dark as its viewer is.

use std::fmt::Write;

use tidegate_alarms::{Condition, Priority, RuleBook, RuleId};

use super::{
    backtest::{Occurrence, Tried},
    scale::{Scale, time_marks},
    series::{Sample, Series},
};

/// More than these are not drawn; those with the most alarms are.
const MAX_PANELS: usize = 12;
const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const PLOT: f64 = 180.0;
const LANE: f64 = 16.0;
/// The axis of times, and air to the next panel.
const BELOW: f64 = 44.0;
/// A gap of so many usual intervals is not drawn over.
const GAP: u64 = 8;

const STYLE: &str = "\
    text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:14px}.dim{fill:#57606a}\
    .back{fill:#ffffff}.frame{fill:none;stroke:#8c959f}.grid{stroke:#d0d7de;stroke-width:.5}\
    .line{fill:none;stroke:#0969da;stroke-width:1.2;stroke-linejoin:round}\
    .limit{stroke-width:1.2;stroke-dasharray:6 4}.shade{fill-opacity:.16;stroke:none}.bar{stroke:none}\
    .critical{fill:#cf222e;stroke:#cf222e}.high{fill:#e16f24;stroke:#e16f24}\
    .medium{fill:#bf8700;stroke:#bf8700}.low{fill:#1a7f7f;stroke:#1a7f7f}\
    @media (prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9198a1}.back{fill:#0d1117}\
    .frame{stroke:#656c76}.grid{stroke:#2f353d}.line{stroke:#58a6ff}.shade{fill-opacity:.28}}";

/// A rule that watches a series.
struct Lane<'a> {
    id: &'a RuleId,
    priority: Priority,
    limits: Vec<f64>,
    occurrences: Vec<&'a Occurrence>,
}

pub fn draw(all: &[Series], book: &RuleBook, tried: &Tried) -> String {
    let mut panels: Vec<(&Series, Vec<Lane<'_>>)> =
        all.iter().map(|series| (series, lanes(series, book, tried))).collect();
    panels.sort_by_key(|(_, lanes)| {
        std::cmp::Reverse(lanes.iter().map(|lane| lane.occurrences.len()).sum::<usize>())
    });
    let left_out = panels.len().saturating_sub(MAX_PANELS);
    panels.truncate(MAX_PANELS);
    let heights = panels.iter().map(|(_, lanes)| TOP + PLOT + LANE * lanes.len() as f64 + BELOW);
    let height = heights.sum::<f64>() + if left_out > 0 { 30.0 } else { 0.0 };
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\"><style>{STYLE}</style><rect class=\"back\" width=\"100%\" height=\"100%\"/>"
    );
    let mut top = 0.0;
    for (series, lanes) in &panels {
        panel(&mut svg, top, series, lanes, tried.end);
        top += TOP + PLOT + LANE * lanes.len() as f64 + BELOW;
    }
    if left_out > 0 {
        let more = format!("and {left_out} more channels, with no more alarms than these");
        text(&mut svg, (LEFT, top + 12.0), "dim", "start", &more);
    }
    svg.push_str("</svg>\n");
    svg
}

fn lanes<'a>(series: &Series, book: &'a RuleBook, tried: &'a Tried) -> Vec<Lane<'a>> {
    let Series { site, device, channel, unit, tag, is_anybodys, .. } = series;
    let watching = book.matching(*site, *device, *channel, unit, tag);
    let watches = |id: &RuleId| *is_anybodys || watching.iter().any(|rule| rule.id() == id);
    let lane = |rule: &'a std::sync::Arc<tidegate_alarms::RevisedRule>| {
        let newest = rule.at(None)?;
        let (device, channel) = (device.to_string(), channel.to_string());
        let own = tried.occurrences.iter().filter(|occurrence| {
            let is_group = occurrence.device.is_empty();
            let is_here = occurrence.device == device && occurrence.channel == channel;
            occurrence.rule == *rule.id() && occurrence.site == *site && (is_group || is_here)
        });
        let limits = match newest.condition() {
            Condition::Above(limit) | Condition::Below(limit) => vec![*limit],
            Condition::Outside(low, high) | Condition::Inside(low, high) => vec![*low, *high],
            Condition::Equals(values) => values.clone(),
            // Of what is not on the axis of values.
            _ => Vec::new(),
        };
        Some(Lane { id: rule.id(), priority: newest.priority(), limits, occurrences: own.collect() })
    };
    book.rules().filter(|rule| watches(rule.id())).filter_map(lane).collect()
}

fn panel(svg: &mut String, top: f64, series: &Series, lanes: &[Lane<'_>], end: i64) {
    let Some(extent) = Extent::of(series) else { return };
    let (right, bottom) = (WIDTH - RIGHT, top + TOP + PLOT);
    let lanes_end = bottom + LANE * lanes.len() as f64;
    let x = Scale::new(extent.first as f64, extent.last as f64, LEFT, right);
    let limits = || lanes.iter().flat_map(|lane| lane.limits.iter().copied());
    let (low, high) =
        limits().fold((extent.low, extent.high), |(low, high), limit| (low.min(limit), high.max(limit)));
    let air = (high - low) * 0.06;
    let y = Scale::new(low - air, high + air, bottom, top + TOP);

    let unit = if series.unit.is_empty() { String::new() } else { format!(" [{}]", series.unit) };
    let title = match series.is_anybodys {
        true => format!("recording{unit}"),
        false => format!("{} / {}{unit}", series.device, series.channel),
    };
    text(svg, (LEFT, top + 26.0), "title", "start", &title);
    for mark in y.marks(5) {
        let at = y.at(mark);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>");
        text(svg, (LEFT - 8.0, at + 4.0), "dim", "end", &y.label(mark, 5));
    }
    for (moment, label) in time_marks(extent.first, extent.last, 7) {
        let at = x.at(moment as f64);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} {}V{lanes_end}\"/>", top + TOP);
        text(svg, (at, lanes_end + 16.0), "dim", "middle", &label);
    }
    let clock = if extent.has_wall_time { "UTC" } else { "since boot" };
    text(svg, (12.0, lanes_end + 16.0), "dim", "start", clock);
    for (index, lane) in lanes.iter().enumerate() {
        let middle = bottom + LANE * index as f64 + LANE / 2.0;
        let name: String = lane.id.as_str().chars().take(22).collect();
        text(svg, (LEFT - 8.0, middle + 4.0), "", "end", &name);
        for occurrence in &lane.occurrences {
            shade(svg, &x, occurrence, lane.priority, (top + TOP, bottom), middle, end);
        }
    }
    line(svg, series, &extent, &x, &y);
    for lane in lanes {
        for limit in &lane.limits {
            let (class, at) = (lane.priority.name(), y.at(*limit));
            let _ = write!(svg, "<path class=\"limit {class}\" d=\"M{LEFT} {at:.1}H{right}\"/>");
        }
    }
    let (width, height) = (right - LEFT, lanes_end - top - TOP);
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{}\" width=\"{width}\" height=\"{height}\"/>",
        top + TOP
    );
}

/// A shade over the plot and a bar in the rule's lane; at least a pixel wide.
fn shade(
    svg: &mut String,
    x: &Scale,
    occurrence: &Occurrence,
    priority: Priority,
    (top, bottom): (f64, f64),
    middle: f64,
    end: i64,
) {
    let from = x.at(occurrence.onset as f64);
    let to = x.at(occurrence.cleared.unwrap_or(end) as f64);
    let (width, class) = ((to - from).max(1.0), priority.name());
    let height = bottom - top;
    let _ = write!(
        svg,
        "<g class=\"{class}\"><title>{}: {}</title><rect class=\"shade\" x=\"{from:.1}\" y=\"{top}\" \
         width=\"{width:.1}\" height=\"{height}\"/><rect class=\"bar\" x=\"{from:.1}\" y=\"{:.1}\" \
         width=\"{width:.1}\" height=\"8\"/></g>",
        occurrence.rule,
        escaped(&occurrence.peak_text),
        middle - 4.0
    );
}

/// Where a series' readings lie.
struct Extent {
    first: i64,
    last: i64,
    low: f64,
    high: f64,
    /// Between two readings, beyond which the line is broken.
    gap_ms: i64,
    has_wall_time: bool,
}

impl Extent {
    fn of(series: &Series) -> Option<Self> {
        let interval = series.samples.interval_ms().unwrap_or(0);
        let gap_ms = i64::try_from(interval.saturating_mul(GAP)).unwrap_or(i64::MAX).max(1);
        let mut extent: Option<Self> = None;
        series.samples.for_each(|sample| {
            let Some(value) = drawable(sample) else { return };
            let now = sample.moment();
            let has_wall_time = sample.unix_ms.is_some();
            let begin = Self { first: now, last: now, low: value, high: value, gap_ms, has_wall_time };
            let known = extent.get_or_insert(begin);
            known.first = known.first.min(now);
            known.last = known.last.max(now);
            known.low = known.low.min(value);
            known.high = known.high.max(value);
        });
        extent
    }
}

fn drawable(sample: &Sample) -> Option<f64> {
    Some(sample.at.value.as_f64()).filter(|value| sample.is_usable() && value.is_finite())
}

/// The line through all readings; of those that fall on one pixel, first, least, greatest and last.
fn line(svg: &mut String, series: &Series, extent: &Extent, x: &Scale, y: &Scale) {
    let mut path = String::new();
    let mut before: Option<i64> = None;
    let mut column: Option<Column> = None;
    series.samples.for_each(|sample| {
        let Some(value) = drawable(sample) else { return };
        let (now, place) = (sample.moment(), x.at(sample.moment() as f64));
        let is_broken =
            before.replace(now).is_none_or(|before| !(0..=extent.gap_ms).contains(&(now - before)));
        let pixel = place.floor();
        match column.as_mut().filter(|column| !is_broken && column.pixel == pixel) {
            Some(column) => column.take(value),
            None => {
                if let Some(done) = column.take() {
                    done.draw(&mut path, y);
                }
                column = Some(Column {
                    pixel,
                    place,
                    is_broken,
                    first: value,
                    low: value,
                    high: value,
                    last: value,
                });
            }
        }
    });
    if let Some(done) = column {
        done.draw(&mut path, y);
    }
    let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
}

struct Column {
    pixel: f64,
    place: f64,
    is_broken: bool,
    first: f64,
    low: f64,
    high: f64,
    last: f64,
}

impl Column {
    fn take(&mut self, value: f64) {
        (self.low, self.high, self.last) = (self.low.min(value), self.high.max(value), value);
    }

    fn draw(&self, path: &mut String, y: &Scale) {
        let verb = if self.is_broken { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {:.1}", self.place, y.at(self.first));
        if self.low < self.high {
            let _ = write!(path, "V{:.1}V{:.1}V{:.1}", y.at(self.low), y.at(self.high), y.at(self.last));
        } else if self.is_broken {
            // A lone reading is a dot.
            path.push_str("h1");
        }
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = write!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
