//! What the screen shows, and what keys and events make of it. Pure: no terminal, no network, no clock.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::super::super::alarms::{filter::Filter, named::AlarmName, saw, shelve_order};
use crate::{
    instant::parse_duration,
    view::{Alarm, AlarmEvent},
};

/// A key, as far as it means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Char(char),
    Interrupt,
}

/// Everything that can happen to the screen.
#[derive(Debug)]
pub enum Happening {
    Key(Key),
    /// The stream stands.
    Connected,
    /// Why the stream does not.
    Broken(String),
    /// All alarms that are not normal, as they were after the stream stood.
    Standing(Vec<Alarm>),
    Event(Box<AlarmEvent>),
    /// What came of an order, in words.
    Done(Result<String, String>),
}

/// What is to be done outside.
#[derive(Debug, PartialEq)]
pub enum Wish {
    Order { alarm: String, path: String, order: Value },
    Quit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    Connecting,
    Live,
    Broken(String),
}

/// What keys go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    List,
    Help,
    /// A line of text is typed.
    Typing {
        what: Typed,
        text: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    ShelfTime,
    Comment,
    Filter,
}

/// How far a page key goes.
const PAGE_LINES: usize = 10;
/// As the API takes it.
const MAX_TYPED_CHARS: usize = 500;

pub struct Model {
    alarms: BTreeMap<AlarmName, Alarm>,
    selected: Option<AlarmName>,
    filter: Filter,
    operator: Option<String>,
    /// A token says it.
    is_known: bool,
    /// Words that must be in an alarm's line.
    pub words: String,
    pub mode: Mode,
    pub connection: Connection,
    /// The last thing to say, and whether it is bad news.
    pub notice: Option<(String, bool)>,
}

impl Model {
    pub fn new(filter: Filter, operator: Option<String>, is_known: bool) -> Self {
        Self {
            alarms: BTreeMap::new(),
            selected: None,
            filter,
            operator,
            is_known,
            words: String::new(),
            mode: Mode::List,
            connection: Connection::Connecting,
            notice: None,
        }
    }

    /// Those that are shown: what waits to be acknowledged first, then by priority, then the newest.
    pub fn shown(&self) -> Vec<&Alarm> {
        let words: Vec<String> = self.words.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let fits = |alarm: &&Alarm| {
            let Alarm { site, device, channel, rule, priority, state, .. } = alarm;
            let line = format!("{site}/{device}/{channel}/{rule} {priority} {state}");
            words.iter().all(|word| line.contains(word))
        };
        let mut shown: Vec<&Alarm> = self.alarms.values().filter(fits).collect();
        shown.sort_by_key(|alarm| {
            let raised = alarm.raised.as_ref().and_then(|raised| raised.time_unix_ms);
            (urgency(alarm), priority_rank(&alarm.priority), std::cmp::Reverse(raised), AlarmName::of(alarm))
        });
        shown
    }

    pub fn selected(&self) -> Option<&Alarm> {
        self.shown().get(self.selected_line()?).copied()
    }

    /// The selected alarm's line; where it is gone, the first.
    pub fn selected_line(&self) -> Option<usize> {
        let shown = self.shown();
        let at = shown.iter().position(|alarm| Some(AlarmName::of(alarm)) == self.selected);
        if shown.is_empty() { None } else { Some(at.unwrap_or(0)) }
    }

    /// How many wait to be acknowledged, and how many nobody is told of.
    pub fn counts(&self) -> (usize, usize) {
        let unacknowledged = self.alarms.values().filter(|alarm| urgency(alarm) == 0).count();
        (unacknowledged, self.alarms.values().filter(|alarm| is_suppressed(alarm)).count())
    }

    pub fn handle(&mut self, happening: Happening) -> Option<Wish> {
        match happening {
            Happening::Key(key) => return self.key(key),
            Happening::Connected => self.connection = Connection::Live,
            Happening::Broken(why) => self.connection = Connection::Broken(why),
            Happening::Standing(alarms) => self.standing(alarms),
            Happening::Event(event) => self.event(*event),
            Happening::Done(Ok(said)) => self.notice = Some((said, false)),
            Happening::Done(Err(said)) => self.notice = Some((said, true)),
        }
        None
    }

    fn standing(&mut self, alarms: Vec<Alarm>) {
        let wanted = alarms.into_iter().filter(|alarm| self.filter.takes_alarm(alarm));
        let standing: HashMap<AlarmName, Alarm> =
            wanted.map(|alarm| (AlarmName::of(&alarm), alarm)).collect();
        self.change(|alarms| *alarms = standing.into_iter().collect());
    }

    fn event(&mut self, event: AlarmEvent) {
        // What is late is history. What says nothing of the state is of an ingest that knew none.
        let (false, true, Some(state)) = (event.late, self.filter.takes(&event), event.state.clone()) else {
            return;
        };
        let name = AlarmName::of_event(&event);
        let mut alarm = self.alarms.get(&name).cloned().unwrap_or_else(|| Alarm::of_event(&event));
        let told = match event.transition.as_str() {
            "raise" => &mut alarm.raised,
            "clear" => &mut alarm.cleared,
            _ => &mut alarm.done,
        };
        let is_known = told.as_ref().is_some_and(|known| known.id == event.id);
        *told = Some(event.clone());
        // What was loaded after it may know better; what came after it comes again behind it.
        if !is_known {
            alarm.state = state;
            alarm.occurrence = Some(event.occurrence.clone());
            alarm.lifecycle = event.lifecycle.clone().unwrap_or_default();
            if event.transition == "raise" {
                alarm.cleared = None;
            }
        }
        self.change(|alarms| {
            if alarm.state == "normal" {
                alarms.remove(&name);
            } else {
                alarms.insert(name, alarm);
            }
        });
    }

    /// Where the selected alarm leaves, the one that takes its place is selected.
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<AlarmName, Alarm>)) {
        let line = self.selected_line().unwrap_or(0);
        change(&mut self.alarms);
        let gone = self.selected.as_ref().is_none_or(|selected| !self.alarms.contains_key(selected));
        if gone {
            self.select(line);
        }
    }

    fn select(&mut self, line: usize) {
        let shown = self.shown();
        let alarm = shown.get(line).or(shown.last());
        self.selected = alarm.map(|alarm| AlarmName::of(alarm));
    }

    fn key(&mut self, key: Key) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        match std::mem::replace(&mut self.mode, Mode::List) {
            // Any key leads back.
            Mode::Help => None,
            Mode::Typing { what, text } => self.type_key(what, text, key),
            Mode::List => self.list_key(key),
        }
    }

    fn list_key(&mut self, key: Key) -> Option<Wish> {
        self.notice = None;
        let line = self.selected_line().unwrap_or(0);
        match key {
            Key::Up | Key::Char('k') => self.select(line.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(line + 1),
            Key::PageUp => self.select(line.saturating_sub(PAGE_LINES)),
            Key::PageDown => self.select(line + PAGE_LINES),
            Key::Home => self.select(0),
            Key::End => self.select(usize::MAX),
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?') => self.mode = Mode::Help,
            Key::Char('f' | '/') => self.begin(Typed::Filter, self.words.clone()),
            Key::Escape => self.words.clear(),
            Key::Char('a') => return self.acknowledge(),
            Key::Char('u') => return self.act("unshelve", json!({})),
            Key::Char('r') => return self.act("reset", json!({})),
            Key::Char('s') if self.may_act() => self.begin(Typed::ShelfTime, "1h".to_owned()),
            Key::Char('c') if self.may_act() => self.begin(Typed::Comment, String::new()),
            _ => {}
        }
        None
    }

    fn begin(&mut self, what: Typed, text: String) {
        self.mode = Mode::Typing { what, text };
    }

    fn type_key(&mut self, what: Typed, mut text: String, key: Key) -> Option<Wish> {
        match key {
            Key::Escape => return None,
            Key::Enter => return self.typed(what, text),
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if text.chars().count() < MAX_TYPED_CHARS && !c.is_control() => text.push(c),
            _ => {}
        }
        if what == Typed::Filter {
            self.words = text.clone();
        }
        self.mode = Mode::Typing { what, text };
        None
    }

    fn typed(&mut self, what: Typed, text: String) -> Option<Wish> {
        match what {
            Typed::Filter => {
                self.words = text;
                self.select(self.selected_line().unwrap_or(0));
                None
            }
            Typed::Comment if text.trim().is_empty() => None,
            Typed::Comment => self.act("comment", json!({ "comment": text.trim() })),
            Typed::ShelfTime => match parse_duration(text.trim()) {
                Ok(duration) => self.act("shelve", shelve_order(duration)),
                Err(why) => {
                    self.notice = Some((why, true));
                    self.begin(what, text);
                    None
                }
            },
        }
    }

    /// Somebody, and something to act on.
    fn may_act(&mut self) -> bool {
        let may_act = self.is_known || self.operator.is_some();
        if !may_act {
            self.notice = Some(("start it with --as NAME or a token to act on alarms".to_owned(), true));
        }
        may_act && self.selected().is_some()
    }

    fn acknowledge(&mut self) -> Option<Wish> {
        let seen = self.selected()?.lifecycle.latest.clone();
        let Some(seen) = seen else {
            self.notice = Some(("it was never raised: there is nothing to acknowledge".to_owned(), true));
            return None;
        };
        self.act("acknowledge", saw(&seen))
    }

    fn act(&mut self, action: &str, mut order: Value) -> Option<Wish> {
        if !self.may_act() {
            return None;
        }
        let name = AlarmName::of(self.selected()?);
        let fields = order.as_object_mut()?;
        fields.extend(self.operator.clone().map(|operator| ("operator".to_owned(), operator.into())));
        Some(Wish::Order { alarm: name.to_string(), path: format!("{}/{action}", name.path()), order })
    }
}

/// 0: it waits to be acknowledged; 1: it stands; 2: nobody is to be told of it.
pub fn urgency(alarm: &Alarm) -> u8 {
    match alarm.state.as_str() {
        "unacknowledged" | "rtn-unacknowledged" | "latched-unacknowledged" => 0,
        _ if is_suppressed(alarm) => 2,
        _ => 1,
    }
}

pub fn is_suppressed(alarm: &Alarm) -> bool {
    matches!(alarm.state.as_str(), "shelved" | "suppressed-by-design" | "out-of-service")
}

fn priority_rank(priority: &str) -> usize {
    ["critical", "high", "medium", "low"].iter().position(|known| *known == priority).unwrap_or(usize::MAX)
}
