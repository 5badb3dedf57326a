//! What must hold of a certificate, whatever is in it, in one place for the fuzzer and for the seeded test: no panic, no
//! more memory than its own length calls for, and an identity that is exactly what was written.

use tidegate_trust::{Identity, certificate::Certificate};

/// A certificate in DER, as a client might send it.
pub fn certificate(bytes: &[u8]) {
    let Ok(read) = Certificate::read(bytes) else {
        assert!(Identity::of(bytes).is_err(), "an identity of what cannot be read");
        return;
    };
    assert!(read.uris.iter().map(String::len).sum::<usize>() <= bytes.len());
    let _ = read.seconds_left();
    let ours: Vec<&String> = read.uris.iter().filter(|uri| uri.starts_with("tidegate:")).collect();
    match Identity::of(bytes) {
        Ok(identity) => assert_eq!(ours, [&identity.to_string()], "the one URI of ours, as it stands"),
        Err(refused) => assert!(refused.to_string().len() < 1_024),
    }
    read.uris.iter().for_each(|uri| identity(uri));
}

/// What is an identity has one form only, with nothing in it that a topic or a log could mistake.
pub fn identity(uri: &str) {
    let Ok(identity) = uri.parse::<Identity>() else { return };
    assert_eq!(identity.to_string(), uri);
    assert!(
        uri.len() <= 128
            && uri.bytes().all(|byte| byte.is_ascii_lowercase() || b"0123456789-:/".contains(&byte)),
        "{uri}"
    );
}
