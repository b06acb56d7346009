//! Webhooks, and notices that nobody took.

use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

const WEBHOOKS: &str = "/v1/organizations/acme/webhooks";

async fn call(api: &Api, key: &str, call: &str, body: Option<Value>) -> Answer {
    api.call(key, call, body).await
}

#[tokio::test]
async fn a_tenant_has_notices_sent_and_sees_what_was_not_taken() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["organization:settings", "keys:write"], &["**"]).await;
    let asked = json!({"url": "https://example.com/never?token=1", "events": ["key.created", "key.revoked"]});
    let made = call(&api, &admin, &format!("POST {WEBHOOKS}"), Some(asked.clone())).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.body["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made.body["url"], asked["url"]);
    assert_eq!(made.body["events"], asked["events"]);
    let id = made.body["webhook_id"].as_str().unwrap();
    let listed = call(&api, &admin, &format!("GET {WEBHOOKS}"), None).await.body;
    let mut shown = made.body.clone();
    shown.as_object_mut().unwrap().remove("secret");
    assert_eq!(listed, json!({ "webhooks": [shown] }));

    let key = api.make(&admin, "acme", json!({"user_id": "ada", "scopes": []})).await;
    api.manager.deliver_notices().await.unwrap();
    let path = "/v1/organizations/acme/notices";
    let given_up = call(&api, &admin, &format!("GET {path}"), None).await.body["notices"].clone();
    assert_eq!(given_up.as_array().unwrap().len(), 1);
    assert_eq!(given_up[0]["failed"], json!([{"receiver": {"webhook": id}, "attempts": 1, "reason": "never"}]));
    assert_eq!(given_up[0]["notice"]["type"], "key.created");
    assert_eq!(given_up[0]["notice"]["data"]["key_id"], key["key_id"]);
    let again = json!({"notice_id": given_up[0]["notice_id"]});
    let redriven = call(&api, &admin, &format!("POST {path}:redrive"), Some(again.clone())).await.body;
    assert_eq!(redriven, json!({"redriven": 1}));
    assert_eq!(call(&api, &admin, &format!("POST {path}:redrive"), None).await.body, json!({"redriven": 0}));

    let tested = call(&api, &admin, &format!("POST {WEBHOOKS}:test"), None).await;
    assert_eq!(tested.status, 202);
    assert!(tested.body["notice_id"].as_str().unwrap().starts_with("msg_"));
    let renewed = call(&api, &admin, &format!("POST {WEBHOOKS}/{id}/secret"), None).await;
    assert_eq!(renewed.status, 200);
    assert_ne!(renewed.body["secret"], made.body["secret"]);
    assert_eq!(call(&api, &admin, &format!("DELETE {WEBHOOKS}/{id}"), None).await.status, 204);
    assert_problem(&call(&api, &admin, &format!("DELETE {WEBHOOKS}/{id}"), None).await, 404, "not_found", "webhook");
}

#[tokio::test]
async fn a_webhook_that_is_asked_for_twice_is_made_once() {
    let api = Api::new().await;
    let body = json!({"url": "https://example.com/hook"});
    let post = format!("POST {WEBHOOKS}");
    let headers = [("Idempotency-Key", "one")];
    let first = api.send(&api.operator, &post, &headers, Some(body.clone())).await;
    let again = api.send(&api.operator, &post, &headers, Some(body)).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.body["webhook_id"], first.body["webhook_id"]);
    assert_eq!(again.body["secret"], Value::Null);
    let other = json!({"url": "https://example.com/other"});
    let reused = api.send(&api.operator, &post, &headers, Some(other)).await;
    assert_problem(&reused, 422, "idempotency_key_reused", "key");
    let listed = call(&api, &api.operator, &format!("GET {WEBHOOKS}"), None).await.body;
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_webhook_must_not_be_is_named() {
    let api = Api::new().await;
    for (body, word) in [
        (json!({}), "url"),
        (json!({"url": 7}), "url"),
        (json!({"url": "example.com"}), "url"),
        (json!({"url": "ftp://example.com"}), "url"),
        (json!({"url": "https://example.com", "events": ["key.unknown"]}), "key.unknown"),
        (json!({"url": "https://example.com", "events": "key.created"}), "events"),
        (json!({"url": "https://example.com", "secret": "mine"}), "secret"),
    ] {
        let refused = call(&api, &api.operator, &format!("POST {WEBHOOKS}"), Some(body)).await;
        assert_problem(&refused, 422, "invalid_field", word);
    }
    for bad in ["nonsense", "wh_", "WH_5f0c8a52b7d94e6f8a3b1c2d3e4f5a6b"] {
        let answer = call(&api, &api.operator, &format!("DELETE {WEBHOOKS}/{bad}"), None).await;
        assert!(answer.status.is_client_error(), "{bad}: {answer:?}");
    }
}
