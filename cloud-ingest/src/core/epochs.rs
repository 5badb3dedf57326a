//! Which processes speak under one gateway's name, and when two of them must be alive at once.
//!
//! A process draws an epoch when it starts, so one epoch after another is a gateway that was started again. What it had under
//! way when it ended comes after the next has spoken, in any order and in any lane, but within [`LATE_MS`]. So two are alive if
//! - *they speak by turns*: one spoke, later than that another did, and again later than that the first says something new. Whatever
//!   numbers they choose;
//! - *a number is used twice*: it came with another content. A process uses none again;
//! - *they are too many*: more than [`MAX_EPOCHS`], faster than one can be started again. That bounds the memory, too: the
//!   one that was silent longest is forgotten for the next.

use std::collections::VecDeque;

/// What an ended process had under way has come after this.
const LATE_MS: u64 = 10_000;
/// Epochs that are remembered of a gateway.
const MAX_EPOCHS: usize = 1_024;
/// No process is started, connected and killed faster than this, again and again.
const RESTART_MS: u64 = 1_000;
/// A silent epoch is forgotten. Who is alive speaks more often, and it is enough to know of that one.
const SILENT_MS: u64 = 24 * 3_600_000;
/// Blocks of one epoch whose number and content are remembered, to know a copy by: more than a broker has under way.
const MAX_RECENT: usize = 128;

/// Why there must be two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twice {
    /// The one that was heard now, and who spoke between its blocks.
    ByTurns { epoch: u64, other: u64 },
    /// A number of this epoch came with another content.
    Reused { epoch: u64, number: u64 },
    /// So many epochs within so long.
    TooMany { epochs: usize, within_ms: u64 },
}

/// The processes that spoke under a gateway's name, the latest last.
#[derive(Debug, Default)]
pub struct Epochs {
    known: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    epoch: u64,
    /// It was alive then.
    since_ms: u64,
    last_ms: u64,
    /// When another was certainly alive after that, and which.
    other_ms: Option<(u64, u64)>,
    highest: Option<u64>,
    recent: VecDeque<(u64, u64)>,
}

enum Said {
    Something,
    /// A copy proves nothing: a broker may bring one at any time.
    Again,
    Otherwise,
}

impl Process {
    fn new(epoch: u64, now_ms: u64) -> Self {
        let recent = VecDeque::new();
        Self { epoch, since_ms: now_ms, last_ms: now_ms, other_ms: None, highest: None, recent }
    }

    fn says(&mut self, number: u64, content: u64) -> Said {
        if self.highest.is_some_and(|highest| number <= highest)
            && let Some((_, known)) = self.recent.iter().find(|(known, _)| *known == number)
        {
            return if *known == content { Said::Again } else { Said::Otherwise };
        }
        self.highest = self.highest.max(Some(number));
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((number, content));
        Said::Something
    }
}

impl Epochs {
    /// A block of this epoch and number came, with this content (its checksums). Says whether two processes must be alive.
    pub fn heard(&mut self, now_ms: u64, epoch: u64, number: u64, content: u64) -> Option<Twice> {
        let known = self.known.iter().rposition(|process| process.epoch == epoch);
        let mut twice = None;
        let mut speaker = match known {
            Some(at) => self.known.remove(at),
            None => {
                twice = self.make_room(now_ms);
                Process::new(epoch, now_ms)
            }
        };
        speaker.last_ms = now_ms;
        match speaker.says(number, content) {
            Said::Again => {}
            Said::Otherwise => twice = Some(Twice::Reused { epoch, number }),
            Said::Something => {
                if let Some((at_ms, other)) = speaker.other_ms
                    && now_ms > at_ms.saturating_add(LATE_MS)
                {
                    twice = Some(Twice::ByTurns { epoch, other });
                    // Said once: what is said next needs the other to have spoken again.
                    (speaker.since_ms, speaker.other_ms) = (now_ms, None);
                }
                let others = self.known.iter_mut().filter(|process| process.other_ms.is_none());
                others
                    .filter(|process| now_ms > process.since_ms.saturating_add(LATE_MS))
                    .for_each(|process| process.other_ms = Some((now_ms, epoch)));
            }
        }
        self.known.push(speaker);
        twice
    }

    fn make_room(&mut self, now_ms: u64) -> Option<Twice> {
        self.known.retain(|process| now_ms <= process.last_ms.saturating_add(SILENT_MS));
        if self.known.len() < MAX_EPOCHS {
            return None;
        }
        let within_ms = now_ms.saturating_sub(self.known.remove(0).last_ms);
        let epochs = MAX_EPOCHS + 1;
        (within_ms < epochs as u64 * RESTART_MS).then_some(Twice::TooMany { epochs, within_ms })
    }
}
