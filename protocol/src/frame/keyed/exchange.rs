//! How both ends come to a session: a board's Call, and the gateway's Challenge.

use super::{
    DeviceKey, EXCHANGE, FrameError, MAX_FRAME, Nonce,
    cipher::{Direction, NONCE_BYTES, TAG_BYTES, Tag},
    session::Session,
};
use crate::{WIRE_VERSION, frame::line::write_frame, id::DeviceId, varint::Reader};

/// The number of the empty frame whose tag is the gateway's proof. Frames follow from 1 on.
const PROOF: u64 = 0;

/// A board asks for a session. It says the same until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose key it is: the one thing of a device that is in clear.
    pub device: DeviceId,
    pub nonce: Nonce,
}

/// The gateway's answer. The same Call has the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub nonce: Nonce,
    /// That who sends this has the key, and knows this Call.
    pub proof: [u8; TAG_BYTES],
}

impl Call {
    /// Writes a frame, its final zero included; returns its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        let device = self.device.as_bytes();
        encode(out, &[&[device.len() as u8], device, &self.nonce.0])
    }

    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(body);
        let len = usize::from(reader.byte()?);
        let (device, nonce) = reader.rest().split_at_checked(len).ok_or(FrameError::Body)?;
        let device = core::str::from_utf8(device).ok().and_then(|text| DeviceId::new(text).ok());
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| FrameError::Body)?;
        Ok(Self { device: device.ok_or(FrameError::Body)?, nonce: Nonce(nonce) })
    }

    /// The gateway's end: its answer under a nonce that nobody can foresee, and the session that begins once a frame of it opens.
    pub fn challenged(&self, key: &DeviceKey, nonce: Nonce) -> (Challenge, Session) {
        let session = Session::new(key.session(self.device, self.nonce, nonce), Direction::Down);
        let proof = session.key().close(Direction::Down, PROOF, &mut []);
        (Challenge { nonce, proof }, session)
    }

    /// The board's end: the session, if the Challenge is of a gateway that has the key and answers this Call.
    pub fn answered(&self, key: &DeviceKey, challenge: &Challenge) -> Option<Session> {
        let session = Session::new(key.session(self.device, self.nonce, challenge.nonce), Direction::Up);
        let proof: &Tag = &challenge.proof;
        session.key().open(Direction::Down, PROOF, &mut [], proof).then_some(session)
    }
}

impl Challenge {
    /// Writes a frame, its final zero included; returns its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        encode(out, &[&self.nonce.0, &self.proof])
    }

    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(body);
        let (nonce, proof) = (Nonce(reader.array()?), reader.array()?);
        if reader.rest().is_empty() { Ok(Self { nonce, proof }) } else { Err(FrameError::Body) }
    }
}

fn encode(out: &mut [u8], parts: &[&[u8]]) -> Result<usize, FrameError> {
    write_frame(out, MAX_FRAME, |out| {
        out.byte(WIRE_VERSION | EXCHANGE)?;
        parts.iter().try_for_each(|part| out.bytes(part))
    })
}
