//! Frames under a key: who can open what, and what opens for nobody.

// Of the samples, frames only.
#[allow(dead_code)]
#[path = "support/samples.rs"]
mod samples;

use proptest::prelude::*;
use tidegate_protocol::{
    BootId, DeviceId, Seq, Tick,
    frame::{
        Down, FrameError, MAX_FRAME, Readings, Up, encode_down, encode_up, encoded_len,
        keyed::{
            Call, Challenge, DeviceKey, Envelope, KEYED_BYTES, KeyError, MAX_KEYED_DOWN_FRAME,
            MAX_KEYED_FRAME, Nonce, Session, decode_down_body, decode_up_body,
        },
    },
};

fn ack(up_to: u64) -> Down {
    Down::Ack { boot: BootId(7), up_to: Seq(up_to) }
}

/// On the line, without its zero.
fn closed(session: &mut Session, down: &Down) -> Vec<u8> {
    let mut line = [0; MAX_KEYED_DOWN_FRAME];
    let len = session.encode_down(down, &mut line).unwrap();
    line[..len - 1].to_vec()
}

fn opened(session: &mut Session, line: &[u8]) -> Result<Down, FrameError> {
    let mut line = line.to_vec();
    match Envelope::read(&mut line)? {
        Envelope::Keyed(body) => session.open(body).and_then(decode_down_body),
        other => panic!("{other:?}"),
    }
}

fn nonce(fill: u8) -> Nonce {
    Nonce([fill; 16])
}

/// The board's end and the gateway's.
fn session(key: u8, device: &str, board: u8, gateway: u8) -> (Session, Session) {
    let key = DeviceKey::new([key; 16]);
    let call = Call { device: DeviceId::new(device).unwrap(), nonce: nonce(board) };
    let (challenge, session) = call.challenged(&key, nonce(gateway));
    (call.answered(&key, &challenge).unwrap(), session)
}

#[test]
fn every_frame_passes_and_is_the_same() {
    let (_, mut board, mut gateway) = samples::session();
    samples::each_up(|name, _, up| {
        let mut line = vec![0; encoded_len(MAX_KEYED_FRAME)];
        let len = board.encode_up(up, &mut line).unwrap();
        let Ok(Envelope::Keyed(body)) = Envelope::read(&mut line[..len - 1]) else { panic!("{name}") };
        match (decode_up_body(gateway.open(body).unwrap()).unwrap(), up) {
            (Up::Hello(came), Up::Hello(hello)) => assert_eq!(came, *hello),
            (came, _) => assert_eq!(format!("{came:?}"), format!("{up:?}"), "{name}"),
        }
    });
    for (name, _, down) in samples::downs() {
        let line = closed(&mut gateway, &down);
        assert_eq!(opened(&mut board, &line), Ok(down), "{name}");
    }
}

#[test]
fn what_is_under_a_key_says_nothing_but_how_long_it_is() {
    let (_, mut board, _) = samples::session();
    samples::each_up(|name, _, up| {
        let mut line = [0; 512];
        let clear = encode_up(up, &mut line).unwrap();
        let clear = line[..clear].to_vec();
        let says_of_it =
            |line: &[u8]| clear.windows(6).any(|part| line.windows(6).any(|other| other == part));
        assert!(says_of_it(&line));
        line.fill(0xaa);
        board.encode_up(up, &mut line).unwrap();
        // Not only the frame: what was written behind it for a time, too.
        assert!(!says_of_it(&line), "{name}");
        for room in 0..clear.len() {
            assert_eq!(board.encode_up(up, &mut line[..room]), Err(FrameError::TooLong));
            assert!(!says_of_it(&line), "{name}, of which a part had room: {room}");
        }
    });
}

#[test]
fn no_frame_opens_twice_and_none_that_is_older_than_one_that_opened() {
    let (mut board, mut gateway) = session(1, "board-7", 2, 3);
    let lines: Vec<_> = (1..=4).map(|up_to| closed(&mut gateway, &ack(up_to))).collect();
    assert_eq!(opened(&mut board, &lines[0]), Ok(ack(1)));
    assert_eq!(opened(&mut board, &lines[0]), Err(FrameError::Replayed));
    assert_eq!(opened(&mut board, &lines[2]), Ok(ack(3)), "one that was lost leaves a gap");
    assert_eq!(opened(&mut board, &lines[1]), Err(FrameError::Replayed));
    assert_eq!(opened(&mut board, &lines[3]), Ok(ack(4)));
}

#[test]
fn a_frame_opens_under_its_own_key_device_and_nonces_only() {
    let line = closed(&mut session(1, "board-7", 2, 3).1, &ack(5));
    for (key, device, board, gateway) in
        [(9, "board-7", 2, 3), (1, "board-8", 2, 3), (1, "board-7", 9, 3), (1, "board-7", 2, 9)]
    {
        let mut other = session(key, device, board, gateway).0;
        assert_eq!(opened(&mut other, &line), Err(FrameError::Tag), "{key} {device} {board} {gateway}");
        assert!(!other.has_opened());
    }
    assert_eq!(opened(&mut session(1, "board-7", 2, 3).0, &line), Ok(ack(5)));
}

#[test]
fn a_frame_turned_round_does_not_open_for_who_sent_it() {
    let (mut board, mut gateway) = session(1, "board-7", 2, 3);
    let down = closed(&mut gateway, &ack(5));
    assert_eq!(opened(&mut gateway, &down), Err(FrameError::Tag));
    let up = closed(&mut board, &ack(5));
    assert_eq!(opened(&mut board, &up), Err(FrameError::Tag));
}

#[test]
fn a_frame_under_another_number_does_not_open_and_uses_none_up() {
    let (mut board, mut gateway) = session(1, "board-7", 2, 3);
    let line = closed(&mut gateway, &ack(5));
    let mut raised = cobs::decode_vec(&line).unwrap()[1..].to_vec();
    raised.truncate(raised.len() - 4);
    assert_eq!(raised[0], 1);
    raised[0] = 100;
    assert_eq!(board.open(&mut raised), Err(FrameError::Tag));
    assert_eq!(opened(&mut board, &line), Ok(ack(5)));
}

#[test]
fn a_challenge_is_of_who_has_the_key_and_of_one_call() {
    let key = DeviceKey::new([1; 16]);
    let call = samples::call();
    let (challenge, _) = call.challenged(&key, nonce(3));
    assert!(call.answered(&key, &challenge).is_some());
    assert!(call.answered(&DeviceKey::new([2; 16]), &challenge).is_none(), "another key");
    let later = Call { nonce: nonce(8), ..call };
    assert!(later.answered(&key, &challenge).is_none(), "of a Call that was recorded");
    let other = Call { device: DeviceId::new("board-8").unwrap(), ..call };
    assert!(other.answered(&key, &challenge).is_none(), "of another device");
    for bit in 0..128 {
        let mut proof = challenge.proof;
        proof[bit / 8] ^= 1 << (bit % 8);
        assert!(call.answered(&key, &Challenge { proof, ..challenge }).is_none());
        let mut nonce = challenge.nonce;
        nonce.0[bit / 8] ^= 1 << (bit % 8);
        assert!(call.answered(&key, &Challenge { nonce, ..challenge }).is_none());
    }
    // The proof is no frame that a board would take later, and no frame is a proof.
    let proof = [&[0][..], &challenge.proof].concat();
    assert_eq!(call.answered(&key, &challenge).unwrap().open(&mut proof.clone()), Err(FrameError::Replayed));
}

#[test]
fn a_frame_in_clear_is_told_from_one_under_a_key() {
    let mut line = [0; 64];
    let len = encode_down(&ack(5), &mut line).unwrap();
    assert!(matches!(Envelope::read(&mut line[..len - 1]), Ok(Envelope::Clear(_))));
    let mut under_a_key = closed(&mut session(1, "board-7", 2, 3).1, &ack(5));
    assert_eq!(
        tidegate_protocol::frame::decode_down(&mut under_a_key),
        Err(FrameError::NoSession),
        "whoever knows of no keys"
    );
}

#[test]
fn without_room_nothing_is_closed_and_no_number_is_used() {
    let (mut board, mut gateway) = session(1, "board-7", 2, 3);
    let mut line = [0; MAX_KEYED_DOWN_FRAME];
    let needed = encode_down(&ack(5), &mut line).unwrap() + 1 + KEYED_BYTES - 10;
    for room in 0..needed {
        assert_eq!(gateway.encode_down(&ack(5), &mut line[..room]), Err(FrameError::TooLong));
    }
    assert_eq!(gateway.closed(), 0);
    assert_eq!(gateway.encode_down(&ack(5), &mut line[..needed]), Ok(needed));
    assert_eq!(opened(&mut board, &line[..needed - 1]), Ok(ack(5)));
}

#[test]
fn the_longest_frame_in_clear_finds_room_under_a_key() {
    let (mut board, mut gateway) = session(1, "board-7", 2, 3);
    let fixed = 11;
    for raw in (fixed + 4..600).chain([1_024, MAX_FRAME - 1, MAX_FRAME]) {
        // Bytes of no zero, which stuffing makes longest.
        let samples = vec![7; raw - fixed - 4];
        let (boot, floor) = (BootId(u64::MAX).tag(), Seq(1));
        let readings = Readings {
            boot,
            first_seq: floor,
            floor,
            next: Seq(2),
            base_tick: Tick(1),
            count: 1,
            samples: &samples,
        };
        let up = Up::Readings(readings);
        let clear = encode_up(&up, &mut vec![0; encoded_len(raw)]).unwrap();
        assert!(clear >= raw + 2 && clear <= encoded_len(raw), "{clear} {raw}");
        let mut line = vec![0; encoded_len(raw + KEYED_BYTES)];
        let len = board.encode_up(&up, &mut line).unwrap_or_else(|error| panic!("{raw}: {error}"));
        let Ok(Envelope::Keyed(body)) = Envelope::read(&mut line[..len - 1]) else { panic!("{raw}") };
        let Ok(Up::Readings(came)) = decode_up_body(gateway.open(body).unwrap()) else { panic!("{raw}") };
        assert_eq!(came, readings);
    }
}

#[test]
fn keys_are_read_as_they_are_written() {
    let key: DeviceKey = "000102030405060708090A0b0c0d0e0f".parse().unwrap();
    assert_eq!(key.bytes()[..], (0..16).collect::<Vec<u8>>());
    assert_eq!("".parse::<DeviceKey>(), Err(KeyError::Length(0)));
    assert_eq!("00".repeat(17).parse::<DeviceKey>(), Err(KeyError::Length(34)));
    assert_eq!("0g".repeat(16).parse::<DeviceKey>(), Err(KeyError::Digit));
    assert_eq!("00".repeat(16).parse::<DeviceKey>(), Err(KeyError::Zeros));
    assert_eq!(format!("{key:?}"), "DeviceKey", "never its bytes");
}

proptest! {
    /// Lost, repeated and damaged frames: what opens is a subsequence of what was closed.
    #[test]
    fn what_opens_is_what_was_closed_in_order_and_once(
        steps in proptest::collection::vec((0u8..4, 0usize..40, any::<u16>()), 1..80)
    ) {
        let (mut board, mut gateway) = session(1, "board-7", 2, 3);
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        for (step, which, bit) in steps {
            let mut line = match step {
                0 | 1 => {
                    let line = closed(&mut gateway, &ack(sent.len() as u64));
                    sent.push(line.clone());
                    if step == 1 { continue }
                    line
                }
                _ => match sent.get(which) {
                    Some(line) => line.clone(),
                    None => continue,
                },
            };
            if step == 3 {
                let at = usize::from(bit) / 8 % line.len();
                line[at] ^= 1 << (bit % 8);
            }
            let mut copy = line.clone();
            if let Ok(Envelope::Keyed(body)) = Envelope::read(&mut copy)
                && let Ok(body) = board.open(body)
            {
                let Ok(Down::Ack { up_to, .. }) = decode_down_body(body) else { panic!("what opens is as it was") };
                came.push(up_to.0);
            }
        }
        prop_assert!(came.is_sorted_by(|a, b| a < b), "{came:?}");
    }
}
