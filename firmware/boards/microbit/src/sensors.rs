//! What the four channels measure.

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, InputPin};
use tidegate_firmware::sampler::{Contact, Sensor};
use tidegate_protocol::{Quality, Value, id::ChannelIndex};

use crate::{clock::Clock, registers::*};

/// One more with each sample: a gap shows at once.
pub const COUNTER: u8 = 0;
pub const UPTIME: u8 = 1;
/// QEMU has no thermometer: there it reads 0 with quality bad.
pub const DIE_TEMPERATURE: u8 = 2;
/// True while pressed.
pub const BUTTON_A: u8 = 3;

const BUTTON_A_PIN: u32 = 17;
/// Input, buffer connected, no pull: the board has its own pull-up.
const INPUT: u32 = 0;
/// Far longer than a conversion takes (36 microseconds).
const PATIENCE: u32 = 2_000;

pub struct Sensors<'a> {
    clock: &'a Clock,
    counted: i64,
    button_a: Contact<ActiveLow>,
}

impl<'a> Sensors<'a> {
    pub fn start(clock: &'a Clock) -> Self {
        pin_config(BUTTON_A_PIN).write(INPUT);
        Self { clock, counted: 0, button_a: Contact::new(ActiveLow { pin: BUTTON_A_PIN }) }
    }

    fn count(&mut self) -> Value {
        let mantissa = self.counted;
        self.counted += 1;
        Value::Decimal { mantissa, scale: 0 }
    }
}

impl Sensor for Sensors<'_> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        match channel.0 {
            COUNTER => (self.count(), Quality::Good),
            UPTIME => (Value::Decimal { mantissa: self.clock.now().0 as i64, scale: 3 }, Quality::Good),
            DIE_TEMPERATURE => die_temperature(),
            _ => self.button_a.measure(channel),
        }
    }
}

fn die_temperature() -> (Value, Quality) {
    TEMP_START.write(1);
    let ready = (0..PATIENCE).any(|_| TEMP_DATARDY.take());
    let quarters = if ready { TEMP_TEMP.read() as i32 } else { 0 };
    let quality = if ready { Quality::Good } else { Quality::Bad };
    (Value::Decimal { mantissa: i64::from(quarters) * 25, scale: 2 }, quality)
}

/// A pin that is low when what it stands for is so.
struct ActiveLow {
    pin: u32,
}

impl ErrorType for ActiveLow {
    type Error = Infallible;
}

impl InputPin for ActiveLow {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(GPIO_IN.read() >> self.pin & 1 == 0)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}
