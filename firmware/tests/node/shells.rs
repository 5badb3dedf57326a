//! The blocking and the asynchronous shell: drivers of embedded-io on one side, a gateway on the other.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    mem::replace,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use embedded_hal::{delay::DelayNs, digital};
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use tidegate_firmware::{
    BlockingLink, Identity, LinkError, Node, NodeConfig, Sampling, asynchronous,
    blocking::Turn,
    channel,
    sampler::{self, Contact, RunError, Sensor},
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Seq, Tick, Value, ValueKind, id::ChannelIndex,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::support::Gateway;

type TestNode<'a> = Node<'a, 1, [u8; 1_024]>;

fn channels() -> [ChannelDecl<&'static str>; 1] {
    [channel("parts", "count", ValueKind::Decimal, 2).unwrap()]
}

fn node<'a>(channels: &'a [ChannelDecl<&'a str>]) -> TestNode<'a> {
    let identity = Identity { device: DeviceId::new("press-1").unwrap(), tag: "", firmware: "test" };
    let mut node = Node::new(identity, Some(BootId(1)), channels, [0; 1_024], NodeConfig::DEFAULT).unwrap();
    node.set_sampling(ChannelIndex(0), Sampling::every(10)).unwrap();
    node
}

/// 0, 1, 2 … with each sample.
fn counter() -> impl Sensor {
    let mut counted = 0;
    move |_: ChannelIndex| {
        counted += 1;
        (Value::Decimal { mantissa: counted - 1, scale: 2 }, Quality::Good)
    }
}

fn counted(gateway: &Gateway) -> Vec<i64> {
    let mantissa = |value| if let Value::Decimal { mantissa, .. } = value { mantissa } else { -1 };
    gateway.unsafe_readings.values().map(|reading| mantissa(reading.value)).collect()
}

/// A serial line with a gateway at its other end, that can be made to fail.
#[derive(Clone, Default)]
struct Line {
    gateway: Rc<RefCell<Gateway>>,
    incoming: Rc<RefCell<VecDeque<u8>>>,
    broken: Rc<Cell<bool>>,
}

impl ErrorType for Line {
    type Error = ErrorKind;
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!self.incoming.borrow().is_empty())
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut incoming = self.incoming.borrow_mut();
        let len = incoming.len().min(buffer.len()).min(5);
        buffer[..len].iter_mut().zip(incoming.drain(..len)).for_each(|(target, byte)| *target = byte);
        Ok(len)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.broken.get() {
            return Err(ErrorKind::BrokenPipe);
        }
        // Short writes, as drivers have them.
        let taken = bytes.len().min(7);
        for answer in self.gateway.borrow_mut().receive(&bytes[..taken]) {
            self.incoming.borrow_mut().extend(answer);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A clock that only sleeping moves.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl DelayNs for Clock {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + u64::from(ns).div_ceil(1_000_000));
    }
}

#[test]
fn the_main_loop_brings_samples_to_the_gateway_and_says_hello_again_after_a_broken_line() {
    let channels = channels();
    let (mut node, line, clock) = (node(&channels), Line::default(), Clock::default());
    let mut link = BlockingLink::<_, 256>::new(line.clone());
    let mut sensor = counter();
    for broken in [100, 200] {
        let now = || {
            line.broken.set(clock.0.get() >= broken);
            Tick(clock.0.get())
        };
        let ended = sampler::run(&mut node, &mut link, &mut sensor, &mut clock.clone(), now);
        assert_eq!(ended.map(|_| ()), Err(RunError::Link(LinkError::Io(ErrorKind::BrokenPipe))));
        assert!(!node.is_welcomed());
    }
    let gateway = line.gateway.borrow();
    assert_eq!(gateway.hellos, 2);
    assert_eq!(counted(&gateway), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_buffer_that_cannot_hold_the_hello_is_refused_at_once() {
    let channels = channels();
    let mut node = node(&channels);
    let mut link = BlockingLink::<_, 64>::new(Line::default());
    assert_eq!(link.turn(&mut node, Tick(0)), Err(LinkError::BufferTooShort { have: 64, need: 128 }));
}

#[test]
fn a_turn_sends_one_frame_and_tells_when_to_come_again() {
    let channels = channels();
    let mut node = node(&channels);
    let mut link = BlockingLink::<_, 256>::new(Line::default());
    assert_eq!(link.turn(&mut node, Tick(0)), Ok(Turn::Moved), "hello");
    assert_eq!(link.turn(&mut node, Tick(0)), Ok(Turn::Moved), "welcome in, heartbeat out");
    node.due(Tick(0));
    assert_eq!(link.turn(&mut node, Tick(0)), Ok(Turn::IdleUntil(Some(Tick(10)))));
}

struct Pin(Result<bool, digital::ErrorKind>);

impl digital::ErrorType for Pin {
    type Error = digital::ErrorKind;
}

impl digital::InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, digital::ErrorKind> {
        self.0
    }

    fn is_low(&mut self) -> Result<bool, digital::ErrorKind> {
        self.0.map(|high| !high)
    }
}

#[test]
fn a_contact_that_cannot_be_read_repeats_itself_as_bad() {
    let measure = |pin: Pin| Contact::new(pin).measure(ChannelIndex(0));
    assert_eq!(measure(Pin(Ok(true))), (Value::Bool(true), Quality::Good));
    assert_eq!(measure(Pin(Err(digital::ErrorKind::Other))), (Value::Bool(false), Quality::Bad));
}

struct Reader(ReadHalf<DuplexStream>);
struct Writer(WriteHalf<DuplexStream>);

impl ErrorType for Reader {
    type Error = ErrorKind;
}

impl ErrorType for Writer {
    type Error = ErrorKind;
}

impl embedded_io_async::Read for Reader {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).await.map_err(|_| ErrorKind::Other)
    }
}

impl embedded_io_async::Write for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).await.map_err(|_| ErrorKind::Other)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

struct Sleep;

impl embedded_hal_async::delay::DelayNs for Sleep {
    async fn delay_ns(&mut self, ns: u32) {
        tokio::time::sleep(Duration::from_nanos(u64::from(ns))).await;
    }
}

/// Serves a board until it has been given so many readings, then hangs up.
async fn serve(mut stream: DuplexStream, readings: usize) -> Gateway {
    let (mut gateway, mut bytes) = (Gateway::default(), [0; 512]);
    while gateway.unsafe_readings.len() < readings {
        let len = stream.read(&mut bytes).await.unwrap();
        for answer in gateway.receive(&bytes[..len]) {
            stream.write_all(&answer).await.unwrap();
        }
    }
    gateway
}

#[tokio::test]
async fn three_loops_over_one_node_measure_send_and_hear() {
    let channels = channels();
    let node = RefCell::new(node(&channels));
    let (near, far) = tokio::io::duplex(200);
    let (reader, writer) = tokio::io::split(near);
    let started = Instant::now();
    let now = || Tick(started.elapsed().as_millis() as u64);
    let (mut buffer, mut sensor) = ([0; 256], counter());
    let board = async {
        tokio::select! {
            ended = asynchronous::receive(&node, Reader(reader), now) => format!("{:?}", ended.map(|_| ())),
            ended = asynchronous::transmit(&node, Writer(writer), &mut buffer, Sleep, now) => format!("{:?}", ended.map(|_| ())),
            ended = asynchronous::sample(&node, &mut sensor, Sleep, now) => format!("{:?}", ended.map(|_| ())),
        }
    };
    let (ended, gateway) = tokio::join!(board, serve(far, 5));
    assert!(["Err(Closed)", "Err(Io(Other))"].contains(&ended.as_str()), "{ended}");
    assert!(!node.borrow().is_welcomed());
    assert_eq!(counted(&gateway)[..5], [0, 1, 2, 3, 4]);
}

/// Longer than any test.
struct Forever;

impl embedded_hal_async::delay::DelayNs for Forever {
    async fn delay_ns(&mut self, _: u32) {
        std::future::pending::<()>().await;
    }
}

/// Looks at the node while it waits for its chip, which takes five periods.
struct Waiting<'a, 'b> {
    node: &'a RefCell<TestNode<'b>>,
    clock: Clock,
    measured: Rc<Cell<u32>>,
}

impl asynchronous::AsyncSensor for Waiting<'_, '_> {
    async fn measure(&mut self, _: ChannelIndex) -> (Value, Quality) {
        self.measured.set(self.measured.get() + 1);
        assert!(self.measured.get() < 3, "a round without an end");
        let mut asked = false;
        poll_fn(|_| if replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.node.borrow_mut().receive(Tick(self.clock.0.get()), &[0]);
        self.clock.0.set(self.clock.0.get() + 50);
        (Value::Decimal { mantissa: 7, scale: 2 }, Quality::Good)
    }
}

#[test]
fn the_node_is_free_while_a_sensor_waits_and_a_round_ends_however_long_that_takes() {
    let (channels, clock) = (channels(), Clock::default());
    let node = RefCell::new(node(&channels));
    let measured = Rc::new(Cell::new(0));
    let mut sensor = Waiting { node: &node, clock: clock.clone(), measured: measured.clone() };
    let sampling = asynchronous::sample(&node, &mut sensor, Forever, || Tick(clock.0.get()));
    // Once to where the sensor waits, once to where the loop does.
    let mut sampling = pin!(sampling);
    for _ in 0..2 {
        assert!(sampling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!((measured.get(), node.borrow().next_seq()), (1, Seq(1)));
}
