//! A watchdog that the loops feed, on a clock of its own: it must starve when one of them hangs, and only then.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use embedded_io::{ErrorKind, ErrorType};
use tidegate_firmware::{
    BlockingLink, Identity, Node, NodeConfig, Sampling,
    asynchronous::{AsyncSensor, Watched},
    channel,
    sampler::{self, RunError},
    watchdog::Watchdog,
};
use tidegate_protocol::{BootId, ChannelDecl, DeviceId, Quality, Tick, Value, ValueKind, id::ChannelIndex};

use crate::support::Gateway;

/// Everything is well before this time; a fault starts then and lasts.
const FAULT_MS: u64 = 20_000;
const END_MS: u64 = 40_000;
/// What the loops may take for a round: their sleep.
const ROUND_MS: u64 = 20;

fn channels() -> [ChannelDecl<&'static str>; 1] {
    [channel("parts", "count", ValueKind::Decimal, 2).unwrap()]
}

fn node<'a>(channels: &'a [ChannelDecl<&'a str>]) -> Node<'a, 1, [u8; 1_024]> {
    let identity = Identity { device: DeviceId::new("press-1").unwrap(), tag: "", firmware: "test" };
    let mut node = Node::new(identity, Some(BootId(1)), channels, [0; 1_024], NodeConfig::DEFAULT).unwrap();
    node.set_sampling(ChannelIndex(0), Sampling::every(100)).unwrap();
    node
}

const PART: (Value, Quality) = (Value::Decimal { mantissa: 1, scale: 2 }, Quality::Good);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hangs {
    Nothing,
    Reading,
    Writing,
    Measuring,
}

#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl Clock {
    fn now(&self) -> Tick {
        Tick(self.0.get())
    }

    fn is_past(&self, ms: u64) -> bool {
        self.0.get() >= ms
    }
}

impl embedded_hal::delay::DelayNs for Clock {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + u64::from(ns).div_ceil(1_000_000));
    }
}

impl embedded_hal_async::delay::DelayNs for Clock {
    async fn delay_ns(&mut self, ns: u32) {
        let until = self.0.get() + u64::from(ns).div_ceil(1_000_000);
        poll_fn(|_| if self.is_past(until) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// How long it went hungry at most.
struct Dog {
    clock: Clock,
    fed_at: u64,
    longest_ms: u64,
}

impl Dog {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), fed_at: 0, longest_ms: 0 }
    }

    fn hungry_ms(&self) -> u64 {
        self.longest_ms.max(self.clock.0.get() - self.fed_at)
    }
}

impl Watchdog for &mut Dog {
    fn feed(&mut self) {
        self.longest_ms = self.hungry_ms();
        self.fed_at = self.clock.0.get();
    }
}

/// A line whose gateway answers, and whose end of this world is that writing fails.
struct Line {
    clock: Clock,
    hangs: Hangs,
    gateway: Rc<RefCell<Gateway>>,
    answers: Rc<RefCell<VecDeque<u8>>>,
}

impl Line {
    fn new(clock: &Clock, hangs: Hangs) -> Self {
        Self { clock: clock.clone(), hangs, gateway: Rc::default(), answers: Rc::default() }
    }

    fn other_end(&self) -> Self {
        let Self { clock, hangs, gateway, answers } = self;
        Self { clock: clock.clone(), hangs: *hangs, gateway: gateway.clone(), answers: answers.clone() }
    }

    fn hangs(&self, place: Hangs) -> bool {
        self.hangs == place && self.clock.is_past(FAULT_MS)
    }

    fn hear(&self, bytes: &[u8]) {
        self.gateway
            .borrow_mut()
            .receive(bytes)
            .iter()
            .for_each(|frame| self.answers.borrow_mut().extend(frame));
    }

    fn take(&self, buffer: &mut [u8]) -> usize {
        let mut answers = self.answers.borrow_mut();
        let len = answers.len().min(buffer.len());
        buffer[..len].iter_mut().zip(answers.drain(..len)).for_each(|(target, byte)| *target = byte);
        len
    }
}

impl ErrorType for Line {
    type Error = ErrorKind;
}

impl embedded_io::ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!self.answers.borrow().is_empty() || self.hangs(Hangs::Reading) && !self.clock.is_past(END_MS))
    }
}

impl embedded_io::Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.hangs(Hangs::Reading) {
            // Noise without an end: one byte each millisecond.
            self.clock.0.set(self.clock.0.get() + 1);
            buffer[0] = 0x55;
            return Ok(1);
        }
        Ok(self.take(buffer))
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.hangs(Hangs::Writing) {
            self.clock.0.set(END_MS);
        }
        if self.clock.is_past(END_MS) {
            return Err(ErrorKind::BrokenPipe);
        }
        self.hear(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

fn hungry_under_the_main_loop(hangs: Hangs) -> u64 {
    let (channels, clock) = (channels(), Clock::default());
    let (mut node, mut dog) = (node(&channels), Dog::new(&clock));
    let mut link = BlockingLink::<_, 256>::new(Line::new(&clock, hangs));
    let slow = clock.clone();
    let mut sensor = move |_: ChannelIndex| {
        if hangs == Hangs::Measuring && slow.is_past(FAULT_MS) {
            slow.0.set(END_MS);
        }
        PART
    };
    let (mut delay, now) = (clock.clone(), || clock.now());
    let ended = sampler::run_watched(&mut node, &mut link, &mut sensor, &mut delay, &mut &mut dog, now);
    assert!(matches!(ended, Err(RunError::Link(_))));
    dog.hungry_ms()
}

#[test]
fn the_main_loop_feeds_it_until_something_hangs() {
    assert!(hungry_under_the_main_loop(Hangs::Nothing) <= ROUND_MS);
    for hangs in [Hangs::Reading, Hangs::Writing, Hangs::Measuring] {
        assert!(hungry_under_the_main_loop(hangs) >= END_MS - FAULT_MS - ROUND_MS, "{hangs:?}");
    }
}

impl embedded_io_async::Read for Line {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| match self.take(buffer) {
            0 => Poll::Pending,
            len => Poll::Ready(Ok(len)),
        })
        .await
    }
}

impl embedded_io_async::Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| if self.hangs(Hangs::Writing) { Poll::Pending } else { Poll::Ready(()) }).await;
        self.hear(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Which of the loops are no more from [`FAULT_MS`] on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    None,
    Receive,
    Transmit,
    Sample,
}

/// Takes some time for each measurement.
struct Slow {
    clock: Clock,
    takes_ms: u64,
    hangs: Hangs,
}

impl AsyncSensor for Slow {
    async fn measure(&mut self, _: ChannelIndex) -> (Value, Quality) {
        let (until, hangs) = (self.clock.0.get() + self.takes_ms, self.hangs == Hangs::Measuring);
        poll_fn(|_| match self.clock.is_past(until) && !(hangs && self.clock.is_past(FAULT_MS)) {
            true => Poll::Ready(PART),
            false => Poll::Pending,
        })
        .await
    }
}

fn hungry_under_three_loops(hangs: Hangs, ends: Ends) -> u64 {
    let (channels, clock) = (channels(), Clock::default());
    let (node, mut dog) = (RefCell::new(node(&channels)), Dog::new(&clock));
    let line = Line::new(&clock, hangs);
    let (mut buffer, mut sensor) = ([0; 256], Slow { clock: clock.clone(), takes_ms: 5, hangs });
    let now = || clock.now();
    {
        let watched = Watched::new(&mut dog);
        let mut receive = Some(Box::pin(watched.receive(&node, line.other_end(), now)));
        let mut transmit = Some(Box::pin(watched.transmit(&node, line, &mut buffer, clock.clone(), now)));
        let mut sample = Some(Box::pin(watched.sample(&node, &mut sensor, clock.clone(), now)));
        for ms in 0..=END_MS {
            clock.0.set(ms);
            if ms == FAULT_MS {
                receive = receive.filter(|_| ends != Ends::Receive);
                transmit = transmit.filter(|_| ends != Ends::Transmit);
                sample = sample.filter(|_| ends != Ends::Sample);
            }
            let loops: [Option<Pin<&mut dyn Loop>>; 3] =
                [receive.as_mut().map(running), transmit.as_mut().map(running), sample.as_mut().map(running)];
            loops.into_iter().flatten().for_each(|each| assert!(each.goes_on()));
        }
    }
    dog.hungry_ms()
}

/// A future whose result is of no interest.
trait Loop {
    fn goes_on(self: Pin<&mut Self>) -> bool;
}

impl<F: Future> Loop for F {
    fn goes_on(self: Pin<&mut Self>) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

fn running<'a, F: Future + 'a>(future: &'a mut Pin<Box<F>>) -> Pin<&'a mut dyn Loop> {
    future.as_mut()
}

#[test]
fn three_loops_feed_it_as_long_as_all_go_round() {
    assert!(hungry_under_three_loops(Hangs::Nothing, Ends::None) <= ROUND_MS);
    let faults = [
        (Hangs::Writing, Ends::None),
        (Hangs::Measuring, Ends::None),
        (Hangs::Nothing, Ends::Receive),
        (Hangs::Nothing, Ends::Transmit),
        (Hangs::Nothing, Ends::Sample),
    ];
    for (hangs, ends) in faults {
        let hungry = hungry_under_three_loops(hangs, ends);
        // A sample comes each 100 ms, and is written then.
        assert!(hungry >= END_MS - FAULT_MS - 100 - ROUND_MS, "{hangs:?}, {ends:?}: {hungry} ms");
    }
}
