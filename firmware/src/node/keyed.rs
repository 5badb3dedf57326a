//! A node under a key of its own: what stands between its frames and the line.
//!
//! Without a session it says Call and nothing else, and believes nothing but the Challenge that answers it. In a session all that it says and
//! believes is under the session's key; one frame alone counts in clear, Identify of a gateway that has lost the session: it costs a new Call.
//!
//! Each Call has a nonce that this board never used: its own boot, and how often it has called in it.

use tidegate_protocol::{
    BootId, DeviceId, Tick,
    frame::{
        Down, FrameError, Up, encode_up,
        keyed::{
            Call, Challenge, DeviceKey, Envelope, KEYED_BYTES, MAX_KEYED_DOWN_FRAME, Nonce, Session,
            decode_down_body,
        },
    },
};

use super::{Node, NodeError, Session as Greeting};
use crate::{log, window::after};

/// The longest frame that comes.
pub(super) const DOWN_BYTES: usize = MAX_KEYED_DOWN_FRAME;
/// A gateway that answers none of so many Hellos in a row has lost the session, or holds the board: it calls again.
const UNANSWERED: u8 = 4;
/// The body of the one frame that counts in clear, which says nothing but what it is.
const IDENTIFY: &[u8] = &[4];

#[derive(Debug, Default)]
pub(super) struct Line(Option<Keyed>);

#[derive(Debug)]
struct Keyed {
    key: DeviceKey,
    device: DeviceId,
    /// Of this board's own, whatever boot a gateway may give it later: that one it did not make sure to use once.
    boot: BootId,
    calls: u64,
    session: Option<Session>,
    unanswered: u8,
}

impl Keyed {
    fn call(&self) -> Call {
        let nonce = u128::from(self.boot.0) | u128::from(self.calls) << 64;
        Call { device: self.device, nonce: Nonce(nonce.to_le_bytes()) }
    }

    /// The body of a frame that may be believed.
    fn open<'a>(&mut self, envelope: Envelope<'a>) -> Result<Option<&'a [u8]>, FrameError> {
        match (envelope, &mut self.session) {
            (Envelope::Keyed(body), Some(session)) => {
                let body = session.open(body)?;
                self.unanswered = 0;
                Ok(Some(body))
            }
            (Envelope::Exchange(body), None) => {
                let challenge = Challenge::decode(body)?;
                self.session = Some(self.call().answered(&self.key, &challenge).ok_or(FrameError::Tag)?);
                Ok(None)
            }
            (Envelope::Clear(IDENTIFY), Some(session)) if session.closed() > 0 => {
                self.end_session();
                Ok(None)
            }
            (Envelope::Clear(_), _) => Err(FrameError::Clear),
            (Envelope::Exchange(_), Some(_)) => Err(FrameError::Replayed),
            (Envelope::Keyed(_), None) => Err(FrameError::NoSession),
        }
    }

    /// No nonce is used for two sessions: the frames of both would be numbered alike.
    fn end_session(&mut self) {
        self.session = None;
        self.calls = self.calls.wrapping_add(1);
        self.unanswered = 0;
    }
}

impl Line {
    pub fn link_up(&mut self) {
        if let Some(keyed) = &mut self.0 {
            keyed.end_session();
        }
    }

    /// There is nothing to be said but Call. `hello_is_due` after the last one went unanswered for its time.
    pub fn must_call(&mut self, hello_is_due: bool) -> bool {
        let Some(keyed) = &mut self.0 else { return false };
        if hello_is_due && keyed.unanswered >= UNANSWERED {
            keyed.end_session();
        }
        keyed.session.is_none()
    }

    /// Reads a stuffed frame. None: Hello is to be said, or Call before it.
    pub fn read(&mut self, stuffed: &mut [u8]) -> Result<Option<Down>, FrameError> {
        let envelope = Envelope::read(stuffed)?;
        let body = match &mut self.0 {
            Some(keyed) => keyed.open(envelope)?,
            None => match envelope {
                Envelope::Clear(body) => Some(body),
                Envelope::Exchange(_) | Envelope::Keyed(_) => return Err(FrameError::NoSession),
            },
        };
        // In one place for all: it is not small.
        body.map(decode_down_body).transpose()
    }

    pub fn hello_is_said(&mut self) {
        if let Some(keyed) = &mut self.0 {
            keyed.unanswered += 1;
        }
    }

    /// What a frame has more than the same in clear.
    pub fn extra_bytes(&self) -> usize {
        if self.0.is_some() { KEYED_BYTES } else { 0 }
    }

    /// Writes a frame. None, and nothing is to be sent, where there is a key and no session.
    pub fn write(&mut self, up: &Up<'_>, out: &mut [u8]) -> Option<usize> {
        match &mut self.0 {
            None => encode_up(up, out),
            Some(keyed) => keyed.session.as_mut()?.encode_up(up, out),
        }
        .ok()
    }
}

impl<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'_, CHANNELS, S> {
    /// From now on nothing is said or believed but under this key, which the board's gateways have too. To be set before the link
    /// comes up. The node must have a boot of its own: a board that has neither a counter in flash nor random numbers could be
    /// made to believe what was recorded before.
    pub fn set_key(&mut self, key: DeviceKey) -> Result<(), NodeError> {
        let boot = self.boot.ok_or(NodeError::KeyWithoutBoot)?;
        let device = self.identity.device;
        self.line = Line(Some(Keyed { key, device, boot, calls: 0, session: None, unanswered: 0 }));
        Ok(())
    }

    pub(super) fn transmit_call(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        let Greeting::Greeting { hello_at, retry_ms, said_at } = self.session else { return None };
        if now < hello_at {
            return None;
        }
        let len = self.line.0.as_ref()?.call().encode(out).ok()?;
        log::debug!("calling for a session under the key");
        let next_ms = retry_ms.saturating_mul(2).min(self.config.hello_retry_max_ms);
        self.session = Greeting::Greeting { hello_at: after(now, retry_ms), retry_ms: next_ms, said_at };
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        ValueKind,
        frame::{MAX_FRAME, encoded_len},
    };

    use super::*;
    use crate::{Identity, NodeConfig, channel, node::transmit::READINGS_HEAD};

    #[test]
    fn the_longest_frame_of_readings_fits_in_any_buffer() {
        let identity = Identity { device: DeviceId::new("tank-7").unwrap(), tag: "", firmware: "" };
        let channels = [channel("level", "m", ValueKind::Decimal, 2).unwrap()];
        let config = NodeConfig::DEFAULT;
        let mut node = Node::<1, _>::new(identity, Some(BootId(7)), &channels, [0; 128], config).unwrap();
        for extra in [0, KEYED_BYTES] {
            for bytes in 128..2_200 {
                let raw = node.samples_len(bytes) + READINGS_HEAD + extra;
                assert!(encoded_len(raw) <= bytes, "{raw} in {bytes}, {extra} of them for the key");
                assert!(encoded_len(raw + 2) > bytes || raw == MAX_FRAME + extra, "{raw} in {bytes}");
            }
            node.set_key(DeviceKey::new([7; 16])).unwrap();
        }
    }
}
