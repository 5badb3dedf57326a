//! A board with a ring, a queue in flash and a gateway that comes and goes.

use crate::support::Gateway;
use sequential_storage::mock_flash::{MockFlashBase, WriteCountCheck};
use tidegate_firmware::{
    Backing, Identity, Node, NodeConfig, Sampled, blocking::finish, channel, flash::Keeper,
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Tick, Value, ValueKind,
    id::{ChannelIndex, Seq},
};

pub const RING_BYTES: usize = 512;
const RECORD: usize = 256;

/// Eight pages of a kilobyte, written in words of four bytes, like those of many microcontrollers.
pub type Flash = MockFlashBase<8, 4, 256>;
type TestNode = Node<'static, 1, [u8; RING_BYTES]>;

pub fn new_flash() -> Flash {
    Flash::new(WriteCountCheck::Twice, None, true)
}

fn channels() -> &'static [ChannelDecl<&'static str>] {
    let channels = [channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap()];
    Box::leak(Box::new(channels))
}

/// A board under power.
pub struct Board {
    pub node: TestNode,
    pub keeper: Keeper<Flash, RECORD>,
    pub now_ms: u64,
    pub boot: BootId,
    measured: u64,
}

impl Board {
    pub fn power_up(flash: Flash, boot: u64) -> Self {
        Self::power_up_with(flash, boot, NodeConfig::DEFAULT)
    }

    pub fn power_up_with(flash: Flash, boot: u64, config: NodeConfig) -> Self {
        let boot = BootId(boot);
        let identity = Identity { device: DeviceId::new("pump-3").unwrap(), tag: "P-3", firmware: "test 1" };
        let mut node = Node::new(identity, Some(boot), channels(), [0; RING_BYTES], config).unwrap();
        let keeper = finish(Keeper::open(flash, Flash::FULL_FLASH_RANGE, &mut node)).unwrap();
        Self { node, keeper, now_ms: 0, boot, measured: 0 }
    }

    pub fn power_off(self) -> Flash {
        self.keeper.release()
    }

    pub const fn now(&self) -> Tick {
        Tick(self.now_ms)
    }

    /// Measures, and does what there is to do after each reading.
    pub fn measure(&mut self, count: u64) {
        for _ in 0..count {
            self.measure_one();
            self.attend(None);
        }
    }

    pub fn measure_one(&mut self) {
        self.now_ms += 10;
        // Distinct, and of various lengths.
        let mantissa = (self.measured * 7_919) as i64 % 100_000;
        self.measured += 1;
        let value = Value::Decimal { mantissa, scale: 2 };
        let now = self.now();
        let sampled = self.node.sample(ChannelIndex(0), value, Quality::Good, now).unwrap();
        assert!(matches!(sampled, Sampled::Kept(_)));
    }

    /// Moves frames until nobody has anything to say or to do.
    pub fn attend(&mut self, mut gateway: Option<&mut Gateway>) {
        let mut out = [0; 256];
        for _ in 0..10_000 {
            let now = self.now();
            let frame = gateway.as_ref().and_then(|_| self.node.poll_transmit(now, &mut out));
            let frame = match frame {
                Some(len) => Some(len),
                None if self.keeper.prepare(&self.node, now) => {
                    finish(self.keeper.work());
                    self.keeper.report(&mut self.node, now, &mut out)
                }
                None => return,
            };
            if let (Some(len), Some(gateway)) = (frame, gateway.as_deref_mut()) {
                gateway.receive(&out[..len]).iter().for_each(|answer| self.node.receive(now, answer));
            }
        }
        panic!("it never comes to rest");
    }

    pub fn connect(&mut self, gateway: &mut Gateway) {
        gateway.new_link();
        self.node.link_up(self.now());
        self.attend(Some(gateway));
    }

    /// The gateway makes safe what it has, again and again, until nothing more comes.
    pub fn settle(&mut self, gateway: &mut Gateway) {
        for _ in 0..200 {
            self.now_ms += 1_000;
            self.attend(Some(gateway));
            if let Some(acks) = gateway.commit() {
                self.node.receive(self.now(), &acks);
            }
            self.attend(Some(gateway));
        }
        assert_eq!(gateway.violations, [""; 0]);
    }

    /// Which readings of the present boot flash holds or the gateway has.
    pub fn kept_end(&self) -> Seq {
        Seq(self.node.lost().start)
    }
}
