//! What a request says of itself. Everything here comes from outside, and nothing of it is believed before it was looked at.

use std::net::{IpAddr, Ipv6Addr};

use secrecy::SecretString;

use crate::token::{NoToken, Token};

/// A sign-in needs less.
pub const MAX_FORM_BYTES: usize = 4_096;
const MAX_FIELDS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("Authorization: send it once, as `Bearer tdg_…`")]
    Authorization,
    #[error("Authorization: {0}")]
    Token(#[from] NoToken),
    #[error("the form cannot be read")]
    Form,
}

/// The token in the values of `Authorization`, of which there may be one. The scheme's letters may be of either case (RFC 9110).
pub fn bearer<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Token>, Malformed> {
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::Authorization);
    }
    let text = std::str::from_utf8(value).map_err(|_| Malformed::Authorization)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Malformed::Authorization)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Malformed::Authorization);
    }
    Ok(Some(Token::read(rest.trim_matches(' '))?))
}

/// The one cookie of this name; none where it comes twice: somebody has set another beside it.
pub fn cookie<'a>(values: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<SecretString> {
    let texts = values.filter_map(|value| std::str::from_utf8(value).ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let value = found.next().filter(|value| !value.is_empty())?;
    found.next().is_none().then(|| value.into())
}

/// The fields of an `application/x-www-form-urlencoded` body.
#[derive(Debug)]
pub struct Form(Vec<(String, SecretString)>);

impl Form {
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_FORM_BYTES {
            return Err(Malformed::Form);
        }
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let mut fields: Vec<(String, SecretString)> = Vec::new();
        for pair in pairs {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (pair.get(..at), pair.get(at + 1..).unwrap_or_default());
            let name = decoded(name.unwrap_or_default())?;
            if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == name) {
                return Err(Malformed::Form);
            }
            fields.push((name, decoded(value)?.into()));
        }
        Ok(Self(fields))
    }

    pub fn field(&self, name: &str) -> Option<&SecretString> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn decoded(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Malformed::Form) };
                u8::try_from(high * 16 + low).map_err(|_| Malformed::Form)?
            }
            plain => *plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| Malformed::Form)
}

/// Whether a `Host` names this machine: a page from elsewhere may have a name of its own resolve to it. What is no host with at most
/// a port behind it (RFC 9110 §7.2) names nothing.
pub fn names_this_machine(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            is_port(port) && address.parse::<Ipv6Addr>().is_ok_and(|address| is_loopback(address.into()))
        }
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            is_port(port) && (name == "localhost" || name.parse().is_ok_and(is_loopback))
        }
    }
}

/// A colon and a number, or nothing.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or_default();
    text.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}

/// What a browser says about where a request was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made<'a> {
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub sec_fetch_site: Option<&'a str>,
}

impl Made<'_> {
    /// Whether one of our own pages made it. Every browser says so of what changes something, in one of the two ways at least; what
    /// says it in neither is not taken.
    pub fn by_our_own_page(self) -> bool {
        let same_site = self.sec_fetch_site.map(|site| site == "same-origin");
        let same_origin = self.origin.map(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            matches!((authority, self.host), (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host))
        });
        match (same_site, same_origin) {
            (None, None) => false,
            (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn one_bearer_is_read_and_nothing_else() {
        let good = format!("tdg_{}_{}", "0".repeat(16), "a".repeat(64));
        let read = |values: &[&str]| bearer(values.iter().map(|value| value.as_bytes()));
        assert!(read(&[]).unwrap().is_none());
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert!(read(&[&format!("{scheme} {good}")]).unwrap().is_some());
        }
        let twice = format!("Bearer {good}");
        assert_eq!(read(&[&twice, &twice]).unwrap_err(), Malformed::Authorization);
        for wrong in ["", "Bearer", &good, &format!("Basic {good}"), &format!("Bearer,{good}")] {
            assert_eq!(read(&[wrong]).unwrap_err(), Malformed::Authorization, "{wrong}");
        }
        assert_eq!(read(&["Bearer tdg_x"]).unwrap_err(), Malformed::Token(NoToken));
        assert!(bearer([&b"Bearer \xff"[..]].into_iter()).is_err());
    }

    #[test]
    fn a_cookie_is_found_among_others_unless_there_are_two() {
        let read = |values: &[&str]| {
            cookie(values.iter().map(|value| value.as_bytes()), "s")
                .map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(read(&["a=1; s=abc;b=2"]).as_deref(), Some("abc"));
        assert_eq!(read(&["a=1", " s=x=y "]).as_deref(), Some("x=y"));
        for none in [&["xs=1; s2=1; S=1"][..], &["s=1; s=2"], &["s=1", "s=1"], &["s="], &["s"], &[]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_form_is_decoded_or_refused_whole() {
        let form = Form::read(b"name=eva&password=a%26b+%C3%A9%3D&&empty=&bare").unwrap();
        let field = |name: &str| form.field(name).map(|value| value.expose_secret().to_owned());
        assert_eq!(field("password").as_deref(), Some("a&b \u{e9}="));
        assert_eq!((field("empty").as_deref(), field("bare").as_deref()), (Some(""), Some("")));
        assert_eq!(field("other"), None);
        assert!(!format!("{form:?}").contains("a&b"));
        let many = (0..=MAX_FIELDS).map(|n| format!("f{n}=1&")).collect::<String>();
        for wrong in [
            &b"a=%"[..],
            b"a=%4",
            b"a=%zz",
            b"a=%ff",
            b"a=1&a=2",
            many.as_bytes(),
            &[b'x'; MAX_FORM_BYTES + 1],
        ] {
            assert!(Form::read(wrong).is_err());
        }
    }

    #[test]
    fn only_loopback_is_this_machine() {
        for host in ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "ingest.example",
            "localhost.example:80",
            "10.0.0.1",
            "[::]",
            "127.0.0.1.example",
            "[localhost",
            "x@localhost",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_request_is_our_own_page_s_only_where_nothing_speaks_against_it() {
        let made = |host, origin, sec_fetch_site| Made { host, origin, sec_fetch_site }.by_our_own_page();
        let (host, origin) = (Some("ingest:8080"), Some("https://ingest:8080"));
        assert!(made(host, origin, Some("same-origin")));
        assert!(made(host, origin, None));
        assert!(made(host, None, Some("same-origin")));
        assert!(!made(host, None, None));
        assert!(!made(None, origin, None));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!made(host, origin, Some(site)), "{site}");
        }
        for origin in ["null", "https://evil", "https://ingest", "https://ingest:80801", "ingest:8080", ""] {
            assert!(!made(host, Some(origin), Some("same-origin")), "{origin}");
        }
    }

    /// Found by fuzzing: what stood behind the last colon was never looked at.
    #[test]
    fn a_host_names_this_machine_only_where_it_is_a_host_and_at_most_a_port() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:80", "127.8.9.1", "[::1]", "[::1]:8080"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "::01:DDD!D",
            "::1",
            "::1:80",
            "[::1]x",
            "[::1]:x",
            "[::1",
            "[127.0.0.1]",
            "localhost:80:80",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "127.0.0.1:",
            "10.0.0.1",
            "",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
