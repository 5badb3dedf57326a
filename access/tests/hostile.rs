//! Any request: real headers and forms with bytes turned over, cut and doubled, and noise.

#[path = "support/hostile.rs"]
mod hostile;

use proptest::prelude::*;

const REAL: [&str; 8] = [
    "Bearer tdg_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "tdg_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "a=1; __Host-tidegate=0123456789abcdef; b=2",
    "__Host-tidegate=x;__Host-tidegate=y",
    "name=eva&password=tide+and%20gate&token=00",
    "https://ingest.example",
    "[::1]:8080",
    "localhost:8080",
];

fn all(bytes: &[u8]) {
    hostile::authorization(bytes);
    hostile::cookies(bytes);
    hostile::form(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        hostile::token(text);
        hostile::origin(text);
    }
}

/// A real one, in which some bytes are others, and of which a part is gone or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let turned = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>());
    (0..REAL.len(), turned, cut).prop_map(|(real, turned, (from, to, doubled))| {
        let mut bytes = REAL[real].as_bytes().to_vec();
        for (at, byte) in turned {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let part = bytes[from.min(to)..from.max(to)].to_vec();
        if doubled {
            bytes.splice(from.min(to)..from.min(to), part);
        } else if part.len() < 20 {
            bytes.drain(from.min(to)..from.max(to));
        }
        bytes
    })
}

proptest! {
    #[test]
    fn noise_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        all(&bytes);
    }

    #[test]
    fn what_is_nearly_right_is_read_or_refused(bytes in damaged()) {
        all(&bytes);
    }
}

#[test]
fn what_is_real_holds_too() {
    REAL.iter().for_each(|real| all(real.as_bytes()));
}
