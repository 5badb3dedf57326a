//! The page: served whole, from this host alone, and its script fits its document.

use std::collections::BTreeSet;

use crate::{Served, header};

#[tokio::test]
async fn the_page_is_served_with_a_policy_that_allows_this_host_only() {
    let served = Served::start().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
    ] {
        let response = served.get(path).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), content_type);
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        let policy = header(&response, "content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert!(!response.text().await.unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_from_outside_and_nothing_is_inline() {
    let served = Served::start().await;
    let asking = Served::start_asking().await;
    let login = asking.text("/login").await;
    for inline in [" style=", " onclick=", "<style", "<script", "http://127", "https://"] {
        assert!(!login.contains(inline), "the policy would stop {inline}");
    }
    for path in ["/", "/style.css", "/app.js"] {
        let text = served.text(path).await;
        // XML's name for SVG is an address that nobody fetches.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "@import", "src=\"//", "href=\"//"] {
            assert!(!text.contains(outside), "{path} has {outside}");
        }
    }
    let html = served.text("/").await;
    for inline in [" style=", " onclick=", " onload=", "<style", "<script>", "javascript:"] {
        assert!(!html.contains(inline), "the policy would stop {inline}");
    }
    assert!(!served.text("/app.js").await.contains("innerHTML"), "data from devices is set as text");
}

#[tokio::test]
async fn the_script_asks_for_elements_that_exist() {
    let served = Served::start().await;
    let (html, script) = (served.text("/").await, served.text("/app.js").await);
    let ids: BTreeSet<&str> =
        html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let wanted: BTreeSet<&str> =
        script.split("$(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(wanted.len() > 10);
    let missing: Vec<_> = wanted.difference(&ids).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
