//! A board by the board link's rules: a ring, a floor, resends from the floor, declared overflow.

use std::collections::BTreeMap;

use tidegate_protocol::{
    BootId, DeviceId, LossReason, Origin, Reading, Seq, SeqRange, Tick,
    frame::{Down, Heartbeat, HelloMark, Standing},
};

use super::bench::{channels, reading};
use crate::core::{BoardFrame, LinkId};

/// A board: a ring, a floor, and patience.
#[derive(Clone, Debug)]
pub struct Board {
    pub device: DeviceId,
    pub boot: BootId,
    pub floor: u64,
    pub next: u64,
    sent: u64,
    ring: u64,
    pub link: Option<LinkId>,
    pub welcomed: bool,
    /// What the last Hello said was the next seq.
    said_next: u64,
    resend_at: u64,
    heartbeat_at: u64,
    /// The oldest reading in the ring. From the floor up to it readings are lost, and that is not acknowledged.
    tail: u64,
    /// What every boot of this board ever measured and was told to forget, or was heard to have lost.
    pub acked: BTreeMap<Origin, u64>,
    pub heard_next: BTreeMap<Origin, u64>,
}

impl Board {
    pub fn new(at: u64, ring: u64) -> Self {
        Self {
            device: DeviceId::new(&format!("board-{at}")).unwrap(),
            boot: BootId(at * 7 + 1),
            floor: 0,
            next: 0,
            sent: 0,
            ring,
            link: None,
            welcomed: false,
            said_next: 0,
            resend_at: 0,
            heartbeat_at: 0,
            tail: 0,
            acked: BTreeMap::new(),
            heard_next: BTreeMap::new(),
        }
    }

    pub fn origin(&self) -> Origin {
        Origin::new(self.device, self.boot)
    }

    pub fn measure(&mut self, count: u64) {
        self.next += count;
        self.tail = self.tail.max(self.next.saturating_sub(self.ring));
        self.sent = self.sent.max(self.tail);
    }

    pub fn told(&mut self, frame: Down) {
        match frame {
            Down::Welcome(welcome) if welcome.boot == self.boot => {
                self.welcomed = true;
                self.sent = self.tail;
            }
            Down::Welcome(offer) if offer.answers == HelloMark::of(Some(self.boot), Seq(self.said_next)) => {
                self.renumber(offer.boot);
            }
            Down::Ack { boot, up_to } if boot == self.boot && up_to.0 <= self.next => {
                self.floor = self.floor.max(up_to.0);
                self.tail = self.tail.max(self.floor);
                self.sent = self.sent.max(self.tail);
                let acked = self.acked.entry(self.origin()).or_default();
                *acked = (*acked).max(up_to.0);
            }
            Down::Identify => self.welcomed = false,
            _ => {}
        }
    }

    /// A new boot: all that was in the ring is gone.
    pub fn renumber(&mut self, boot: BootId) {
        self.boot = boot;
        (self.floor, self.tail, self.next, self.sent) = (0, 0, 0, 0);
        self.welcomed = false;
    }

    pub fn speak(&mut self, now_ms: u64) -> Vec<BoardFrame> {
        let (floor, next) = (self.floor, self.next);
        if !self.welcomed {
            if now_ms < self.resend_at {
                return Vec::new();
            }
            self.resend_at = now_ms + 200;
            self.said_next = next;
            return vec![BoardFrame::Hello {
                device: self.device,
                tag: String::new(),
                firmware: String::new(),
                boot: Some(self.boot),
                proven: false,
                fresh: BootId(self.boot.0 + (1 << 40)),
                standing: Standing::Present,
                floor,
                next,
                channels: channels(),
            }];
        }
        let mut frames = Vec::new();
        if now_ms >= self.resend_at {
            self.resend_at = now_ms + 500;
            self.sent = self.tail;
            let range = SeqRange::new(floor, self.tail);
            if !range.is_empty() {
                frames.push(BoardFrame::Lost {
                    boot: self.boot.tag(),
                    range,
                    reason: LossReason::RingOverflow,
                    floor,
                    next,
                });
            }
        }
        while self.sent < next {
            let end = next.min(self.sent + 20);
            let readings = (self.sent..end).map(|seq| self.reading(seq)).collect();
            frames.push(BoardFrame::Readings { boot: self.boot.tag(), floor, next, readings });
            self.sent = end;
        }
        if now_ms >= self.heartbeat_at {
            self.heartbeat_at = now_ms + 1_000;
            frames.push(BoardFrame::Heartbeat(Heartbeat {
                boot: self.boot.tag(),
                floor: Seq(floor),
                next: Seq(next),
                tick: Tick(now_ms),
                ring_free: (self.ring - (next - self.tail)) as u32,
                clock: None,
                counters: Default::default(),
            }));
        }
        frames
    }

    /// The value says whose it is.
    pub fn reading(&self, seq: u64) -> Reading {
        let value = tidegate_protocol::Value::F64((seq * 1_000 + self.boot.0 % 1_000) as f64);
        Reading { value, ..reading(seq) }
    }
}
