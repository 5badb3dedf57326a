//! A board with a queue in flash, before a real chain: an outage, a power cut in it, and everything that was in flash arrives beside what
//! the board measures then.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use embedded_io::ErrorKind;
use sequential_storage::mock_flash::{MockFlashBase, WriteCountCheck};
use tidegate_firmware::{
    BlockingLink, Identity, Node, NodeConfig,
    blocking::finish,
    channel,
    flash::{Keeper, Memory},
};
use tidegate_protocol::{BootId, ChannelDecl, ChannelIndex, DeviceId, Quality, Tick, Value, ValueKind};
use tidegate_tests::{api::number, chain::Chain};

/// 64 KB in pages of 4 KB, of which the last two are the memory's.
type Flash = MockFlashBase<16, 4, 1024>;
const QUEUE: std::ops::Range<u32> = 0..14 * 4_096;
const MEMORY: std::ops::Range<u32> = 14 * 4_096..16 * 4_096;
const RING_BYTES: usize = 1_024;
const DEADLINE: Duration = Duration::from_secs(60);

struct Line(TcpStream);

impl Line {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the agent listens");
        stream.set_nonblocking(true).expect("a socket");
        Self(stream)
    }
}

impl embedded_io::ErrorType for Line {
    type Error = ErrorKind;
}

impl embedded_io::ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        match self.0.peek(&mut [0]) {
            Ok(len) => Ok(len > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(ErrorKind::Other),
        }
    }
}

impl embedded_io::Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).map_err(|_| ErrorKind::Other)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        loop {
            match self.0.write(bytes) {
                Ok(len) => return Ok(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return Err(ErrorKind::Other),
            }
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Without a link: nobody to say anything to.
struct NoLine;

impl embedded_io::ErrorType for NoLine {
    type Error = ErrorKind;
}

impl embedded_io::ReadReady for NoLine {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(false)
    }
}

impl embedded_io::Read for NoLine {
    fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }
}

impl embedded_io::Write for NoLine {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

struct Board<'a> {
    node: Node<'a, 1, [u8; RING_BYTES]>,
    backing: (Keeper<Flash, 256>, Memory<Flash>),
    boot: BootId,
    started: Instant,
    measured: u64,
}

impl<'a> Board<'a> {
    fn power_up((queue, memory): (Flash, Flash), channels: &'a [ChannelDecl<&'a str>]) -> Self {
        let mut memory = Memory::new(memory, MEMORY).expect("a range");
        let boot = finish(memory.next_boot(|| 7)).expect("the flash works");
        let identity =
            Identity { device: DeviceId::new("on-flash").expect("a slug"), tag: "", firmware: "test" };
        let mut node =
            Node::new(identity, Some(boot), channels, [0; RING_BYTES], NodeConfig::DEFAULT).expect("a node");
        let keeper = finish(Keeper::open(queue, QUEUE, &mut node)).expect("a range");
        Self { node, backing: (keeper, memory), boot, started: Instant::now(), measured: 0 }
    }

    fn power_cut(self) -> (Flash, Flash) {
        (self.backing.0.release(), self.backing.1.release())
    }

    fn now(&self) -> Tick {
        Tick(self.started.elapsed().as_millis() as u64)
    }

    fn measure(&mut self) {
        let value = Value::Decimal { mantissa: (self.measured * 7_919 % 100_000) as i64, scale: 2 };
        self.measured += 1;
        self.node.sample(ChannelIndex(0), value, Quality::Good, self.now()).expect("its channel");
    }

    fn turn(
        &mut self,
        link: &mut BlockingLink<impl embedded_io::Read + embedded_io::ReadReady + embedded_io::Write, 256>,
    ) {
        let now = self.now();
        link.turn_with(&mut self.node, &mut self.backing, now).unwrap_or_else(|error| panic!("{error:?}"));
    }
}

fn new_flash() -> Flash {
    Flash::new(WriteCountCheck::Twice, None, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flash_when_power_went_in_an_outage_arrives_and_nothing_of_it_is_called_lost() {
    let channels = [channel("temperature", "Cel", ValueKind::Decimal, 2).expect("a name")];
    let mut board = Board::power_up((new_flash(), new_flash()), &channels);
    let mut nowhere = BlockingLink::<_, 256>::new(NoLine);
    for _ in 0..3_000 {
        board.measure();
        board.turn(&mut nowhere);
    }
    let (first, kept) = (board.boot, board.node.lost().start);
    assert!(board.node.lost().is_empty() && kept > 2_500, "{kept}");

    let mut chain = Chain::new("");
    chain.start();
    let mut board = Board::power_up(board.power_cut(), &channels);
    let mut link = BlockingLink::<_, 256>::new(Line::open(chain.board_link()));
    let begun = Instant::now();
    for _ in 0..50 {
        board.measure();
        board.turn(&mut link);
    }
    // Until the gateway has all of this boot, and knows that nothing of the one before is left.
    let mut closed = false;
    let status = chain.agent_status();
    while !(board.node.is_drained() && closed) {
        assert!(begun.elapsed() < DEADLINE, "not drained: {:?}", board.node);
        for _ in 0..200 {
            board.turn(&mut link);
        }
        let view = status.get("/status").await;
        closed = view["devices"].as_array().is_some_and(|devices| {
            devices.iter().all(|device| device["closed"] == (device["boot"] == first.to_string().as_str()))
        });
    }
    let audit = chain
        .api()
        .get_when("everything is accounted for", "/api/v1/audit?device=on-flash", |audit| {
            number(audit, "/totals/stored") == kept + 50
                && audit["origins"]
                    .as_array()
                    .is_some_and(|origins| origins.iter().any(|origin| origin["closed"] == true))
        })
        .await;
    assert_eq!(number(&audit, "/totals/lost"), 0, "{audit}");
    assert_eq!(number(&audit, "/totals/conflicts"), 0, "{audit}");
    let of_first = audit["origins"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|origin| origin["boot"] == first.to_string().as_str());
    let of_first = of_first.expect("the boot before");
    // What its ring held went with the power; nobody can know how much that was.
    assert_eq!(
        (&of_first["closed"], &of_first["measured"]["exact"]),
        (&true.into(), &false.into()),
        "{audit}"
    );
    assert_eq!(number(of_first, "/measured/count"), kept, "{audit}");
}
