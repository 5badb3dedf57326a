//! `tidegate watch --full-screen`: the alarms that stand, live, and keys to act on them.
//!
//! ```text
//! model   what is shown, and what keys and events make of it: pure     draw   the model as a picture
//! link    the event stream, and orders
//! ```
//!
//! This file is the shell: it owns the terminal, which is given back however this ends (a panic's hook does it too), brings the
//! model what happens, and draws it.

mod draw;
mod link;
mod model;
#[cfg(test)]
mod tests;

use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::{signal::unix, sync::mpsc};

use self::model::{Happening, Key, Model, Wish};
use super::super::alarms::filter::Filter;
use crate::{client::Client, error::CliError};

/// What waits to be shown; when it is full, the stream waits.
const WAITING: usize = 1_024;
/// How often the thread that reads keys looks whether it is to end.
const KEY_POLL: Duration = Duration::from_millis(100);

pub async fn run(client: Client, filter: Filter, operator: Option<String>) -> Result<ExitCode, CliError> {
    let is_known = client.has_token();
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    let position = link::Link::open(&client).await?;
    // Sets a panic hook that gives the terminal back.
    let terminal = ratatui::try_init()?;
    let given_back = GiveBack;
    let ended = follow(terminal, client, position, Model::new(filter, operator, is_known)).await;
    drop(given_back);
    ended.map(|()| ExitCode::SUCCESS)
}

struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn follow(
    mut terminal: DefaultTerminal,
    client: Client,
    link: link::Link,
    mut model: Model,
) -> Result<(), CliError> {
    let (happens, mut happened) = mpsc::channel(WAITING);
    let keys = Keys::read(happens.clone());
    let linked = tokio::spawn(link.follow(client.clone(), happens.clone()));
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut hang_up = unix::signal(unix::SignalKind::hangup())?;
    let result = loop {
        if let Err(error) = terminal.draw(|frame| draw::draw(frame, &model, client.url())) {
            break Err(error.into());
        }
        let first = tokio::select! {
            happening = happened.recv() => happening,
            _ = terminate.recv() => None,
            _ = hang_up.recv() => None,
        };
        let Some(first) = first else { break Ok(()) };
        let mut wishes: Vec<Wish> = first.and_then(|first| model.handle(first)).into_iter().collect();
        while let Ok(more) = happened.try_recv() {
            wishes.extend(more.and_then(|more| model.handle(more)));
        }
        if wishes.contains(&Wish::Quit) {
            break Ok(());
        }
        for wish in wishes {
            if let Wish::Order { alarm, path, order } = wish {
                tokio::spawn(link::give(client.clone(), happens.clone(), alarm, path, order));
            }
        }
    };
    linked.abort();
    drop(keys);
    result
}

/// None: nothing but that the screen is to be drawn anew.
type Told = Option<Happening>;

/// The thread that reads keys, until this is dropped.
struct Keys {
    ended: Arc<AtomicBool>,
}

impl Keys {
    fn read(happens: mpsc::Sender<Told>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match event::poll(KEY_POLL)
                    .and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) })
                {
                    Ok(Some(event)) => {
                        let told = match event {
                            Event::Key(pressed) => key_of(pressed).map(|key| Some(Happening::Key(key))),
                            Event::Resize(..) => Some(None),
                            _ => None,
                        };
                        if told.is_some_and(|told| happens.blocking_send(told).is_err()) {
                            return;
                        }
                    }
                    Ok(None) => {}
                    // The terminal is gone.
                    Err(_) => {
                        let _ended_too = happens.blocking_send(Some(Happening::Key(Key::Interrupt)));
                        return;
                    }
                }
            }
        });
        Self { ended }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn key_of(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let with_control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c' | 'd') if with_control => Key::Interrupt,
        KeyCode::Char(_) if with_control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}
