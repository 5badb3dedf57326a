//! What must hold for any bytes that a request may carry.

use tidegate_access::{
    Token,
    request::{Form, MAX_FORM_BYTES, Made, bearer, cookie, names_this_machine},
    secrecy::ExposeSecret,
};

/// What is taken as a token has one form only.
pub fn token(text: &str) {
    let Ok(token) = Token::read(text) else { return };
    assert_eq!(token.text().expose_secret(), text);
    assert!(text.is_ascii() && text.len() == 85);
    assert!(token.hash().is_of(&token));
    assert!(!format!("{token:?}").contains(&text[21..]), "the secret is not shown");
}

pub fn authorization(bytes: &[u8]) {
    match bearer([bytes].into_iter()) {
        Ok(None) => panic!("there was a header"),
        Ok(Some(read)) => {
            let text = std::str::from_utf8(bytes).expect("it was read");
            assert!(text.ends_with(read.text().expose_secret()) || text.ends_with(' '));
            token(read.text().expose_secret());
        }
        // Never what was sent: it may be nearly a secret.
        Err(refused) => assert!(refused.to_string().len() < 200),
    }
    assert!(bearer([bytes, bytes].into_iter()).is_err(), "it may come once");
}

pub fn cookies(bytes: &[u8]) {
    let name = "__Host-tidegate";
    if let Some(value) = cookie([bytes].into_iter(), name) {
        let value = value.expose_secret();
        assert!(!value.is_empty() && !value.contains(';'));
        assert!(cookie([bytes, bytes].into_iter(), name).is_none(), "two are none");
    }
}

pub fn form(bytes: &[u8]) {
    let Ok(form) = Form::read(bytes) else { return };
    assert!(bytes.len() <= MAX_FORM_BYTES);
    for name in ["name", "password", "token", ""] {
        if let Some(value) = form.field(name) {
            assert!(value.expose_secret().len() <= bytes.len());
        }
    }
}

pub fn origin(text: &str) {
    let made = Made { host: Some("ingest.example"), origin: Some(text), sec_fetch_site: Some("same-origin") };
    if made.by_our_own_page() {
        assert!(text.to_ascii_lowercase().ends_with("://ingest.example"));
    }
    assert!(!Made { sec_fetch_site: Some("cross-site"), ..made }.by_our_own_page());
    if names_this_machine(text) {
        let address = text.rsplit_once("]:").map_or(text, |(address, _)| address).trim_matches(['[', ']']);
        let name = if text.starts_with('[') { address } else { text.split(':').next().unwrap_or_default() };
        let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        assert!(name == "localhost" || is_loopback, "{text}");
        let port =
            text.rsplit(']').next().and_then(|rest| rest.rsplit_once(':')).map_or("0", |(_, port)| port);
        assert!(port.parse::<u16>().is_ok(), "{text}");
    }
}
