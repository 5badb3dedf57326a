//! Gateways and a real authority's service, over TLS on the loopback.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::TempDir;
use tidegate_enrolment::{
    AskError, Fingerprint, Token,
    authority::{
        Authority, AuthorityError, Setup,
        service::{self, Serving},
    },
    client,
    gateway::{EnrolError, Places, enrol, renew},
    identity::{IdentityFile, Key},
    token::Secret,
};
use tidegate_protocol::{GatewayId, SiteId};
use tidegate_trust::{ClientFiles, Identity, files::OwnFiles};

const DAY: u64 = 86_400;
/// A certificate that lasts no longer may be renewed in the second it was made.
const RENEWED_AT_ONCE: u64 = 99;

struct World {
    folder: TempDir,
    service: String,
    serving: Serving,
}

impl World {
    async fn new() -> Self {
        Self::with_lives_of(90 * DAY).await
    }

    /// Gateways' certificates last for so many seconds.
    async fn with_lives_of(gateway_seconds: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The port is known only once it listens, and invitations name it.
        let setup = Setup { gateway_seconds, ..Setup::new("plant", "127.0.0.1:0", "broker.example:8883") };
        let authority = Authority::init(&folder.path().join("ca"), setup).expect("an authority");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = service::start(authority, listen).await.expect("it listens");
        Self { service: serving.address.to_string(), folder, serving }
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.folder.path().join("ca")).expect("an authority")
    }

    fn invite(&self, gateway: &str, seconds: u64) -> Token {
        let token = self.authority().invite(site(), gateway_id(gateway), seconds).expect("an invitation");
        // As it would be copied to the gateway.
        Token { service: self.service.clone(), ..token }.reveal().parse().expect("it reads back")
    }

    fn places(&self, gateway: &str) -> Places {
        let folder = self.folder.path().join(gateway);
        fs::create_dir_all(&folder).expect("a folder");
        Places { identity: IdentityFile::new(folder.join("identity.pem")), authority: folder.join("ca.pem") }
    }

    async fn ask(&self, token: &Token, key: &Key) -> Result<String, AskError> {
        client::enrol(token, key).await.map(|granted| granted.certificate)
    }
}

fn site() -> SiteId {
    SiteId::new("plant").expect("a name")
}

fn gateway_id(name: &str) -> GatewayId {
    GatewayId::new(name).expect("a name")
}

fn identity(gateway: &str) -> Identity {
    Identity::Gateway { site: site(), gateway: gateway_id(gateway) }
}

fn files(places: &Places) -> ClientFiles {
    let file = places.identity.path().to_owned();
    let own = Some(OwnFiles { certificate: file.clone(), key: file });
    ClientFiles { own, ..ClientFiles::believing(&places.authority) }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn status(error: &AskError) -> Option<u16> {
    if let AskError::Refused { status, .. } = error { Some(*status) } else { None }
}

#[tokio::test]
async fn an_invited_gateway_has_a_key_of_its_own_and_the_certificate_for_it() {
    let world = World::new().await;
    let (token, places) = (world.invite("gw-a", DAY), world.places("gw-a"));
    let enrolled = enrol(&token, &places).await.expect("it is let in");
    assert_eq!(enrolled.broker.as_deref(), Some("broker.example:8883"));
    assert_eq!(enrolled.certificate.uris, ["tidegate://plant/gw-a"]);
    let left = enrolled.certificate.seconds_left();
    assert!((89 * DAY as i64..=90 * DAY as i64).contains(&left), "{left}");

    let path = places.identity.path();
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8");
    assert_eq!(mode(path), 0o600);
    let beside: Vec<_> =
        fs::read_dir(path.parent().expect("a folder")).expect("a folder").flatten().collect();
    assert_eq!(beside.len(), 2, "identity and authority, and nothing that was needed on the way: {beside:?}");
    files(&places).load().expect("a client can use them");

    let kept = fs::read_dir(world.folder.path().join("ca/invited")).expect("a folder").flatten();
    for file in kept.map(|entry| entry.path()) {
        let shown = format!("{}{}", file.display(), fs::read_to_string(&file).expect("a file"));
        assert!(!shown.contains(&token.secret.reveal()), "the authority keeps no secret: {shown}");
        assert_eq!(mode(&file), 0o600);
    }
    assert_eq!(mode(&world.folder.path().join("ca/ca.key")), 0o600);
    world.serving.stop().await;
}

#[tokio::test]
async fn an_invitation_is_good_for_one_key_also_when_two_come_at_once() {
    let world = World::new().await;
    let token = world.invite("gw-a", DAY);
    let (one, other) = (Key::make().expect("a key"), Key::make().expect("a key"));
    let (first, second) = tokio::join!(world.ask(&token, &one), world.ask(&token, &other));
    let (winner, given, denied) = match (first, second) {
        (Ok(given), Err(denied)) => (one, given, denied),
        (Err(denied), Ok(given)) => (other, given, denied),
        both => panic!("{both:?}"),
    };
    assert_eq!(status(&denied), Some(409), "{denied}");
    assert!(denied.to_string().contains("revoke"), "{denied}");
    // The answer may have been lost on its way: the same key is answered the same.
    assert_eq!(world.ask(&token, &winner).await.expect("again"), given);
    assert_eq!(world.authority().issued().expect("records").len(), 2, "the service's own, and one");
}

#[tokio::test]
async fn a_gateway_that_was_cut_off_while_it_asked_asks_again_with_the_key_it_made() {
    let world = World::new().await;
    let (token, places) = (world.invite("gw-a", DAY), world.places("gw-a"));
    // It was given one, and did not live to write it.
    let key = places.identity.pending_key().expect("a key");
    let given = world.ask(&token, &key).await.expect("it is let in");
    drop(key);
    enrol(&token, &places).await.expect("again");
    let text = fs::read_to_string(places.identity.path()).expect("a file");
    assert!(text.contains(given.lines().nth(1).expect("a line")), "the certificate it was given first");
}

#[tokio::test]
async fn what_is_no_good_invitation_is_refused() {
    let world = World::new().await;
    let (places, key) = (world.places("gw-a"), Key::make().expect("a key"));
    let expired = world.invite("gw-a", 0);
    let made_up = Token { secret: Secret::random().expect("bytes"), ..world.invite("gw-a", DAY) };
    let withdrawn = world.invite("gw-b", DAY);
    world.authority().revoke(&identity("gw-b"), "changed our mind").expect("it is there");
    for token in [expired, made_up, withdrawn] {
        let refused = world.ask(&token, &key).await.expect_err("refused");
        assert_eq!(status(&refused), Some(403), "{refused}");
        assert!(refused.is_final());
    }
    let refused = enrol(&world.invite("gw-a", 0), &places).await.expect_err("refused").to_string();
    assert!(refused.contains("tidegate gateway invite"), "{refused}");
    assert!(!places.identity.path().exists());
}

#[tokio::test]
async fn a_used_invitation_does_not_bring_back_what_was_revoked() {
    let world = World::new().await;
    let (token, key) = (world.invite("gw-a", DAY), Key::make().expect("a key"));
    world.ask(&token, &key).await.expect("it is let in");
    world.authority().revoke(&identity("gw-a"), "stolen").expect("it is there");
    let refused = world.ask(&token, &key).await.expect_err("refused");
    assert!(status(&refused) == Some(403) && refused.to_string().contains("revoked"), "{refused}");
}

/// Whoever sits between has a certificate of its own authority for the right address.
#[tokio::test]
async fn a_service_of_another_authority_is_told_nothing() {
    let (world, stranger) = (World::new().await, World::new().await);
    let token = Token { service: stranger.service.clone(), ..world.invite("gw-a", DAY) };
    let places = world.places("gw-a");
    let refused = enrol(&token, &places).await.expect_err("it is not believed");
    assert!(matches!(refused, EnrolError::Ask(AskError::Handshake { .. })), "{refused}");
    assert!(refused.to_string().contains("signed by no authority"), "{refused}");
    assert!(!places.authority.exists());
    // An authority that merely has the same name is another one.
    let pinned = Token { authority: Fingerprint([0; 32]), ..world.invite("gw-a", DAY) };
    enrol(&pinned, &places).await.expect_err("it is not believed");
    enrol(&world.invite("gw-a", DAY), &places).await.expect("and its own is");
}

#[tokio::test]
async fn a_certificate_is_renewed_by_who_has_it_with_another_key_and_not_once_it_is_revoked() {
    let world = World::with_lives_of(RENEWED_AT_ONCE).await;
    let places = world.places("gw-a");
    enrol(&world.invite("gw-a", DAY), &places).await.expect("it is let in");
    let before = fs::read_to_string(places.identity.path()).expect("a file");
    renew(&world.service, &files(&places), &places).await.expect("it is renewed");
    let after = fs::read_to_string(places.identity.path()).expect("a file");
    let key = |text: &str| text.lines().nth(1).map(str::to_owned);
    assert!(key(&before).is_some() && key(&before) != key(&after), "a new key");
    let authority = world.authority();
    let of_gateway = |name: &str| {
        let all = authority.issued().expect("records").into_iter();
        all.filter(|record| record.identity == format!("tidegate://plant/{name}")).collect::<Vec<_>>()
    };
    assert_eq!(of_gateway("gw-a").len(), 2);

    // Without one, or with one of another authority, nobody is renewed.
    let stranger = World::new().await;
    let others = stranger.places("gw-a");
    enrol(&stranger.invite("gw-a", DAY), &others).await.expect("it is let in there");
    let strange = ClientFiles { ca: places.authority.clone(), ..files(&others) };
    let anonymous = ClientFiles { own: None, ..files(&places) };
    let key = Key::make().expect("a key");
    assert_eq!(status(&client::renew(&world.service, &anonymous, &key).await.expect_err("no")), Some(403));
    let refused = client::renew(&world.service, &strange, &key).await.expect_err("no");
    assert!(matches!(refused, AskError::Handshake { .. }), "{refused}");

    assert_eq!(authority.revoke(&identity("gw-a"), "stolen").expect("it is there"), 2, "both that are good");
    let refused = client::renew(&world.service, &files(&places), &key).await.expect_err("no");
    // By the list, which is how brokers know it too.
    assert!(matches!(refused, AskError::Handshake { .. }), "{refused}");
    assert!(refused.to_string().contains("revoked"), "{refused}");
    assert_eq!(of_gateway("gw-a").len(), 2);
    assert!(of_gateway("gw-a").iter().all(|record| record.revoked.is_some()));
    // As after a revocation that was cut off before its list was written.
    let list = world.folder.path().join("ca/revoked.pem");
    fs::remove_file(&list).expect("it was there");
    assert!(matches!(
        authority.revoke(&identity("gw-a"), "again").expect_err("all are"),
        AuthorityError::NobodyTo(_)
    ));
    let refused = client::renew(&world.service, &files(&places), &key).await.expect_err("no");
    assert!(refused.to_string().contains("revoked"), "by the list, which was made anew: {refused}");
    // Invited anew it is let in.
    enrol(&world.invite("gw-a", DAY), &places).await.expect("it is let in again");
    renew(&world.service, &files(&places), &places).await.expect("and renewed");
}

/// As where the authority invites first and is started, or has its service's certificate renewed, later.
#[tokio::test]
async fn an_invitation_older_than_the_services_certificate_is_good_where_the_clock_is_wrong() {
    let world = World::new().await;
    let (token, places) = (world.invite("gw-a", DAY), world.places("gw-a"));
    // Our clock is ahead of what this invitation says, so the one time it is known to be after is 1970.
    enrol(&Token { made: 1_000, expires: 2_000, ..token }, &places).await.expect("it is let in");
}

#[tokio::test]
async fn a_certificate_has_one_successor_and_that_not_too_soon() {
    let world = World::with_lives_of(RENEWED_AT_ONCE).await;
    let places = world.places("gw-a");
    enrol(&world.invite("gw-a", DAY), &places).await.expect("it is let in");
    let (copied, key) = (world.places("copy"), Key::make().expect("a key"));
    fs::copy(places.identity.path(), copied.identity.path()).expect("a copy");
    fs::copy(&places.authority, &copied.authority).expect("a copy");
    let given = client::renew(&world.service, &files(&copied), &key).await.expect("the first to ask");
    // The answer may have been lost on its way: the same key is answered the same, as often as it asks.
    for _ in 0..3 {
        let again = client::renew(&world.service, &files(&copied), &key).await.expect("the same key");
        assert_eq!(again.certificate, given.certificate);
    }
    let refused = renew(&world.service, &files(&places), &places).await.expect_err("another key");
    assert!(matches!(&refused, EnrolError::Ask(error) if status(error) == Some(409)), "{refused}");
    assert!(refused.to_string().contains("revoke"), "{refused}");
    let issued = world.authority().issued().expect("records");
    assert_eq!(issued.len(), 3, "the service's own, the first, and one more");

    let world = World::new().await;
    let places = world.places("gw-a");
    enrol(&world.invite("gw-a", DAY), &places).await.expect("it is let in");
    let refused = renew(&world.service, &files(&places), &places).await.expect_err("it is new");
    assert!(matches!(&refused, EnrolError::Ask(error) if status(error) == Some(429)), "{refused}");
    assert_eq!(world.authority().issued().expect("records").len(), 2, "the service's own, and the first");
}

#[tokio::test]
async fn the_service_makes_the_list_anew_when_it_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new("plant", "127.0.0.1:0", "broker.example:8883");
    let authority = Authority::init(folder.path(), setup).expect("an authority");
    let list = authority.path("revoked.pem");
    fs::remove_file(&list).expect("it was there");
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = service::start(authority, listen).await.expect("it listens");
    assert!(
        list.exists(),
        "or one that is too old, or lacks who was revoked meanwhile, would be shown for a day"
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_key_waits_until_its_certificate_is_found_good() {
    let world = World::with_lives_of(RENEWED_AT_ONCE).await;
    let places = world.places("gw-a");
    enrol(&world.invite("gw-a", DAY), &places).await.expect("it is let in");
    let before = fs::read_to_string(places.identity.path()).expect("a file");
    // What it was given cannot be looked at.
    let nowhere = Places { authority: world.folder.path().join("gone.pem"), ..places.clone() };
    renew(&world.service, &files(&places), &nowhere).await.expect_err("nothing to judge it by");
    assert_eq!(fs::read_to_string(places.identity.path()).expect("a file"), before);
    renew(&world.service, &files(&places), &places).await.expect("with the key that waited");
}

#[tokio::test]
async fn an_authority_is_made_once_and_opens_as_it_was_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new("plant", "ca.example:8884", "");
    let made = Authority::init(folder.path(), setup.clone()).expect("an authority");
    assert!(matches!(Authority::init(folder.path(), setup), Err(AuthorityError::Exists(_))));
    let opened = Authority::open(folder.path()).expect("it is there");
    assert_eq!(opened.fingerprint(), made.fingerprint());
    let nowhere = tempfile::tempdir().expect("a folder");
    assert!(matches!(Authority::open(nowhere.path()), Err(AuthorityError::None(_))));
    for name in ["", "a b", "-\n", "x..y", &"x".repeat(300)] {
        let file = IdentityFile::new(nowhere.path().join("server.pem"));
        let refused = made.issue_server(&[name.to_owned()], &file);
        assert!(matches!(refused, Err(AuthorityError::ServerName(_))), "{name:?}");
        assert!(!file.path().exists());
    }
}
