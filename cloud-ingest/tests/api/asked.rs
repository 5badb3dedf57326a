//! Who is let in where everybody is asked who they are: tokens, their ends, and what is done in whose name.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_access::{Name, Role, Token, book::Wanted, password, secrecy::ExposeSecret};
use tidegate_ingest::door::{Policy, new_token};

use crate::{MAX_CONNECTIONS, PATIENCE, Served, ends, header};

pub const HOUR_MS: i64 = 3_600_000;
pub const PASSWORD: &str = "tide and gate and tide";

impl Served {
    /// Of this role, in the name of `owner`.
    pub fn token(&self, owner: &str, role: Role) -> Token {
        self.token_until(owner, role, self.door.unix_ms(), HOUR_MS)
    }

    pub fn token_until(&self, owner: &str, role: Role, made_unix_ms: i64, life_ms: i64) -> Token {
        let token = new_token().unwrap();
        let wanted = Wanted { owner: name(owner), role, note: "test".to_owned(), life_ms };
        self.door.change(|book| book.create_token(&token, wanted, "test", made_unix_ms).cloned()).unwrap();
        token
    }

    pub fn revoke(&self, token: &Token) {
        let now = self.door.unix_ms();
        self.door.change(|book| book.revoke_token(token.id(), now).cloned()).unwrap();
    }

    pub fn user(&self, who: &str, role: Role) {
        let record = password::hash(&PASSWORD.into(), [7; password::SALT_BYTES]).unwrap();
        self.door.change(|book| book.add_user(name(who), role, record, 1)).unwrap();
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        client.request(method, format!("http://{}{path}", self.address)).timeout(PATIENCE)
    }

    pub fn with(&self, token: &Token, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(token.text().expose_secret())
    }

    pub async fn json_with(&self, token: &Token, path: &str) -> Json {
        let response = self.with(token, Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[tokio::test]
async fn who_shows_nothing_or_nothing_good_hears_what_to_send() {
    let served = Served::start_asking().await;
    let ended = served.token_until("eva", Role::Admin, served.door.unix_ms() - 2 * HOUR_MS, HOUR_MS);
    let revoked = served.token("eva", Role::Admin);
    served.revoke(&revoked);
    let forged = Token::new(
        served.token("eva", Role::Admin).id().to_string().as_bytes()[..8].try_into().unwrap(),
        [1; 32],
    );
    let bearer = |token: &Token| format!("Bearer {}", token.text().expose_secret());
    for (authorization, said, challenge) in [
        (None, "send a token", "Bearer realm=\"tidegate\""),
        (Some(bearer(&ended)), "expired", "invalid_token"),
        (Some(bearer(&revoked)), "revoked", "invalid_token"),
        (Some(bearer(&forged)), "unknown", "invalid_token"),
        (Some("Bearer tdg_x".to_owned()), "no token", "invalid_token"),
        (Some("Basic ZXZhOmV2YQ==".to_owned()), "Bearer", "invalid_token"),
    ] {
        let mut request = served.request(Method::GET, "/api/v1/devices");
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert!(header(&response, "www-authenticate").contains(challenge), "{authorization:?}");
        assert_eq!(header(&response, "content-type"), "application/problem+json");
        let problem: Json = response.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{authorization:?}: {detail}");
    }
    assert_eq!(served.asked(), "", "none of them reached the source");
    let twice = served.with(&served.token("eva", Role::Viewer), Method::GET, "/api/v1/devices");
    let twice = twice.header("authorization", bearer(&ended)).send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::UNAUTHORIZED, "two are none");
}

#[tokio::test]
async fn a_token_counts_until_it_is_revoked_also_by_another_program() {
    let served = Served::start_asking().await;
    let token = served.token("eva", Role::Viewer);
    let get = async || served.with(&token, Method::GET, "/api/v1/devices").send().await.unwrap().status();
    assert_eq!(get().await, StatusCode::OK);
    let beside = tidegate_ingest::door::Door::open(served.data_dir.path(), served.door.policy).unwrap();
    beside.change(|book| book.revoke_token(token.id(), 1).cloned()).unwrap();
    assert_eq!(get().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_token_does_is_done_in_its_owner_s_name_and_no_other() {
    let served = Served::start_asking().await;
    let token = served.token("eva", Role::Engineer);
    let retire = |body: Json| {
        served.with(&token, Method::POST, "/api/v1/devices/plant/board-1/retire").json(&body).send()
    };
    for body in [json!({ "reason": "gone" }), json!({ "reason": "gone", "operator": "eva" })] {
        assert_eq!(retire(body).await.unwrap().status(), StatusCode::OK);
        assert!(served.asked().contains("operator: \"eva\""), "{}", served.asked());
    }
    for operator in ["tom", ""] {
        let refused = retire(json!({ "reason": "gone", "operator": operator })).await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let problem: Json = refused.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("you are eva"), "{problem}");
    }
}

#[tokio::test]
async fn an_order_s_key_is_its_owner_s_own() {
    let served = Served::start_asking().await;
    let [eva, tom] = ["eva", "tom"].map(|owner| served.token(owner, Role::Engineer));
    let retire = |token: &Token| {
        let order = served.with(token, Method::POST, "/api/v1/devices/plant/board-1/retire");
        order.header("idempotency-key", "\"k\"").json(&json!({ "reason": "gone" })).send()
    };
    retire(&eva).await.unwrap();
    assert!(served.asked().contains("operator: \"eva\""));
    assert_eq!(retire(&tom).await.unwrap().status(), StatusCode::OK);
    assert!(
        served.asked().contains("operator: \"tom\""),
        "tom's order was carried out, and not answered as eva's"
    );
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let served = Served::start_asking().await;
    let token = served.token("eva", Role::Viewer);
    let mut stream = served.with(&token, Method::GET, "/api/v1/events").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    served.revoke(&token);
    ends(stream).await;
}

#[tokio::test]
async fn an_admin_makes_tokens_that_are_told_once_and_users_whose_passwords_are_never_told() {
    let served = Served::start_asking().await;
    let admin = served.token("eva", Role::Admin);
    let order = json!({ "owner": "grafana", "role": "viewer", "note": "the dashboard" });
    let made = served.with(&admin, Method::POST, "/api/v1/tokens").json(&order).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Json = made.json().await.unwrap();
    assert_eq!(
        made["expires_unix_ms"].as_i64().unwrap() - made["created_unix_ms"].as_i64().unwrap(),
        90 * 24 * HOUR_MS
    );
    let token = Token::read(made["token"].as_str().unwrap()).unwrap();
    let who = served.json_with(&token, "/api/v1/whoami").await;
    assert_eq!(
        (&who["name"], &who["role"], &who["by"]),
        (&json!("grafana"), &json!("viewer"), &json!("token"))
    );
    let secret = &token.text().expose_secret()[21..];
    let listed = served.json_with(&admin, "/api/v1/tokens").await.to_string();
    assert!(listed.contains("the dashboard") && !listed.contains(secret) && !listed.contains("hash"));
    let file = std::fs::read_to_string(served.data_dir.path().join("access/access.json")).unwrap();
    assert!(file.contains("grafana") && !file.contains(secret));

    let order = json!({ "name": "tom", "role": "operator", "password": PASSWORD });
    let user = served.with(&admin, Method::POST, "/api/v1/users").json(&order).send().await.unwrap();
    assert_eq!(user.status(), StatusCode::CREATED);
    assert!(!user.text().await.unwrap().contains("argon2"));
    for (body, status, said) in [
        (
            json!({ "name": "kim", "role": "viewer", "password": "short" }),
            StatusCode::BAD_REQUEST,
            "at least",
        ),
        (
            json!({ "name": "Kim", "role": "viewer", "password": PASSWORD }),
            StatusCode::BAD_REQUEST,
            "cannot be read",
        ),
        (
            json!({ "name": "kim", "role": "root", "password": PASSWORD }),
            StatusCode::BAD_REQUEST,
            "cannot be read",
        ),
        (order.clone(), StatusCode::CONFLICT, "already"),
    ] {
        let refused = served.with(&admin, Method::POST, "/api/v1/users").json(&body).send().await.unwrap();
        assert_eq!(refused.status(), status, "{body}");
        let text = refused.text().await.unwrap();
        assert!(text.contains(said) && !text.contains(PASSWORD), "{text}");
    }
    let path = format!("/api/v1/tokens/{}", token.id());
    for _ in 0..2 {
        let revoked = served.with(&admin, Method::DELETE, &path).send().await.unwrap();
        assert_eq!(revoked.json::<Json>().await.unwrap()["state"], "revoked");
    }
    let gone = served.with(&token, Method::GET, "/api/v1/whoami").send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn secrets_of_an_order_are_not_kept_for_its_key() {
    let served = Served::start_asking().await;
    let admin = served.token("eva", Role::Admin);
    let make = || {
        let order = served.with(&admin, Method::POST, "/api/v1/tokens").header("idempotency-key", "\"k\"");
        order.json(&json!({ "owner": "a", "role": "viewer" })).send()
    };
    let [first, second] = [make().await, make().await].map(|made| made.unwrap().status());
    assert_eq!((first, second), (StatusCode::CREATED, StatusCode::CREATED));
    let made = served.json_with(&admin, "/api/v1/tokens").await;
    assert_eq!(made["tokens"].as_array().unwrap().len(), 3, "carried out twice");
}

#[tokio::test]
async fn the_last_use_of_a_token_is_noted_to_the_hour() {
    let served = Served::start_asking().await;
    let token = served.token("eva", Role::Admin);
    served.json_with(&token, "/api/v1/whoami").await;
    let listed = served.json_with(&token, "/api/v1/tokens").await;
    let used = listed["tokens"][0]["last_used_unix_ms"].as_i64().unwrap();
    assert_eq!(used % HOUR_MS, 0);
    assert!((0..2 * HOUR_MS).contains(&(served.door.unix_ms() - used)));
}

#[tokio::test]
async fn where_nobody_is_asked_only_names_of_this_machine_are_answered_and_nobody_makes_users() {
    let served = Served::start().await;
    for (host, status) in [
        ("ingest.example", StatusCode::FORBIDDEN),
        ("localhost:9000", StatusCode::OK),
        ("[::1]:8080", StatusCode::OK),
    ] {
        for path in ["/", "/api/v1/devices", "/metrics"] {
            let answer = served.request(Method::GET, path).header("host", host).send().await.unwrap();
            assert_eq!(answer.status(), status, "{host}{path}");
        }
    }
    let order = json!({ "owner": "eva", "role": "admin" });
    let refused = served.request(Method::POST, "/api/v1/tokens").json(&order).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    for (method, path) in
        [(Method::DELETE, "/api/v1/tokens/0000000000000000"), (Method::DELETE, "/api/v1/users/eva")]
    {
        let refused = served.request(method, path).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::CONFLICT, "{path}");
    }
    let who = served.json("/api/v1/whoami").await;
    assert_eq!((&who["name"], &who["asks"], &who["by"]), (&Json::Null, &json!(false), &json!("local")));
}

#[tokio::test]
async fn every_answer_keeps_a_browser_from_guessing_framing_and_caching() {
    let served = Served::start_asking().await;
    let token = served.token("eva", Role::Viewer);
    for (path, status) in [
        ("/", 200),
        ("/app.js", 200),
        ("/login", 200),
        ("/api/v1/devices", 200),
        ("/api/v1/users", 403),
        ("/nowhere", 404),
        ("/health", 200),
    ] {
        let answer = served.with(&token, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(&answer, name), value, "{path}");
        }
        let policy = header(&answer, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let cached = if path == "/app.js" { "no-cache" } else { "no-store" };
        assert_eq!(header(&answer, "cache-control"), cached, "{path}");
        assert!(!answer.headers().contains_key("strict-transport-security"), "there is no TLS");
    }
}

#[tokio::test]
async fn the_metrics_say_who_came_and_name_nobody() {
    let served = Served::start_asking().await;
    let token = served.token("zoe", Role::Viewer);
    let refused = served.request(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    served.with(&token, Method::GET, "/api/v1/users").send().await.unwrap();
    let metrics = served.with(&token, Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "tidegate_ingest_http_refused_total{reason=\"no-credentials\"} 1",
        "tidegate_ingest_http_refused_total{reason=\"role\"} 1",
        "tidegate_ingest_http_let_in_total{by=\"token\"} 1",
        "tidegate_ingest_http_sessions 0",
        "tidegate_ingest_http_sign_in_failures_total{reason=\"wrong\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("zoe") && !metrics.contains(&token.id().to_string()));
    let policy = Policy { asks: true, open_metrics: true, ..Policy::open_on_loopback() };
    let open =
        Served::start_kept(policy, |listener| crate::HttpListener::new(listener, MAX_CONNECTIONS)).await;
    assert_eq!(open.get("/metrics").await.status(), StatusCode::OK);
}
