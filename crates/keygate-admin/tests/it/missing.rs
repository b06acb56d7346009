//! Calls that there are not, callers without a key, and trouble with the store.

use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const MAKE: &str = "POST /v1/organizations/acme/keys";

#[tokio::test]
async fn where_there_is_no_call_there_is_a_problem_and_a_key_is_needed_to_know() {
    let api = Api::new().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/keys",
        "/v1/keys/",
        "/v1/organizations/acme/",
        "/v1/organizations/acme/keys/7",
        "/v1/keys/a/b/c",
    ] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let call = format!("{method} {path}");
            assert_problem(&api.call(&api.operator, &call, None).await, 404, "no_such_call", "");
            assert_problem(&api.call("", &call, None).await, 401, "missing_key", "");
        }
        let head = api.call(&api.operator, &format!("HEAD {path}"), None).await;
        assert_eq!((head.status.as_u16(), &*head.text, head.header("cache-control")), (404, "", "no-store"));
    }
    // Outside of /v1 nothing is kept secret.
    assert_eq!(api.call("", "GET /nothing", None).await.status, 404);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_answered_with_those_it_takes() {
    let api = Api::new().await;
    let id = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
    for (path, allowed) in [
        ("/v1/organizations".to_owned(), "POST"),
        ("/v1/organizations/acme".to_owned(), "GET,HEAD,PATCH"),
        ("/v1/organizations/acme/keys".to_owned(), "GET,HEAD,POST"),
        ("/v1/organizations/acme/keys:bulk".to_owned(), "POST"),
        (format!("/v1/keys/{id}"), "DELETE,GET,HEAD,PATCH"),
        (format!("/v1/keys/{id}/deactivate"), "POST"),
        (format!("/v1/keys/{id}/activate"), "POST"),
        (format!("/v1/keys/{id}/revoke"), "POST"),
        ("/v1/self".to_owned(), "GET,HEAD"),
    ] {
        for method in ["PUT", "OPTIONS", "TRACE"] {
            let refused = api.call(&api.operator, &format!("{method} {path}"), None).await;
            assert_problem(&refused, 405, "method_not_allowed", method);
            let mut methods: Vec<&str> = refused.header("allow").split(',').collect();
            methods.sort_unstable();
            assert_eq!(methods.join(","), allowed, "{path}");
            assert_problem(&api.call("", &format!("{method} {path}"), None).await, 401, "missing_key", "");
        }
        // Whoever may make no call of a path may still ask which there are.
        let stranger = api.tenant("acme", &[], &[]).await;
        assert_eq!(api.call(&stranger, &format!("PUT {path}"), None).await.status, 405);
    }
    let head = api.call(&api.operator, "HEAD /v1/self", None).await;
    assert_eq!((head.status.as_u16(), &*head.text, head.header("cache-control")), (200, "", "no-store"));
}

/// Every call that needs a key, on a key of the organization acme.
fn calls(id: &str) -> Vec<(String, Option<Value>)> {
    vec![
        ("POST /v1/organizations".into(), Some(json!({"organization_id": "new"}))),
        ("GET /v1/organizations/acme".into(), None),
        ("PATCH /v1/organizations/acme".into(), Some(json!({"max_keys": 5}))),
        (MAKE.into(), Some(json!({"user_id": "ada"}))),
        ("GET /v1/organizations/acme/keys".into(), None),
        ("POST /v1/organizations/acme/keys:bulk".into(), Some(json!({"operation": "activate", "key_ids": [id]}))),
        (format!("GET /v1/keys/{id}"), None),
        (format!("PATCH /v1/keys/{id}"), Some(json!({"name": "other"}))),
        (format!("POST /v1/keys/{id}/deactivate"), None),
        (format!("POST /v1/keys/{id}/activate"), None),
        (format!("POST /v1/keys/{id}/revoke"), None),
        (format!("DELETE /v1/keys/{id}"), None),
    ]
}

#[tokio::test]
async fn trouble_with_the_store_is_503_and_says_when_to_try_again() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let (id, fresh) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    store.fail();
    for (call, body) in calls(id) {
        // The operator's key is known, and so the call itself meets the trouble; the fresh one is not.
        for key in [&api.operator, fresh] {
            let refused = api.call(key, &call, body.clone()).await;
            assert_problem(&refused, 503, "store_unavailable", "");
            assert_eq!(refused.header("retry-after"), "1", "{call}");
            assert!(!refused.text.contains("a test made"), "what a store says is not repeated: {refused:?}");
        }
    }
    store.heal();
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.body["revision"], 1);
}

#[tokio::test]
async fn nobody_without_a_key_is_told_anything() {
    let api = Api::new().await;
    let id = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await["key_id"].as_str().unwrap().to_owned();
    for (call, body) in calls(&id).into_iter().chain([("GET /v1/self".to_owned(), None)]) {
        assert_problem(&api.call("", &call, body.clone()).await, 401, "missing_key", "");
        assert_problem(&api.call("nonsense", &call, body).await, 401, "malformed_key", "");
    }
}
