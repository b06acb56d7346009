//! Who did what, over HTTP.

use axum::extract::connect_info::MockConnectInfo;
use http::Request;
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tower::ServiceExt;

use crate::support::{Api, assert_problem};

const AUDIT: &str = "GET /v1/organizations/acme/audit";

fn told<'a>(body: &'a Value, field: &str) -> Vec<&'a Value> {
    body["entries"].as_array().unwrap().iter().map(|entry| &entry[field]).collect()
}

#[tokio::test]
async fn what_was_done_is_told_newest_first_in_pages() {
    let api = Api::new().await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let id = made["key_id"].as_str().unwrap();
    let revoke = format!("POST /v1/keys/{id}/revoke");
    api.call(&api.operator, &revoke, Some(json!({"reason": "leaked"}))).await;
    let page = api.call(&api.operator, AUDIT, None).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(told(&page.body, "action"), ["key.revoke", "key.revoke", "key.create", "key.create"]);
    assert_eq!(told(&page.body, "sequence"), [4, 3, 2, 1]);
    assert_eq!(told(&page.body, "outcome"), [&json!("done"), &Value::Null, &json!("done"), &Value::Null]);
    assert_eq!(page.body["entries"][0]["target"], json!({"key_id": id}));
    assert_eq!(page.body["entries"][0]["after"]["status_reason"], "leaked");
    assert!(!page.text.contains(made["key"].as_str().unwrap()));
    let first = api.call(&api.operator, &format!("{AUDIT}?limit=3"), None).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = api.call(&api.operator, &format!("{AUDIT}?limit=3&cursor={cursor}"), None).await;
    assert_eq!((told(&second.body, "sequence"), &second.body["next_cursor"]), (vec![&json!(1)], &Value::Null));
    for (asked, expected) in [
        ("action=key.revoke", vec![4, 3]),
        (&*format!("key_id={id}"), vec![4, 3, 2, 1]),
        ("principal=nobody", vec![]),
        ("to=2020-01-01", vec![]),
        ("from=2020-01-01&order=oldest_first&limit=2", vec![1, 2]),
    ] {
        let page = api.call(&api.operator, &format!("{AUDIT}?{asked}"), None).await;
        assert_eq!(told(&page.body, "sequence"), expected, "{asked}: {page:?}");
    }
    for (asked, word) in [
        ("action=key.nothing", "action"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("order=any", "order"),
        ("from=yesterday", "from"),
        ("principal=a%20b", "principal"),
    ] {
        assert_problem(&api.call(&api.operator, &format!("{AUDIT}?{asked}"), None).await, 422, "invalid_field", word);
    }
}

#[tokio::test]
async fn all_of_it_is_exported_oldest_first() {
    let api = Api::new().await;
    for nth in 0..150 {
        api.make(&api.operator, "acme", json!({"user_id": format!("user-{nth}")})).await;
    }
    let accept = [("Accept", "application/x-ndjson")];
    let all = api.send(&api.operator, AUDIT, &accept, None).await;
    assert_eq!((all.status.as_u16(), all.header("content-type")), (200, "application/x-ndjson"));
    let sequences: Vec<u64> = all
        .text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
    let paged = api.send(&api.operator, &format!("{AUDIT}?limit=3"), &accept, None).await;
    assert_problem(&paged, 422, "invalid_field", "limit");
    let foreigner = api.tenant("other", &["audit:read"], &[]).await;
    assert_problem(&api.send(&foreigner, AUDIT, &accept, None).await, 404, "not_found", "no such");
}

#[tokio::test]
async fn it_is_verified() {
    let api = Api::new().await;
    api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let verify = "GET /v1/organizations/acme/audit/verification";
    let found = api.call(&api.operator, verify, None).await;
    assert_eq!((&found.body["intact"], &found.body["entries"]), (&json!(true), &json!(2)), "{found:?}");
    let head = found.body["head"].as_str().unwrap();
    let again = api.call(&api.operator, &format!("{verify}?head={head}"), None).await;
    assert_eq!(again.body["head_found"], true);
    let forged = format!("2:{}", "0".repeat(64));
    let cut = api.call(&api.operator, &format!("{verify}?head={forged}"), None).await;
    assert_eq!((&cut.body["intact"], &cut.body["faults"][0]["kind"]), (&json!(false), &json!("truncated")));
    assert_problem(&api.call(&api.operator, &format!("{verify}?head=2"), None).await, 422, "invalid_field", "head");
}

/// Whoever calls what their key may not do stands in their own organization's audit; who may only look does not.
#[tokio::test]
async fn calls_that_are_not_permitted_are_told() {
    let api = Api::new().await;
    let weak = api.tenant("acme", &["keys:read"], &[]).await;
    let reader = api.tenant("acme", &["audit:read"], &[]).await;
    let before = api.call(&reader, AUDIT, None).await.body["entries"].as_array().unwrap().len();
    let id = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
    api.call(&weak, &format!("POST /v1/keys/{id}/revoke"), None).await;
    api.call(&weak, "GET /v1/organizations/acme/usage", None).await;
    api.call(&weak, "POST /v1/verify", Some(json!({"key": "x"}))).await;
    let every = api.tenant("acme", &["**"], &["**"]).await;
    api.call(&every, "POST /v1/organizations", Some(json!({"organization_id": "new"}))).await;
    let page = api.call(&reader, AUDIT, None).await;
    let refused: Vec<&Value> =
        page.body["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "management.call").collect();
    // Newest first. Two entries are the making of the second key.
    assert_eq!(told(&page.body, "kind").len(), before + 4 + denied(&page.body), "{page:?}");
    assert_eq!(refused[0]["target"], json!({"call": "POST /v1/organizations"}));
    assert_eq!(refused[0]["after"], json!({"needs": "operator"}));
    assert_eq!(refused[1]["target"], json!({"call": "POST /v1/keys/{key_id}/revoke"}));
    assert_eq!(
        (&refused[1]["after"], &refused[1]["reason"]),
        (&json!({"needs": "keys:write"}), &json!("permission_denied"))
    );
    assert_eq!(refused.len(), 2);
}

/// Denials of keys are sampled beside it.
fn denied(body: &Value) -> usize {
    told(body, "kind").into_iter().filter(|kind| *kind == "denied").count()
}

#[tokio::test]
async fn it_says_from_where() {
    let api = Api::over(MemoryStore::new()).await;
    let connected: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    let router = api.router.clone().layer(MockConnectInfo(connected));
    let request = Request::post("/v1/organizations/acme/keys")
        .header("X-API-Key", &api.operator)
        .header("Content-Type", "application/json")
        .body(axum::body::Body::from(json!({"user_id": "ada"}).to_string()))
        .unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 201);
    let page = api.call(&api.operator, AUDIT, None).await;
    assert_eq!(told(&page.body, "from"), ["203.0.113.9", "203.0.113.9"]);
}

/// A permission that a call needs beside that of its route is told by its own name.
#[tokio::test]
async fn what_a_call_needs_besides_is_told_by_its_name() {
    let api = Api::new().await;
    let settings = api.tenant("acme", &["organization:settings", "audit:read"], &[]).await;
    let leave = "PUT /v1/organizations/acme/users/ann";
    let refused = api.call(&settings, leave, Some(json!({"status": "offboarded"}))).await;
    assert_problem(&refused, 403, "permission_denied", "keys:write");
    let page = api.call(&settings, &format!("{AUDIT}?action=management.call"), None).await;
    let entry = &page.body["entries"][0];
    assert_eq!(entry["target"], json!({"call": "PUT /v1/organizations/{org}/users/{user}"}), "{page:?}");
    assert_eq!((&entry["after"], &entry["reason"]), (&json!({"needs": "keys:write"}), &json!("permission_denied")));
}

/// What cannot be written down is not done: trouble of the store, and nothing has changed.
#[tokio::test]
async fn without_an_intent_a_call_is_trouble_and_nothing_is_done() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let key = format!("/v1/keys/{}", made["key_id"].as_str().unwrap());
    let shown = api.call(&api.operator, &format!("GET {key}"), None).await.body;
    store.fail_audit(true);
    for (call, body) in [
        ("POST /v1/organizations/acme/keys".to_owned(), json!({"user_id": "ada"})),
        (format!("PATCH {key}"), json!({"name": "Another"})),
        (format!("POST {key}/deactivate"), json!({})),
        (format!("POST {key}/rotate"), json!({})),
        ("PUT /v1/organizations/acme/users/ann".to_owned(), json!({"status": "suspended"})),
        ("PUT /v1/organizations/acme/roles/reader".to_owned(), json!({"permissions": ["files:read"]})),
    ] {
        let refused = api.call(&api.operator, &call, Some(body)).await;
        assert_problem(&refused, 503, "store_unavailable", "store");
    }
    store.fail_audit(false);
    // What is left of its limits goes on.
    let lasting = |body: &Value| {
        let mut body = body.as_object().unwrap().clone();
        assert!(body.remove("limits_left").is_some());
        body
    };
    let after = api.call(&api.operator, &format!("GET {key}"), None).await.body;
    assert_eq!(lasting(&after), lasting(&shown));
    let keys = api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await;
    assert_eq!(keys.body["keys"].as_array().map(Vec::len), Some(1), "{keys:?}");
    let user = api.call(&api.operator, "GET /v1/organizations/acme/users/ann", None).await;
    assert_eq!((&user.body["status"], &user.body["revision"]), (&json!("active"), &json!(0)));
}

/// Whoever claims the successor of their key does so from somewhere.
#[tokio::test]
async fn a_claim_says_from_where() {
    let api = Api::over(MemoryStore::new()).await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada", "hand_over": true})).await;
    let rotate = format!("POST /v1/keys/{}/rotate", made["key_id"].as_str().unwrap());
    assert_eq!(api.call(&api.operator, &rotate, Some(json!({}))).await.status, 200);
    let connected: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    let router = api.router.clone().layer(MockConnectInfo(connected));
    let request = Request::post("/v1/self/successor")
        .header("X-API-Key", made["key"].as_str().unwrap())
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
    let page = api.call(&api.operator, &format!("{AUDIT}?action=key.claim"), None).await;
    assert_eq!(told(&page.body, "from"), ["203.0.113.9", "203.0.113.9"]);
}
