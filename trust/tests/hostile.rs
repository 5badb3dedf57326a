//! Any certificate: real ones with bytes turned over, cut and doubled, and noise.

#[path = "support/hostile.rs"]
mod hostile;

use std::sync::LazyLock;

use proptest::prelude::*;
use tidegate_trust::{
    Identity,
    authority::{Authority, Issued, When},
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

static REAL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let authority = Authority::new("plant");
    let uris: [&[&str]; 5] = [
        &["tidegate://plant/gw-a"],
        &["tidegate:role/observer/eva", "https://example.org/"],
        &["tidegate:role/ingest", "tidegate:role/ingest"],
        &["tidegate:role/root"],
        &[],
    ];
    uris.iter().map(|uris| der(&authority.client(uris, When::Now))).collect()
});

fn der(issued: &Issued) -> Vec<u8> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("it is PEM").to_vec()
}

#[test]
fn what_is_no_one_identity_is_told() {
    let found: Vec<String> = REAL
        .iter()
        .map(|der| match Identity::of(der) {
            Ok(identity) => identity.to_string(),
            Err(refused) => refused.to_string(),
        })
        .collect();
    assert_eq!(found[..2], ["tidegate://plant/gw-a", "tidegate:role/observer/eva"]);
    assert!(found[2].contains("has 2 URIs"), "{}", found[2]);
    assert!(found[3].contains("\"tidegate:role/root\" is neither"), "{}", found[3]);
    assert!(found[4].contains("has no URI like"), "{}", found[4]);
    assert!(Identity::of(b"\x30\x80").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_certificate_with_bytes_turned_over(
        which in 0..5_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = REAL[which].clone();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        hostile::certificate(&bytes);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        hostile::certificate(&bytes);
    }

    #[test]
    fn any_uri(uri in "tidegate:(//|role/|)[a-z0-9A-Z/+#%?@. -]{0,80}") {
        hostile::identity(&uri);
    }
}
