//! A small gateway for tests: it keeps what it hears, makes it safe when told, and acknowledges by the floor rule.

pub mod seen;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{
    BootId, Reading, Seq,
    frame::{Deframer, Down, Heartbeat, HelloMark, SettingsResult, Standing, Up, Welcome, encode_down},
};

const SCALES: [u8; 64] = [2; 64];

#[derive(Debug, Default)]
pub struct Gateway {
    deframer: Deframer<4096>,
    /// The boot of the board on the link, from its Hello.
    session: Option<BootId>,
    /// The boot before that it speaks of as well.
    former: Option<BootId>,
    /// Boots whose board says that it has nothing of them any more.
    pub ended: BTreeSet<BootId>,
    boots: u64,
    floors: BTreeMap<BootId, Seq>,
    /// Held, and gone with a restart.
    pub unsafe_readings: BTreeMap<(BootId, u64), Reading>,
    pub unsafe_losses: BTreeSet<(BootId, u64)>,
    /// Safe for ever.
    pub readings: BTreeMap<(BootId, u64), Reading>,
    pub losses: BTreeSet<(BootId, u64)>,
    pub heartbeats: Vec<Heartbeat>,
    pub results: Vec<SettingsResult>,
    pub hellos: usize,
    pub readings_frames: usize,
    pub lost_frames: usize,
    /// What must never happen.
    pub violations: Vec<String>,
}

impl Gateway {
    /// Takes bytes from the board; answers with frames.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut deframer = std::mem::take(&mut self.deframer);
        let mut answers = Vec::new();
        deframer.up(bytes, |frame| {
            if let Ok(frame) = frame {
                answers.extend(self.handle(&frame));
            }
        });
        self.deframer = deframer;
        answers.iter().map(frame).collect()
    }

    fn handle(&mut self, up: &Up<'_>) -> Option<Down> {
        if let Up::Hello(hello) = up {
            self.hellos += 1;
            if let (Standing::Former, Some(boot)) = (hello.standing, hello.boot) {
                self.former = Some(boot);
                self.floors.insert(boot, hello.floor);
                if self.ended.contains(&boot) {
                    self.violations.push(format!("{boot} had ended"));
                }
            } else {
                self.session = hello.boot;
                self.former = None;
            }
            if let Some(boot) = hello.boot {
                self.floors.insert(boot, hello.floor);
                if hello.standing == Standing::Present {
                    self.ended.extend(self.floors.keys().filter(|other| **other != boot));
                }
            }
            let boot = hello.boot.unwrap_or_else(|| {
                self.boots += 1;
                BootId(0xb007_0000 + self.boots)
            });
            let answers = HelloMark::of(hello.boot, hello.next);
            return Some(Down::Welcome(Welcome { answers, boot, unix_ms: 1_700_000_000_000, error_ms: 5 }));
        }
        let spoken_for = [self.session, self.former].into_iter().flatten();
        let of = |boot: &BootId| up.boot().is_none_or(|tag| tag == boot.tag());
        let Some(boot) = self.session.and(spoken_for.into_iter().find(of)) else {
            return Some(Down::Identify);
        };
        match up {
            Up::Readings(readings) => {
                self.readings_frames += 1;
                self.floors.insert(boot, readings.floor);
                let mut samples = readings.samples();
                while let Some(reading) = samples.next(&SCALES) {
                    match reading {
                        Ok(reading) => self.keep(boot, reading),
                        Err(error) => self.violations.push(format!("a sound frame held {error}")),
                    }
                }
            }
            Up::Heartbeat(heartbeat) => {
                self.floors.insert(boot, heartbeat.floor);
                self.heartbeats.push(*heartbeat);
            }
            Up::Lost(lost) => {
                self.lost_frames += 1;
                self.floors.insert(boot, lost.floor);
                self.unsafe_losses.extend((lost.range.start..lost.range.end).map(|seq| (boot, seq)));
            }
            Up::SettingsResult { result, .. } => self.results.push(*result),
            Up::Hello(_) => {}
        }
        None
    }

    fn keep(&mut self, boot: BootId, reading: Reading) {
        let key = (boot, reading.seq.0);
        let known = self.readings.get(&key).or_else(|| self.unsafe_readings.get(&key));
        match known {
            Some(known) if *known != reading => {
                self.violations.push(format!("{key:?} came with another content: {known:?}, {reading:?}"));
            }
            Some(_) => {}
            None => {
                self.unsafe_readings.insert(key, reading);
            }
        }
    }

    /// Makes all safe, and acknowledges of each boot on the link the run that starts at its floor.
    pub fn commit(&mut self) -> Option<Vec<u8>> {
        self.readings.append(&mut self.unsafe_readings);
        self.losses.append(&mut self.unsafe_losses);
        self.session?;
        let boots = [self.session, self.former].into_iter().flatten();
        Some(boots.flat_map(|boot| frame(&Down::Ack { boot, up_to: self.safe_up_to(boot) })).collect())
    }

    fn safe_up_to(&self, boot: BootId) -> Seq {
        let mut up_to = self.floors.get(&boot).map_or(0, |floor| floor.0);
        while self.readings.contains_key(&(boot, up_to)) || self.losses.contains(&(boot, up_to)) {
            up_to += 1;
        }
        Seq(up_to)
    }

    /// Loses what was not safe, and forgets who is on the link.
    pub fn restart(&mut self) {
        self.unsafe_readings.clear();
        self.unsafe_losses.clear();
        self.new_link();
    }

    pub fn new_link(&mut self) {
        self.session = None;
        self.former = None;
        self.deframer.reset();
    }
}

pub fn frame(down: &Down) -> Vec<u8> {
    let mut out = vec![0; 64];
    let len = encode_down(down, &mut out).expect("a down frame fits its bound");
    out.truncate(len);
    out
}
