//! Which alarms: by name, as patterns, by priority, and by kind. The ingest's lists take them as they are; the event stream is
//! filtered here.

use tidegate_alarms::Glob;

use crate::view::{Alarm, AlarmEvent};

const PRIORITIES: [&str; 4] = ["critical", "high", "medium", "low"];
const KINDS: [&str; 4] = ["channel", "stale", "group", "gateway"];

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Only of these sites; * stands for any run of characters, ? for one.
    #[arg(long, value_name = "PATTERN")]
    site: Option<String>,
    /// Only of these devices.
    #[arg(long, value_name = "PATTERN")]
    device: Option<String>,
    /// Only on these channels.
    #[arg(long, value_name = "PATTERN")]
    channel: Option<String>,
    /// Only of these rules.
    #[arg(long, value_name = "PATTERN")]
    rule: Option<String>,
    /// Only of these priorities: critical, high, medium, low, with commas between.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = PRIORITIES)]
    priority: Vec<String>,
    /// Only of these kinds: channel, stale (it says nothing), group, gateway, with commas between.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = KINDS)]
    kind: Vec<String>,
}

impl Filter {
    /// As the API takes it.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.names();
        if !self.priority.is_empty() {
            query.push(("priority", self.priority.join(",")));
        }
        if !self.kind.is_empty() {
            query.push(("kind", self.kind.join(",")));
        }
        query
    }

    /// Without priority and kind, of which history and the log know nothing.
    pub fn names(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("site", &self.site),
            ("device", &self.device),
            ("channel", &self.channel),
            ("rule", &self.rule),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    pub fn takes_priority(&self, priority: &str) -> bool {
        self.priority.is_empty() || self.priority.iter().any(|wanted| wanted == priority)
    }

    pub fn takes_kind(&self, kind: &str) -> bool {
        self.kind.is_empty() || self.kind.iter().any(|wanted| wanted == kind)
    }

    pub fn takes(&self, event: &AlarmEvent) -> bool {
        let AlarmEvent { site, device, channel, rule, priority, kind, .. } = event;
        self.fits([site, device, channel, rule], priority) && self.takes_kind(kind)
    }

    pub fn takes_alarm(&self, alarm: &Alarm) -> bool {
        let Alarm { site, device, channel, rule, priority, kind, .. } = alarm;
        self.fits([site, device, channel, rule], priority) && self.takes_kind(kind)
    }

    fn fits(&self, names: [&String; 4], priority: &str) -> bool {
        let patterns = [&self.site, &self.device, &self.channel, &self.rule];
        let fits = |(pattern, name): (&Option<String>, &String)| {
            pattern.as_deref().is_none_or(|pattern| Glob::new(pattern).matches(name))
        };
        patterns.into_iter().zip(names).all(fits) && self.takes_priority(priority)
    }
}
