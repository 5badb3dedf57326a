//! Carries a plan out, heals everything, and waits until every reading is accounted for.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tidegate_tests::api::{Api, number};

use crate::{
    boards::Boards,
    damage::{Damaged, damage},
    plan::{Act, Kind, Link, Program, Step, Wanted, plan},
    programs::Supervised,
    report::Report,
    switchboard::Switchboard,
};

const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Bounds a failed run only.
const PATIENCE: Duration = Duration::from_secs(150);
const RULES: &str = "[[rule]]\nid = \"high\"\nselect = { device = \"board-*\", channel = \"level\" }\n\
                     above = 2.0\npriority = \"high\"\n";

pub struct Trial {
    run: PathBuf,
    board: Arc<Switchboard>,
    programs: Vec<Supervised>,
    pub boards: Boards,
    pub damaged_in_queues: Damaged,
    pub damaged_in_journal: Damaged,
    pub report: Report,
    wanted: Wanted,
}

impl Trial {
    pub async fn start(run: &Path, wanted: Wanted, replay: String) -> io::Result<Self> {
        let board = Switchboard::start().await?;
        std::fs::write(run.join("rules.toml"), RULES)?;
        let programs = Program::ALL.map(|program| Supervised::new(run, program, &board, wanted.mounts));
        let programs = programs.into_iter().collect::<io::Result<_>>()?;
        let links = (0..crate::plan::BOARDS).map(|number| board.link(Link::Board(number)).addr());
        let boards = Boards::start(wanted.seed, links.collect());
        let report = Report { seed: wanted.seed, replay, ..Report::default() };
        Ok(Self {
            run: run.to_owned(),
            board,
            programs,
            boards,
            damaged_in_queues: Damaged::default(),
            damaged_in_journal: Damaged::default(),
            report,
            wanted,
        })
    }

    /// All of it: the faults, the healing, the wait.
    pub async fn go(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let mut shown = began;
        for step in plan(&self.wanted) {
            if let Some(kind) = step.act.kind() {
                *self.report.planned.entry(kind).or_default() += 1;
            }
            let at = began + Duration::from_millis(step.at_ms);
            self.tend()?;
            while Instant::now() < at {
                tokio::time::sleep(LOOK_AGAIN.min(at - Instant::now())).await;
                self.tend()?;
            }
            self.act(step).await?;
            if shown.elapsed() > Duration::from_secs(30) {
                shown = Instant::now();
                let kills = self.report.done.get(&Kind::Kill).copied().unwrap_or_default();
                eprintln!(
                    "{:.0} s: {kills} kills, {} readings measured, {} violations",
                    began.elapsed().as_secs_f64(),
                    self.boards.measured(),
                    self.report.violations.len()
                );
            }
        }
        self.report.elapsed = began.elapsed();
        let healing = Instant::now();
        self.heal()?;
        self.settle().await?;
        self.report.healed_in = healing.elapsed();
        Ok(())
    }

    fn tend(&mut self) -> io::Result<()> {
        for program in &mut self.programs {
            if let Some(violation) = program.tend(&self.board)? {
                self.report.violation(violation);
            }
        }
        Ok(())
    }

    fn of(&mut self, program: Program) -> &mut Supervised {
        self.programs.iter_mut().find(|one| one.program == program).expect("every program is supervised")
    }

    async fn act(&mut self, step: Step) -> io::Result<()> {
        let happened = match step.act {
            Act::Kill { program, pause_ms } => self.of(program).kill(Duration::from_millis(pause_ms)),
            Act::Terminate(program) => self.of(program).terminate(),
            Act::Freeze(program) => self.of(program).signal(libc::SIGSTOP),
            Act::Thaw(program) => self.of(program).signal(libc::SIGCONT),
            Act::Cut(_) | Act::Stall(_) | Act::Throttle(..) | Act::Restore(_) | Act::Roam(_) => {
                self.on_link(step.act)
            }
            Act::Damage { program, choice } => self.damage(program, choice)?,
            Act::Reboot(board) => {
                self.boards.reboot(board).await;
                true
            }
            Act::Fill(program) | Act::Free(program) => self.on_disk(program, step.act)?,
            Act::Deny { program, .. } | Act::Allow(program) => self.on_disk(program, step.act)?,
            Act::ReadOnly(program) | Act::Writable(program) => self.on_disk(program, step.act)?,
        };
        if let Some(kind) = step.act.kind().filter(|_| happened) {
            self.report.count(kind);
        }
        Ok(())
    }

    fn on_link(&self, act: Act) -> bool {
        match act {
            Act::Cut(link) => self.board.link(link).cut(),
            Act::Stall(link) => self.board.link(link).stall(),
            Act::Throttle(link, bytes_per_s) => self.board.link(link).limit(bytes_per_s),
            Act::Roam(board) => {
                self.board.link(Link::Board(board)).cut();
                self.board.roam(board);
            }
            Act::Restore(link) => {
                self.board.link(link).limit(0);
                self.board.link(link).restore();
            }
            _ => return false,
        }
        true
    }

    fn on_disk(&mut self, program: Program, act: Act) -> io::Result<bool> {
        let one = self.of(program);
        let begins = matches!(act, Act::Fill(_) | Act::Deny { .. } | Act::ReadOnly(_));
        one.disk_is_faulty(begins);
        let kills = matches!(act, Act::Deny { kill: true, .. } | Act::ReadOnly(_));
        let killed = kills && one.kill(Duration::ZERO);
        if let Some(disk) = &one.disk {
            match act {
                Act::Fill(_) => disk.fill()?,
                Act::Free(_) => disk.free()?,
                Act::Deny { .. } => disk.deny()?,
                Act::Allow(_) => disk.allow()?,
                Act::ReadOnly(_) => disk.read_only(true)?,
                Act::Writable(_) => disk.read_only(false)?,
                _ => {}
            }
        }
        if killed {
            self.report.count(Kind::Kill);
        }
        Ok(true)
    }

    /// Kills the program, damages its file, and lets it start again.
    fn damage(&mut self, program: Program, choice: u64) -> io::Result<bool> {
        let one = self.of(program);
        let killed = one.kill(Duration::ZERO);
        let file = one.disk.as_ref().zip(program.database()).map(|(disk, file)| disk.folder().join(file));
        let Some(file) = file else { return Ok(false) };
        let damaged = match program {
            Program::Ingest => &mut self.damaged_in_journal,
            _ => &mut self.damaged_in_queues,
        };
        let blocks = damage(&file, choice, damaged)?;
        if killed {
            self.report.count(Kind::Kill);
        }
        Ok(blocks > 0)
    }

    fn heal(&mut self) -> io::Result<()> {
        self.board.restore_all();
        for program in &mut self.programs {
            program.signal(libc::SIGCONT);
            if let Some(disk) = &program.disk {
                disk.heal()?;
                program.disk_is_faulty(false);
            }
        }
        Ok(())
    }

    /// Lets the boards deliver, and the agents too.
    async fn settle(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.boards.stop_measuring();
        loop {
            self.tend()?;
            let why = match self.unfinished().await {
                Ok(None) => break,
                Ok(Some(why)) | Err(why) => why,
            };
            if Instant::now() > deadline {
                self.report.violation(format!("not all was accounted for in {PATIENCE:?}: {why}"));
                break;
            }
            tokio::time::sleep(LOOK_AGAIN * 4).await;
        }
        let unsettled = self.boards.finish(Duration::from_secs(1)).await;
        unsettled.into_iter().for_each(|what| self.report.violation(what));
        Ok(())
    }

    /// What is still on its way, if anything is.
    async fn unfinished(&self) -> Result<Option<String>, String> {
        if let Some(board) = self.boards.unsettled() {
            return Ok(Some(board));
        }
        for agent in 0..crate::plan::AGENTS {
            let address = self.board.status(agent).ok_or("an agent never listened")?;
            let status = Api::new(address).try_get("/status").await?;
            if status["uplink_up"] != true || number(&status, "/queue/blocks") > 0 {
                return Ok(Some(format!("agent {agent}: {}", brief(&status))));
            }
        }
        let audit = self.api()?.try_get("/api/v1/audit").await?;
        let outstanding = number(&audit, "/totals/outstanding");
        if outstanding > 0 {
            return Ok(Some(format!("{outstanding} readings are outstanding: {}", outstanding_of(&audit))));
        }
        Ok(None)
    }

    pub fn api(&self) -> Result<Api, String> {
        self.board.http().map(Api::new).ok_or_else(|| "the ingest never listened".to_owned())
    }

    pub fn ingest_data(&mut self) -> PathBuf {
        let disk = self.of(Program::Ingest).disk.as_ref();
        disk.map(|disk| disk.folder().to_owned()).unwrap_or_default()
    }

    /// Ends the programs, and counts what they said.
    pub fn end(&mut self) -> io::Result<()> {
        for program in &mut self.programs {
            if let Some(violation) = program.farewell() {
                self.report.violation(violation);
            }
            let (name, mut took) = (program.program.name(), program.start_ms());
            took.sort_unstable();
            let (median, longest) = (took.get(took.len() / 2), took.last());
            let starts = format!("{} ({} refused by the disk)", program.launches, program.refusals);
            self.report.figure(&format!("{name}: starts"), starts);
            if let (Some(median), Some(longest)) = (median, longest) {
                self.report
                    .figure(&format!("{name}: ms to start, median, longest"), format!("{median}, {longest}"));
            }
            let log = std::fs::read(program.log())?;
            for line in String::from_utf8_lossy(&log).lines().filter(|line| line.contains("panicked at")) {
                self.report.violation(format!("{name} panicked: {line}"));
            }
        }
        Ok(())
    }

    /// Copies what lies on mounted disks to where it outlives this process.
    pub fn keep(&self) -> io::Result<()> {
        for program in &self.programs {
            if let Some(disk) = &program.disk {
                disk.keep(&self.run.join("kept").join(program.program.name()))?;
            }
        }
        Ok(())
    }
}

fn brief(status: &Value) -> String {
    format!("uplink {}, queue {}, link {}", status["uplink_up"], status["queue"], status["link"])
}

fn outstanding_of(audit: &Value) -> String {
    let origins = audit["origins"].as_array().into_iter().flatten();
    let open = origins.filter(|origin| origin["outstanding"] != 0);
    let shown =
        |origin: &Value| format!("{} {} {}", origin["device"], origin["boot"], origin["outstanding_ranges"]);
    open.take(4).map(shown).collect::<Vec<_>>().join("; ")
}
