//! What the three channels measure.

use embassy_rp::adc::{Adc, Blocking, Channel};
use embassy_time::Instant;
use tidegate_firmware::sampler::Sensor;
use tidegate_protocol::{Quality, Value, id::ChannelIndex};

/// One more with each sample: a gap shows at once.
pub const COUNTER: u8 = 0;
pub const UPTIME: u8 = 1;
pub const DIE_TEMPERATURE: u8 = 2;

pub struct Sensors<'a> {
    counted: i64,
    converter: Adc<'a, Blocking>,
    thermometer: Channel<'a>,
}

impl<'a> Sensors<'a> {
    pub const fn new(converter: Adc<'a, Blocking>, thermometer: Channel<'a>) -> Self {
        Self { counted: 0, converter, thermometer }
    }
}

impl Sensor for Sensors<'_> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        match channel.0 {
            COUNTER => {
                let mantissa = self.counted;
                self.counted += 1;
                (Value::Decimal { mantissa, scale: 0 }, Quality::Good)
            }
            UPTIME => {
                let mantissa = Instant::now().as_millis() as i64;
                (Value::Decimal { mantissa, scale: 3 }, Quality::Good)
            }
            _ => match self.converter.blocking_read(&mut self.thermometer) {
                Ok(steps) => (hundredths(steps), Quality::Good),
                Err(_) => (Value::Decimal { mantissa: 0, scale: 2 }, Quality::Bad),
            },
        }
    }
}

/// 27 °C at 0.706 V, and 1.721 mV less for each degree more (RP2040 data sheet 4.9.5); 4,096 steps of 3.3 V.
fn hundredths(steps: u16) -> Value {
    let microvolts = i64::from(steps) * 3_300_000 / 4_096;
    Value::Decimal { mantissa: 2_700 - (microvolts - 706_000) * 100 / 1_721, scale: 2 }
}
