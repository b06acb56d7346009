//! Fields that are kept encrypted, over HTTP.

use keygate_core::names::FieldName;
use keygate_core::ring::Sealed;
use keygate_core::store::{MemoryStore, Store};
use serde_json::json;

use crate::support::{Api, assert_problem};

const CANARY: &str = "DE02 1203 0000 0000 2020 51";

#[tokio::test]
async fn they_are_opened_by_one_call_with_a_permission_of_its_own_and_shown_by_no_other() {
    let api = Api::new().await;
    let asked = json!({"user_id": "ada", "sensitive": {"account": CANARY, "pin": {"n": 4711}}});
    let made = api.make(&api.operator, "acme", asked).await;
    let (one, text) = (format!("/v1/keys/{}", made["key_id"].as_str().unwrap()), made["key"].as_str().unwrap());
    let opened = api.call(&api.operator, &format!("GET {one}/sensitive"), None).await;
    let expected = json!({"key_id": made["key_id"], "sensitive": {"account": CANARY, "pin": {"n": 4711}}});
    assert_eq!((opened.status.as_u16(), &opened.body), (200, &expected));
    assert_eq!(opened.header("cache-control"), "no-store");
    let opened = api.call(&api.operator, &format!("GET {one}/sensitive?field=pin"), None).await;
    assert_eq!(opened.body["sensitive"], json!({"pin": {"n": 4711}}));

    assert_eq!(made["sensitive_fields"], json!(["account", "pin"]));
    let explain = Some(json!({"key": text, "explain": true}));
    let rotate = Some(json!({"operation": "rotate", "key_ids": [made["key_id"]]}));
    for (call, body) in [
        (format!("GET {one}"), None),
        ("GET /v1/organizations/acme/keys".into(), None),
        ("GET /v1/organizations/acme/keys:export".into(), None),
        (format!("PATCH {one}"), Some(json!({"name": "other"}))),
        (format!("PATCH {one}"), Some(json!({"sensitive": {"account": CANARY}}))),
        ("POST /v1/verify".into(), explain),
        (format!("POST {one}/deactivate"), None),
        (format!("POST {one}/activate"), None),
        ("POST /v1/organizations/acme/keys:bulk".into(), rotate),
    ] {
        let answer = api.call(&api.operator, &call, body).await;
        assert!(answer.status.is_success(), "{call} {answer:?}");
        assert!(!answer.body.to_string().contains(CANARY) && !answer.body.to_string().contains("4711"), "{call}");
    }
    assert!(!made.to_string().contains(CANARY));
    let own = api.call(text, "GET /v1/self", None).await;
    assert!(!own.body.to_string().contains(CANARY), "{own:?}");

    let reader = api.tenant("acme", &["keys:read", "keys:write"], &["**"]).await;
    assert_problem(&api.call(&reader, &format!("GET {one}/sensitive"), None).await, 403, "permission_denied", "");
    let opener = api.tenant("acme", &["keys:sensitive"], &[]).await;
    let opened = api.call(&opener, &format!("GET {one}/sensitive"), None).await;
    assert_eq!(opened.body["sensitive"], json!({"account": CANARY}));
    assert_problem(&api.call(&opener, &format!("GET {one}"), None).await, 403, "permission_denied", "");
}

#[tokio::test]
async fn what_they_may_not_be_is_refused_without_being_repeated() {
    let api = Api::new().await;
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("f{n}"), json!(CANARY))).collect();
    for sensitive in
        [json!(CANARY), json!([CANARY]), json!({"a b": CANARY}), json!({"a": CANARY.repeat(200)}), many.into()]
    {
        let asked = json!({"user_id": "ada", "sensitive": sensitive});
        let refused = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(asked)).await;
        assert_problem(&refused, 422, "invalid_field", "");
        assert!(!refused.body.to_string().contains("1203"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_damaged_field_is_named_and_the_others_can_be_asked_for() {
    let store = MemoryStore::new();
    let api = Api::over(store.clone()).await;
    let asked = json!({"user_id": "ada", "sensitive": {"account": CANARY, "pin": 4711}});
    let made = api.make(&api.operator, "acme", asked).await;
    let id = made["key_id"].as_str().unwrap();
    let mut record = store.record(id.parse().unwrap()).await.unwrap().unwrap();
    let (found, mut fields) = (record.key.revision, record.sensitive.clone());
    let pin = fields.get_mut(&FieldName::new("pin").unwrap()).unwrap();
    *pin = Sealed::from_parts(pin.entry(), pin.as_bytes()[1..].to_vec());
    record.keep_sensitive(fields);
    record.key.revision = found.next();
    store.replace(&record, found).await.unwrap();

    for call in [format!("GET /v1/keys/{id}/sensitive"), format!("POST /v1/keys/{id}/rotate")] {
        let refused = api.call(&api.operator, &call, None).await;
        assert_problem(&refused, 500, "sensitive_damaged", "");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("pin") && detail.contains("account") && !detail.contains(CANARY), "{detail}");
    }
    let opened = api.call(&api.operator, &format!("GET /v1/keys/{id}/sensitive?field=account"), None).await;
    assert_eq!(opened.body["sensitive"], json!({"account": CANARY}));
    // Under a secret that is not configured it is not damaged, and may be opened once that is.
    let mut record = store.record(id.parse().unwrap()).await.unwrap().unwrap();
    let (found, mut fields) = (record.key.revision, record.sensitive.clone());
    let unknown = keygate_testkit::sample::ring_entry();
    let pin = fields.get_mut(&FieldName::new("pin").unwrap()).unwrap();
    *pin = Sealed::from_parts(unknown, pin.as_bytes().to_vec());
    record.keep_sensitive(fields);
    record.key.revision = found.next();
    store.replace(&record, found).await.unwrap();
    let refused = api.call(&api.operator, &format!("GET /v1/keys/{id}/sensitive"), None).await;
    assert_problem(&refused, 503, "store_unavailable", "");
    assert!(!refused.body.to_string().contains(&unknown.to_string()), "{refused:?}");
    // It is mended by being written anew.
    let change = Some(json!({"sensitive": {"pin": 1}}));
    assert_eq!(api.call(&api.operator, &format!("PATCH /v1/keys/{id}"), change).await.status, 200);
    let opened = api.call(&api.operator, &format!("GET /v1/keys/{id}/sensitive"), None).await;
    assert_eq!(opened.body["sensitive"], json!({"pin": 1}));
}
