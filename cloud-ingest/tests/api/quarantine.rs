//! What was not taken, page by page and one by one.

use serde_json::Value as Json;

use crate::Served;

#[tokio::test]
async fn a_page_is_asked_for_with_what_it_is_to_hold() {
    let served = Served::start().await;
    let page = served.json("/api/v1/quarantine").await;
    assert_eq!((&page["blocks"][0]["number"], &page["next"]), (&7.into(), &Json::Null));
    assert!(served.asked().contains("from: 0, limit: 50"), "{}", served.asked());
    served.json("/api/v1/quarantine?site=plant&gateway=gw-a&reason=boot-conflict&from=8&limit=2").await;
    for part in ["plant", "gw-a", "reason: Some(\"boot-conflict\"), from: 8, limit: 2"] {
        assert!(served.asked().contains(part), "{part} in {}", served.asked());
    }
    for (query, parameter) in
        [("reason=bad", "reason"), ("from=-1", "from"), ("limit=201", "limit"), ("gateway=A!", "gateway")]
    {
        let refused = served.get(&format!("/api/v1/quarantine?{query}")).await;
        assert_eq!(refused.status(), 400, "{query}");
        assert_eq!(refused.json::<Json>().await.unwrap()["parameter"], parameter, "{query}");
    }
}

#[tokio::test]
async fn one_block_is_shown_or_said_not_to_be_there() {
    let served = Served::start().await;
    let found = served.json("/api/v1/quarantine/7").await;
    assert_eq!(found["block"]["reason"], "boot-conflict");
    assert_eq!(served.get("/api/v1/quarantine/8").await.status(), 404);
    let refused = served.get("/api/v1/quarantine/seven").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Json>().await.unwrap()["parameter"], "number");
}
