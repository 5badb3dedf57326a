//! Signing in and out, as a browser does it.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value as Json;
use tidegate_access::{Book, Role, attempts, password};
use tidegate_ingest::door::Policy;

use crate::{
    HttpListener, MAX_CONNECTIONS, Served,
    asked::{PASSWORD, name},
    ends, header,
};

/// What a browser holds and sends.
#[derive(Clone, Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn sends(&self, request: RequestBuilder) -> RequestBuilder {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("sec-fetch-site", "same-origin");
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    fn takes(&mut self, response: &Response) {
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    async fn form(&mut self, served: &Served) -> String {
        let page = self.sends(served.request(Method::GET, "/login")).send().await.unwrap();
        self.takes(&page);
        let text = page.text().await.unwrap();
        text.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    async fn signs_in(&mut self, served: &Served, who: &str, password: &str) -> Response {
        let form = self.form(served).await;
        let request = served.request(Method::POST, "/login");
        let fields = [("form", form.as_str()), ("name", who), ("password", password)];
        let answer = self.sends(posting(request, &fields)).send().await.unwrap();
        self.takes(&answer);
        answer
    }

    async fn get(&self, served: &Served, path: &str) -> Response {
        self.sends(served.request(Method::GET, path)).send().await.unwrap()
    }
}

fn posting(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"))
}

#[tokio::test]
async fn who_signs_in_sees_the_page_until_they_sign_out() {
    let served = Served::start_asking().await;
    served.user("eva", Role::Operator);
    let mut browser = Browser::default();
    let sent_on = browser.get(&served, "/").await;
    assert_eq!((sent_on.status(), header(&sent_on, "location")), (StatusCode::SEE_OTHER, "login"));

    let signed_in = browser.signs_in(&served, "eva", PASSWORD).await;
    assert_eq!((signed_in.status(), header(&signed_in, "location")), (StatusCode::SEE_OTHER, "./"));
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("tidegate=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(browser.cookies.len(), 1, "the form's is gone");
    assert_eq!(browser.get(&served, "/").await.status(), StatusCode::OK);
    let who: Json = browser.get(&served, "/api/v1/whoami").await.json().await.unwrap();
    assert_eq!(
        (who["name"].as_str(), who["role"].as_str(), who["by"].as_str()),
        (Some("eva"), Some("operator"), Some("session"))
    );
    assert_eq!(browser.get(&served, "/api/v1/users").await.status(), StatusCode::FORBIDDEN);

    let sign_out = |fields: &[(&str, &str)]| {
        browser.sends(posting(served.request(Method::POST, "/logout"), fields)).send()
    };
    let forged = sign_out(&[("form", "0000")]).await.unwrap();
    assert_eq!(
        forged.status(),
        StatusCode::FORBIDDEN,
        "whoever cannot read the page cannot sign its reader out"
    );
    let out = sign_out(&[("form", who["form"].as_str().unwrap())]).await.unwrap();
    assert_eq!((out.status(), header(&out, "location")), (StatusCode::SEE_OTHER, "login"));
    assert!(header(&out, "set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get(&served, "/api/v1/whoami").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_are_answered_alike() {
    let served = Served::start_asking().await;
    served.user("eva", Role::Admin);
    let mut answers = Vec::new();
    for (who, password) in
        [("eva", "not the password at all"), ("nobody", PASSWORD), ("eva", ""), ("E v a", "x")]
    {
        let mut browser = Browser::default();
        let answer = browser.signs_in(&served, who, password).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{who}");
        assert!(header(&answer, "www-authenticate").starts_with("Bearer"));
        assert!(!browser.cookies.iter().any(|(name, _)| name == "tidegate"));
        let form = browser.cookies[0].1.clone();
        answers.push(answer.text().await.unwrap().replace(&form, ""));
    }
    assert!(answers[0].contains("The name or the password is wrong."));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn after_too_many_attempts_even_the_right_password_waits() {
    let served = Served::start_asking().await;
    served.user("eva", Role::Admin);
    let mut browser = Browser::default();
    for _ in 0..attempts::OF_AN_ACCOUNT {
        assert_eq!(browser.signs_in(&served, "eva", "wrong").await.status(), StatusCode::UNAUTHORIZED);
    }
    let answer = browser.signs_in(&served, "eva", PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header(&answer, "retry-after").parse().unwrap();
    assert!((1..=attempts::WINDOW_MS / 1_000).contains(&wait), "{wait}");
    assert!(answer.text().await.unwrap().contains("Too many attempts"));
    served.user("tom", Role::Viewer);
    assert_eq!(
        browser.signs_in(&served, "tom", PASSWORD).await.status(),
        StatusCode::SEE_OTHER,
        "another may"
    );
}

#[tokio::test]
async fn a_page_from_elsewhere_can_neither_sign_in_nor_act_with_a_session() {
    let served = Served::start_asking().await;
    served.user("eva", Role::Admin);
    let mut browser = Browser::default();
    let form = browser.form(&served).await;
    let fields = [("form", form.as_str()), ("name", "eva"), ("password", PASSWORD)];
    let cookie = format!("tidegate-form={form}");
    let post = || posting(served.request(Method::POST, "/login"), &fields);
    let host = served.address.to_string();
    for (request, why) in [
        (post().header("sec-fetch-site", "same-origin"), "without the cookie"),
        (
            post().header("sec-fetch-site", "same-origin").header("cookie", "tidegate-form=00"),
            "with another's",
        ),
        (post().header("cookie", &cookie), "from nowhere"),
        (post().header("cookie", &cookie).header("sec-fetch-site", "cross-site"), "from elsewhere"),
        (post().header("cookie", &cookie).header("origin", "http://evil.example"), "from another origin"),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{why}");
    }
    let plain = post().header("cookie", &cookie).header("origin", format!("http://{host}"));
    let signed_in = plain.send().await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::SEE_OTHER, "a browser without Sec-Fetch-Site");
    browser.takes(&signed_in);

    let (_, session) = browser.cookies.iter().find(|(name, _)| name == "tidegate").unwrap();
    let asked = |method, path| served.request(method, path).header("cookie", format!("tidegate={session}"));
    let order = || {
        let request = asked(Method::POST, "/api/v1/devices/plant/board-1/retire");
        request.json(&serde_json::json!({ "reason": "gone" }))
    };
    for (request, why) in [
        (order(), "from nowhere"),
        (order().header("sec-fetch-site", "same-site"), "from a neighbour"),
        (order().header("origin", "null"), "from a sandbox"),
    ] {
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{why}");
        assert!(refused.text().await.unwrap().contains("own page"), "{why}");
    }
    assert_eq!(served.asked(), "");
    // A look changes nothing, so it may come from anywhere that has the cookie.
    for look in [Method::GET, Method::HEAD] {
        assert_eq!(asked(look, "/api/v1/devices").send().await.unwrap().status(), StatusCode::OK);
    }
    let done = order().header("origin", format!("http://{host}")).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_an_admin_does_to_a_user_counts_for_sessions_that_go_on() {
    let served = Served::start_asking().await;
    for who in ["eva", "tom", "kim"] {
        served.user(who, Role::Admin);
    }
    let [mut eva, mut tom] = [Browser::default(), Browser::default()];
    eva.signs_in(&served, "eva", PASSWORD).await;
    tom.signs_in(&served, "tom", PASSWORD).await;
    let record = password::hash(&"another long password".into(), [8; password::SALT_BYTES]).unwrap();
    served.door.change(|book| book.set_password(&name("eva"), record, 1)).unwrap();
    assert_eq!(
        eva.get(&served, "/api/v1/whoami").await.status(),
        StatusCode::UNAUTHORIZED,
        "another password"
    );
    assert_eq!(tom.get(&served, "/api/v1/whoami").await.status(), StatusCode::OK);
    served.door.change(|book| book.remove_user(&name("tom"), 1)).unwrap();
    assert_eq!(tom.get(&served, "/api/v1/whoami").await.status(), StatusCode::UNAUTHORIZED, "removed");
}

#[tokio::test]
async fn a_stream_ends_when_its_user_would_not_be_let_in_any_more() {
    let served = Served::start_asking().await;
    let watched = async |who: &str| {
        served.user(who, Role::Operator);
        let mut browser = Browser::default();
        browser.signs_in(&served, who, PASSWORD).await;
        let mut stream = browser.get(&served, "/api/v1/events").await;
        assert!(stream.chunk().await.unwrap().is_some());
        stream
    };
    let [eva, tom, kim] = [watched("eva").await, watched("tom").await, watched("kim").await];
    let another = || password::hash(&"another long password".into(), [8; password::SALT_BYTES]).unwrap();
    served.door.change(|book| book.set_password(&name("eva"), another(), 1)).unwrap();
    ends(eva).await;
    served.door.change(|book| book.remove_user(&name("tom"), 1)).unwrap();
    ends(tom).await;
    // In one moment another of the same name, who may do less.
    let smaller = |book: &mut Book| {
        book.remove_user(&name("kim"), 1)?;
        book.add_user(name("kim"), Role::Viewer, another(), 1)
    };
    served.door.change(smaller).unwrap();
    ends(kim).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let served = Served::start_asking().await;
    served.user("eva", Role::Viewer);
    let mut browser = Browser::default();
    browser.signs_in(&served, "eva", PASSWORD).await;
    let mut stream = browser.get(&served, "/api/v1/events").await;
    assert!(stream.chunk().await.unwrap().is_some());
    let who: Json = browser.get(&served, "/api/v1/whoami").await.json().await.unwrap();
    let out = posting(served.request(Method::POST, "/logout"), &[("form", who["form"].as_str().unwrap())]);
    browser.sends(out).send().await.unwrap();
    ends(stream).await;
}

#[tokio::test]
async fn with_tls_the_cookie_is_bound_to_this_host_and_never_sent_in_clear() {
    // The policy says so; there is no need of TLS itself to see what is set.
    let policy = Policy { asks: true, is_tls: true, ..Policy::open_on_loopback() };
    let served = Served::start_kept(policy, |listener| HttpListener::new(listener, MAX_CONNECTIONS)).await;
    served.user("eva", Role::Viewer);
    let mut browser = Browser::default();
    let signed_in = browser.signs_in(&served, "eva", PASSWORD).await;
    assert!(header(&signed_in, "strict-transport-security").starts_with("max-age="));
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-tidegate=") && cookie.contains("; Path=/;") && cookie.contains("; Secure"),
        "{cookie}"
    );
    assert_eq!(browser.get(&served, "/").await.status(), StatusCode::OK);
    let plain = Browser { cookies: vec![("tidegate".to_owned(), browser.cookies[0].1.clone())] };
    assert_eq!(
        plain.get(&served, "/api/v1/whoami").await.status(),
        StatusCode::UNAUTHORIZED,
        "the name counts"
    );
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let served = Served::start_asking().await;
    let post = |kind: &str, body: String| {
        served.request(Method::POST, "/login").header("content-type", kind).body(body).send()
    };
    let form = "application/x-www-form-urlencoded";
    for (kind, body, status) in [
        (form, "a=%".to_owned(), StatusCode::BAD_REQUEST),
        ("application/json", "{}".to_owned(), StatusCode::BAD_REQUEST),
        (form, "x".repeat(5_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(post(kind, body).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn where_nobody_is_asked_there_is_nothing_to_sign_in_to() {
    let served = Served::start().await;
    let form = served.request(Method::GET, "/login").send().await.unwrap();
    assert_eq!((form.status(), header(&form, "location")), (StatusCode::SEE_OTHER, "./"));
    let posted = posting(served.request(Method::POST, "/login"), &[("name", "eva")]).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::CONFLICT);
}
