//! What stands between a line and the decoder where a device has a key: sessions, one at a time, and at most one more that is on its way.
//!
//! A Call is answered with a Challenge, the same one as often as the same Call comes. The session that it begins is in force once a
//! frame of it opens; until then the one before is. While one is in force, frames in clear are not taken: a link under a key
//! does not fall back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use tidegate_protocol::{
    DeviceId,
    frame::{
        Down, FrameError, encode_down,
        keyed::{Call, Challenge, DeviceKey, Envelope, Nonce, Session},
    },
};

use crate::core::Held;

/// Keys by device, as the list of devices has them now; all links look at the same.
#[derive(Clone, Debug, Default)]
pub struct DeviceKeys(Arc<RwLock<HashMap<DeviceId, DeviceKey>>>);

impl DeviceKeys {
    pub fn new(keys: HashMap<DeviceId, DeviceKey>) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    pub fn replace(&self, keys: HashMap<DeviceId, DeviceKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn of(&self, device: DeviceId) -> Option<DeviceKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&device).cloned()
    }
}

/// One link's, shared by who reads it and who writes it.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    keys: DeviceKeys,
    current: Option<Keyed>,
    /// Challenged, and not proved yet.
    next: Option<Keyed>,
}

#[derive(Debug)]
struct Keyed {
    call: Call,
    key: DeviceKey,
    challenge: Challenge,
    session: Session,
}

/// What a frame that came is.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A frame's body, and the device under whose key it came.
    Frame { body: &'a [u8], under: Option<DeviceId> },
    /// To be answered.
    Call { answer: Challenge, unproved: Option<DeviceId> },
    /// There is no key to answer it with.
    Unanswerable(DeviceId),
}

impl Guard {
    pub fn new(keys: DeviceKeys) -> Self {
        Self(Arc::new(Mutex::new(State { keys, ..State::default() })))
    }

    /// Takes a stuffed frame. `nonce` is random.
    pub fn hear<'a>(
        &self,
        stuffed: &'a mut [u8],
        nonce: impl FnOnce() -> Nonce,
    ) -> Result<Heard<'a>, FrameError> {
        let envelope = Envelope::read(stuffed)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_what_has_another_key();
        match envelope {
            Envelope::Clear(_) if state.current.is_some() => Err(FrameError::Clear),
            Envelope::Clear(body) => Ok(Heard::Frame { body, under: None }),
            Envelope::Exchange(body) => Ok(state.called(Call::decode(body)?, nonce)),
            Envelope::Keyed(body) => state.open(body),
        }
    }

    /// Writes a frame to the board, under the session that is in force if there is one; returns its length.
    pub fn encode(&self, frame: &Down, line: &mut [u8]) -> Result<usize, FrameError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.current {
            Some(keyed) => keyed.session.encode_down(frame, line),
            None => encode_down(frame, line),
        }
    }
}

impl State {
    /// A key that was replaced or removed opens nothing any more, and closes nothing.
    fn forget_what_has_another_key(&mut self) {
        for keyed in [&mut self.current, &mut self.next] {
            if keyed
                .as_ref()
                .is_some_and(|keyed| self.keys.of(keyed.call.device).as_ref() != Some(&keyed.key))
            {
                *keyed = None;
            }
        }
    }

    fn called<'a>(&mut self, call: Call, nonce: impl FnOnce() -> Nonce) -> Heard<'a> {
        // Never a second session for one Call: both would number their frames from the start.
        let known = [&self.next, &self.current].into_iter().flatten().find(|keyed| keyed.call == call);
        if let Some(keyed) = known {
            let unproved = (!keyed.session.has_opened()).then_some(call.device);
            return Heard::Call { answer: keyed.challenge, unproved };
        }
        let Some(key) = self.keys.of(call.device) else { return Heard::Unanswerable(call.device) };
        let (challenge, session) = call.challenged(&key, nonce());
        self.next = Some(Keyed { call, key, challenge, session });
        Heard::Call { answer: challenge, unproved: None }
    }

    fn open<'a>(&mut self, body: &'a mut [u8]) -> Result<Heard<'a>, FrameError> {
        let Some(next) = &mut self.next else {
            let current = self.current.as_mut().ok_or(FrameError::NoSession)?;
            return Ok(Heard::Frame { under: Some(current.call.device), body: current.session.open(body)? });
        };
        // What does not open is gone, so the session on its way is tried on a copy.
        let mut copy = body.to_vec();
        if let Ok(opened) = next.session.open(&mut copy) {
            let (under, body) =
                (Some(next.call.device), body.get_mut(..opened.len()).ok_or(FrameError::Body)?);
            body.copy_from_slice(opened);
            self.current = self.next.take();
            return Ok(Heard::Frame { body, under });
        }
        let current = self.current.as_mut().ok_or(FrameError::Tag)?;
        Ok(Heard::Frame { under: Some(current.call.device), body: current.session.open(body)? })
    }
}

impl Heard<'_> {
    /// What the core is told of a Call, if anything.
    pub const fn held(&self) -> Option<(DeviceId, Held)> {
        match self {
            Self::Call { unproved: Some(device), .. } => Some((*device, Held::KeyUnproved)),
            Self::Unanswerable(device) => Some((*device, Held::KeyUnknown)),
            Self::Call { .. } | Self::Frame { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        BootId, Seq,
        frame::{decode_down, keyed::decode_down_body},
    };

    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    fn key(fill: u8) -> DeviceKey {
        DeviceKey::new([fill; 16])
    }

    fn keys() -> DeviceKeys {
        DeviceKeys::new([(device("board-7"), key(7)), (device("board-8"), key(8))].into())
    }

    fn call(name: &str, nonce: u8) -> Call {
        Call { device: device(name), nonce: Nonce([nonce; 16]) }
    }

    const ACK: Down = Down::Ack { boot: BootId(1), up_to: Seq(3) };

    /// What a board says, without its zero; the frame's kind does not matter here.
    fn says(session: &mut Session) -> Vec<u8> {
        let mut line = [0; 128];
        let len = session.encode_down(&ACK, &mut line).unwrap();
        line[..len - 1].to_vec()
    }

    fn called(guard: &Guard, call: Call, nonce: u8) -> (Challenge, Option<DeviceId>) {
        let mut line = [0; 128];
        let len = call.encode(&mut line).unwrap();
        match guard.hear(&mut line[..len - 1], || Nonce([nonce; 16])) {
            Ok(Heard::Call { answer, unproved }) => (answer, unproved),
            other => panic!("{other:?}"),
        }
    }

    /// A board's session, begun and not proved.
    fn begun(guard: &Guard, call: Call, key: &DeviceKey, nonce: u8) -> Session {
        call.answered(key, &called(guard, call, nonce).0).expect("the key is the same")
    }

    fn heard(guard: &Guard, line: &[u8]) -> Result<Option<DeviceId>, FrameError> {
        let mut line = line.to_vec();
        match guard.hear(&mut line, || panic!("no Call"))? {
            Heard::Frame { body, under } => {
                assert_eq!(decode_down_body(body), Ok(ACK));
                Ok(under)
            }
            other => panic!("{other:?}"),
        }
    }

    fn in_clear() -> Vec<u8> {
        let mut line = [0; 64];
        let len = encode_down(&ACK, &mut line).unwrap();
        line[..len - 1].to_vec()
    }

    fn sent(guard: &Guard) -> Vec<u8> {
        let mut line = [0; 128];
        let len = guard.encode(&ACK, &mut line).unwrap();
        line[..len - 1].to_vec()
    }

    #[test]
    fn a_link_under_a_key_does_not_fall_back() {
        let guard = Guard::new(keys());
        assert_eq!(heard(&guard, &in_clear()), Ok(None));
        let mut board = begun(&guard, call("board-7", 1), &key(7), 2);
        assert_eq!(heard(&guard, &in_clear()), Ok(None), "a Call alone is no proof, and changes nothing");
        assert_eq!(decode_down(&mut sent(&guard)), Ok(ACK));
        assert_eq!(heard(&guard, &says(&mut board)), Ok(Some(device("board-7"))));
        assert_eq!(heard(&guard, &in_clear()), Err(FrameError::Clear));
        assert_eq!(decode_down(&mut sent(&guard)), Err(FrameError::NoSession));
    }

    #[test]
    fn the_same_call_has_the_same_answer_and_begins_no_second_session() {
        let guard = Guard::new(keys());
        let (challenge, unproved) = called(&guard, call("board-7", 1), 2);
        assert_eq!(unproved, None);
        assert_eq!(called(&guard, call("board-7", 1), 99), (challenge, Some(device("board-7"))));
        let mut board = call("board-7", 1).answered(&key(7), &challenge).unwrap();
        let first = says(&mut board);
        assert!(heard(&guard, &first).is_ok());
        let before = sent(&guard);
        assert_eq!(called(&guard, call("board-7", 1), 99), (challenge, None));
        assert_eq!(heard(&guard, &first), Err(FrameError::Replayed));
        assert!(heard(&guard, &says(&mut board)).is_ok());
        assert_ne!(sent(&guard), before, "no number is used twice");
    }

    #[test]
    fn a_session_stays_in_force_until_the_next_is_proved() {
        let guard = Guard::new(keys());
        let mut first = begun(&guard, call("board-7", 1), &key(7), 2);
        assert!(heard(&guard, &says(&mut first)).is_ok());
        // Somebody calls who cannot prove it.
        called(&guard, call("board-7", 50), 51);
        called(&guard, call("board-8", 52), 53);
        assert!(heard(&guard, &says(&mut first)).is_ok());
        // The board itself begins anew.
        let mut second = begun(&guard, call("board-7", 3), &key(7), 4);
        assert!(heard(&guard, &says(&mut second)).is_ok());
        assert_eq!(heard(&guard, &says(&mut first)), Err(FrameError::Tag), "the one before has ended");
    }

    #[test]
    fn what_was_recorded_of_a_session_is_nothing_in_the_next() {
        let guard = Guard::new(keys());
        let mut board = begun(&guard, call("board-7", 1), &key(7), 2);
        let recorded = says(&mut board);
        assert!(heard(&guard, &recorded).is_ok());
        // Another link: whoever recorded it plays it all again, and gets a new nonce to prove.
        let guard = Guard::new(keys());
        assert_eq!(heard(&guard, &recorded), Err(FrameError::NoSession));
        called(&guard, call("board-7", 1), 3);
        assert_eq!(heard(&guard, &recorded), Err(FrameError::Tag));
        assert_eq!(heard(&guard, &in_clear()), Ok(None), "nobody proved anything");
    }

    #[test]
    fn a_key_that_was_replaced_opens_nothing_any_more() {
        let keys = keys();
        let guard = Guard::new(keys.clone());
        let mut board = begun(&guard, call("board-7", 1), &key(7), 2);
        assert!(heard(&guard, &says(&mut board)).is_ok());
        keys.replace([(device("board-7"), key(77)), (device("board-8"), key(8))].into());
        assert_eq!(heard(&guard, &says(&mut board)), Err(FrameError::NoSession));
        let (challenge, _) = called(&guard, call("board-7", 3), 4);
        assert!(call("board-7", 3).answered(&key(7), &challenge).is_none());
        assert!(call("board-7", 3).answered(&key(77), &challenge).is_some());
    }

    #[test]
    fn without_a_key_a_call_is_told_and_not_answered() {
        let guard = Guard::new(keys());
        let mut line = [0; 128];
        let len = call("stranger", 1).encode(&mut line).unwrap();
        let heard = guard.hear(&mut line[..len - 1], || panic!("no nonce is spent")).unwrap();
        assert_eq!(heard.held(), Some((device("stranger"), Held::KeyUnknown)));
    }
}
