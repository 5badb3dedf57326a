//! Every route with every method, for every role and every kind of credentials. A route that is added without a class fails here.

use reqwest::{Method, StatusCode};
use tidegate_access::{Role, Token};
use tidegate_ingest::api::class::{self, Class};

use crate::{Served, asked::HOUR_MS};

const ROUTES: [&str; 2] = [include_str!("../../src/api/mod.rs"), include_str!("../../src/api/page.rs")];
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

fn routes() -> Vec<&'static str> {
    let found = ROUTES.iter().flat_map(|text| text.split(".route(").skip(1));
    let routes: Vec<_> = found.filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(routes.len() > 40, "the routes are not found in the source any more");
    routes
}

/// With something in the place of each name.
fn asked(route: &str) -> String {
    let parts = route.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn is_turned_away(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

struct Credentials {
    none: Option<Token>,
    bad: [(&'static str, Token); 3],
    good: [(Role, Token); 4],
}

impl Credentials {
    fn of(served: &Served) -> Self {
        let expired = served.token_until("old", Role::Admin, served.door.unix_ms() - 2 * HOUR_MS, HOUR_MS);
        let revoked = served.token("gone", Role::Admin);
        served.revoke(&revoked);
        let unknown = Token::new([9; 8], [9; 32]);
        let good = Role::ALL.map(|role| (role, served.token(role.name(), role)));
        Self { none: None, bad: [("expired", expired), ("revoked", revoked), ("unknown", unknown)], good }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_its_class_says_and_nobody_else() {
    let served = Served::start_asking().await;
    let credentials = Credentials::of(&served);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = async |token: Option<&Token>, method: &Method, path: &str| {
        let mut request = client.request(method.clone(), format!("http://{}{path}", served.address));
        if let Some(token) = token {
            request =
                request.bearer_auth(tidegate_access::secrecy::ExposeSecret::expose_secret(token.text()));
        }
        tokio::time::timeout(crate::PATIENCE, request.send()).await.expect("no answer").unwrap().status()
    };
    let mut classes = 0;
    for route in routes() {
        for method in &METHODS {
            let (class, path) = (class::of(method, route), asked(route));
            let what = format!("{method} {route} ({class:?})");
            let strangers = [("nothing", credentials.none.as_ref())];
            let bad = credentials.bad.iter().map(|(kind, token)| (*kind, Some(token)));
            for (kind, token) in strangers.into_iter().chain(bad) {
                let status = ask(token, method, &path).await;
                match class {
                    // Where to sign in.
                    Some(_) if route == "/" && *method == Method::GET => {
                        assert_eq!(status, StatusCode::SEE_OTHER, "{what} {kind}");
                    }
                    Some(Class::Everybody) => assert_ne!(status, StatusCode::UNAUTHORIZED, "{what} {kind}"),
                    _ => assert_eq!(status, StatusCode::UNAUTHORIZED, "{what} {kind}"),
                }
            }
            let wanted = match class {
                None => Some(Role::Admin),
                Some(Class::Everybody) => None,
                Some(Class::Metrics) => Some(Role::Viewer),
                Some(Class::AtLeast(role)) => Some(role),
            };
            for (role, token) in &credentials.good {
                let status = ask(Some(token), method, &path).await;
                if wanted.is_some_and(|wanted| *role < wanted) {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{what} {role}");
                    continue;
                }
                assert!(!is_turned_away(status), "{what} {role}: {status}");
                let is_taken = status != StatusCode::METHOD_NOT_ALLOWED;
                assert_eq!(
                    is_taken,
                    class.is_some(),
                    "{what} {role}: {status}: give each route's methods a class"
                );
            }
            classes += usize::from(class.is_some());
        }
    }
    assert!(classes > 60, "{classes}");
}

/// What the classes are, so that none changes unseen.
#[test]
fn what_changes_something_wants_more_than_a_viewer() {
    for route in routes() {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let wanted = match (class::of(&method, route), route) {
                (None, _)
                | (Some(Class::Everybody), "/login")
                | (Some(Class::AtLeast(Role::Viewer)), "/logout") => continue,
                (Some(Class::AtLeast(role)), _) => role,
                (Some(class), _) => panic!("{method} {route} is for {class:?}"),
            };
            let expected = match route {
                _ if route.starts_with("/api/v1/alarms/") => Role::Operator,
                _ if route.starts_with("/api/v1/tokens") || route.starts_with("/api/v1/users") => Role::Admin,
                _ => Role::Engineer,
            };
            assert_eq!(wanted, expected, "{method} {route}");
        }
    }
    for route in ["/api/v1/tokens", "/api/v1/users", "/api/v1/changes"] {
        assert_eq!(class::of(&Method::GET, route), Some(Class::AtLeast(Role::Admin)), "{route}");
    }
}
