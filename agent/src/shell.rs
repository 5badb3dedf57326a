//! The task that owns the core: brings it events, performs what it asks for.
//!
//! Answers of the queue and the uplink come first. Frames and samples come through a bounded channel of their own
//! that is not read while the core's memory is full, so that boards feel it as a link that does not take more.

use tidegate_protocol::frame::Down;
use tokio::{
    sync::{
        mpsc::{Receiver, Sender, channel},
        oneshot,
    },
    time::sleep_until,
};

use crate::{
    clock::ShellClock,
    core::{Core, Effect, Event, View},
    failpoint::FailPoint,
    links::{Links, ToBoard},
    local_actions::LocalActions,
    queue::Queue,
    running::StoppedError,
    uplink::Uplink,
};

/// Messages of sources that wait for the core. One holds what was read of a link at once, unpacked (about 40 KiB).
pub const SOURCE_MESSAGES: usize = 16;
/// Answers of the queue and the uplink that wait for the core.
pub const ANSWERS: usize = 1_024;
const QUESTIONS: usize = 16;

/// What others may ask of the running core.
pub enum Question {
    View(oneshot::Sender<View>),
    /// Resolves once all is committed or acknowledged; with `everything`, once all is acknowledged and deleted.
    Drained {
        everything: bool,
        done: oneshot::Sender<()>,
    },
}

/// Asks the core's task.
#[derive(Clone)]
pub struct Questions(Sender<Question>);

impl Questions {
    /// None when the core is gone.
    pub async fn view(&self) -> Option<View> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question::View(answer)).await.ok()?;
        answered.await.ok()
    }

    pub async fn drained(&self, everything: bool) {
        let (done, answered) = oneshot::channel();
        if self.0.send(Question::Drained { everything, done }).await.is_ok() {
            let _gone = answered.await;
        }
    }
}

/// Where events come from.
pub struct Incoming {
    /// Of the queue and the uplink.
    pub answers: Receiver<Event>,
    pub sources: Receiver<Event>,
}

pub struct Shell {
    pub core: Core,
    pub clock: ShellClock,
    pub queue: Queue,
    pub uplink: Uplink,
    pub links: Links,
    pub local_actions: LocalActions,
    pub answers: Receiver<Event>,
    pub sources: Receiver<Event>,
    questions: Receiver<Question>,
    waiting: Vec<(bool, oneshot::Sender<()>)>,
}

impl Shell {
    pub fn new(
        core: Core,
        clock: ShellClock,
        queue: Queue,
        uplink: Uplink,
        links: Links,
        local_actions: LocalActions,
        incoming: Incoming,
    ) -> (Self, Questions) {
        let Incoming { answers, sources } = incoming;
        let (ask, questions) = channel(QUESTIONS);
        let waiting = Vec::new();
        let shell =
            Self { core, clock, queue, uplink, links, local_actions, answers, sources, questions, waiting };
        (shell, Questions(ask))
    }

    /// Runs until all that can ask questions is gone; then says goodbye to the broker and closes the queue. Ends with an
    /// error when the queue's threads are gone: without them nothing would ever be safe again.
    pub async fn run(mut self) -> Result<(), StoppedError> {
        self.core.handle(self.clock.now(), self.clock.quality());
        let mut sources_open = true;
        let ended = loop {
            self.perform();
            self.tell_who_waits();
            let wakeup = self.clock.instant_of(self.core.next_wakeup());
            tokio::select! {
                biased;
                event = self.answers.recv() => match event {
                    Some(event) => self.answered(event),
                    None => break Ok(()),
                },
                thread = self.queue.ended() => break Err(StoppedError::Queue(thread)),
                question = self.questions.recv() => match question {
                    Some(question) => self.asked(question),
                    None => break Ok(()),
                },
                event = self.sources.recv(), if sources_open && self.core.takes_frames() => match event {
                    Some(event) => self.core.handle(self.clock.now(), event),
                    None => sources_open = false,
                },
                () = sleep_until(wakeup) => {
                    let now = self.clock.now();
                    self.core.handle(now, self.clock.quality());
                }
            }
        };
        self.uplink.stop().await;
        drop(self.answers);
        // Closing waits for the transaction under way.
        let (queue, local_actions) = (self.queue, self.local_actions);
        let closing = move || {
            drop(queue);
            local_actions.stop();
        };
        let _panicked = tokio::task::spawn_blocking(closing).await;
        ended
    }

    /// Takes all answers that are there before effects are performed: acknowledgements come in bursts.
    fn answered(&mut self, event: Event) {
        let now = self.clock.now();
        self.core.handle(now, event);
        while let Ok(event) = self.answers.try_recv() {
            self.core.handle(now, event);
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Send { link, frame } => {
                    if matches!(frame, Down::Ack { .. }) {
                        FailPoint::BeforeBoardAck.hit();
                    }
                    self.links.send(link, ToBoard::Frame(frame));
                }
                Effect::Commit(batch) => self.queue.commit(batch),
                Effect::Load { keys } => self.queue.load(keys),
                Effect::Publish { lane, number, block } => self.uplink.publish(lane, number, block),
                Effect::Report(reported) => self.uplink.report(&reported),
                Effect::AnswerRules(answer) => self.uplink.answer_rules(&answer),
                Effect::Verdicts(verdicts) => self.uplink.tell_verdicts(&verdicts),
                Effect::Held { link, device, held, from } => {
                    tracing::warn!(
                        %device, from, link = link.0, why = held.name(),
                        "a board is held: it is not welcomed, and keeps its readings; `tidegate-agent devices pending` lists it"
                    );
                }
                Effect::LocalAlarm { key, alarm } => self.local_actions.changed(key, alarm),
            }
        }
    }

    fn asked(&mut self, question: Question) {
        match question {
            Question::View(answer) => {
                let _gone = answer.send(self.core.view(self.clock.now().at));
            }
            Question::Drained { everything, done } => {
                if !everything {
                    self.core.handle(self.clock.now(), Event::Flush);
                }
                self.waiting.push((everything, done));
            }
        }
    }

    fn tell_who_waits(&mut self) {
        if self.waiting.is_empty() || !self.sources.is_empty() {
            return;
        }
        let (safe, drained) = (self.core.is_safe(), self.core.is_drained());
        for (everything, done) in std::mem::take(&mut self.waiting) {
            if if everything { drained } else { safe } {
                let _gone = done.send(());
            } else {
                self.waiting.push((everything, done));
            }
        }
    }
}
