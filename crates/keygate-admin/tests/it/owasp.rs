//! The OWASP API Security Top 10 of 2023, item by item. What an item needs at length has a file of its own, which is named.

use keygate_core::actor::Actor;
use keygate_core::manager::NewKey;
use keygate_core::store::MemoryStore;
use serde_json::json;

use crate::support::{Api, boss};

async fn key_of(api: &Api, organization: &str) -> (String, String) {
    let new = NewKey::new(organization.parse().unwrap(), "bob".parse().unwrap());
    let created = api.manager.create(&Actor::from(boss()), new).await.unwrap();
    (created.text.expose().to_owned(), created.key.id.to_string())
}

/// Broken Object Level Authorization. Every call: `who_may.rs`.
#[tokio::test]
async fn api1_an_object_of_another_tenant_is_absent() {
    let api = Api::new().await;
    let (_, foreign) = key_of(&api, "other").await;
    let tenant = api.tenant("acme", &["**"], &["**"]).await;
    for call in [format!("GET /v1/keys/{foreign}"), format!("POST /v1/keys/{foreign}/revoke")] {
        assert_eq!(api.call(&tenant, &call, None).await.reason(), "not_found", "{call}");
    }
    assert_eq!(api.call(&tenant, "GET /v1/organizations/other/keys", None).await.reason(), "not_found");
}

/// Broken Authentication. Every reason: `authorize.rs`, and the table of the layer.
#[tokio::test]
async fn api2_only_the_whole_key_sent_once_is_a_credential() {
    let api = Api::new().await;
    let key = &api.operator;
    let mut other_end = key.clone();
    let last = other_end.pop();
    other_end.push(if last == Some('0') { '1' } else { '0' });
    for (sent, reason) in [(other_end.as_str(), "invalid_key"), (&key[..key.len() - 1], "malformed_key")] {
        let refused = api.call(sent, "GET /v1/self", None).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (401, reason));
        assert!(refused.header("www-authenticate").starts_with("Bearer "));
    }
    let bearer = format!("Bearer {key}");
    let twice = api.send(key, "GET /v1/self", &[("Authorization", &bearer)], None).await;
    assert_eq!((twice.status.as_u16(), twice.reason()), (400, "multiple_credentials"));
    // In the address of a page a key would be in every log on its way.
    let in_query = api.call("", &format!("GET /v1/self?api_key={key}"), None).await;
    assert_eq!(in_query.reason(), "missing_key");
}

/// Broken Object Property Level Authorization.
#[tokio::test]
async fn api3_nobody_sets_or_sees_fields_that_are_not_theirs() {
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["keys:read", "keys:write"], &["default"]).await;
    let (_, id) = key_of(&api, "acme").await;
    let fields = [
        "organization_id",
        "user_id",
        "key_id",
        "status",
        "revision",
        "created_by",
        "lineage",
        "superseded",
        "verifier",
    ];
    for field in fields {
        let refused = api.call(&tenant, &format!("PATCH /v1/keys/{id}"), Some(json!({field: "other"}))).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{field}");
        if field == "user_id" {
            continue;
        }
        let body = json!({"user_id": "bob", field: "other"});
        let refused = api.call(&tenant, "POST /v1/organizations/acme/keys", Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{field}");
    }
    let more = Some(json!({"permissions": ["keys:write"]}));
    assert_eq!(api.call(&tenant, &format!("PATCH /v1/keys/{id}"), more).await.reason(), "not_grantable");
    let shown = api.call(&tenant, &format!("GET /v1/keys/{id}"), None).await.body;
    assert!(["key", "secret", "digest", "verifier"].iter().all(|field| shown.get(field).is_none()), "{shown}");
}

/// Unrestricted Resource Consumption. Time, size and number of requests: `limits.rs`; how many a key may make:
/// `rate_limits.rs`.
#[tokio::test]
async fn api4_what_a_request_may_cost_is_bounded() {
    let api = Api::built(MemoryStore::new(), |admin| admin.body_limit(64 * 1024)).await;
    let large = json!({"user_id": "bob", "description": "x".repeat(64 * 1024)});
    let refused = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(large)).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (413, "body_too_large"));
    let ids = vec!["01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f"; 1001];
    let many = json!({"operation": "revoke", "key_ids": ids});
    let refused = api.call(&api.operator, "POST /v1/organizations/acme/keys:bulk", Some(many)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(api.call(&api.operator, "GET /v1/organizations/acme/keys?limit=1001", None).await.status, 422);
    for body in [json!({"user_id": "bob", "tags": vec!["t"; 33]}), json!({"user_id": "bob", "scopes": scopes(65)})] {
        let refused = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"));
    }
}

fn scopes(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("scope:{nth}")).collect()
}

/// Broken Function Level Authorization. Every call and every kind of caller: `who_may.rs`.
#[tokio::test]
async fn api5_a_tenant_that_may_do_everything_does_not_do_what_is_the_operators() {
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["**"], &["**"]).await;
    let suspend = Some(json!({"status": "suspended"}));
    assert_eq!(api.call(&tenant, "PATCH /v1/organizations/acme", suspend).await.status, 403);
    let body = Some(json!({"user_id": "bob"}));
    assert_eq!(api.call(&tenant, "POST /v1/organizations/system/keys", body).await.status, 404);
}

/// Unrestricted Access to Sensitive Business Flows.
#[tokio::test]
async fn api6_how_many_keys_are_made_is_bounded_by_quotas() {
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["keys:write"], &["default"]).await;
    let make = async || api.call(&tenant, "POST /v1/organizations/acme/keys", Some(json!({"user_id": "bob"}))).await;
    for _ in 0..10 {
        assert_eq!(make().await.status, 201);
    }
    let refused = make().await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (409, "quota_reached"));
}

/// Server Side Request Forgery: webhooks alone are somewhere, and `keygate-webhooks` sends to public addresses only, as its
/// tests have it.
#[tokio::test]
async fn api7_no_call_but_that_for_webhooks_takes_an_address_to_be_fetched() {
    let api = Api::new().await;
    let document = api.call("", "GET /openapi.json", None).await.body;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        let fields = schema["properties"].as_object().into_iter().flatten();
        for (field, shape) in fields {
            let format = shape["format"].as_str().unwrap_or_default();
            assert!(
                format != "uri" || ["Problem", "NewWebhook", "Webhook"].contains(&name.as_str()),
                "{name}.{field} is an address"
            );
        }
    }
}

/// Security Misconfiguration. Headers of pages: `pages.rs`; clear text and TLS: the tests of the command.
#[tokio::test]
async fn api8_errors_tell_nothing_of_the_server_and_other_origins_nothing_of_answers() {
    let api = Api::new().await;
    let headers = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    for call in ["OPTIONS /v1/self", "GET /v1/self", "TRACE /v1/self"] {
        let answer = api.send(&api.operator, call, &headers, None).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{call}");
        assert!(!call.starts_with("TRACE") || answer.status == 405, "{answer:?}");
    }
    let store = keygate_testkit::FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let warm = api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    assert_eq!(warm.status, 200);
    store.fail();
    let failed = api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    assert_eq!((failed.status.as_u16(), failed.reason()), (503, "store_unavailable"));
    assert_eq!(failed.header("retry-after"), "1");
    assert!(!failed.body["detail"].as_str().unwrap().contains("memory"), "{failed:?}");
}

/// Improper Inventory Management. The document has every call: `who_may.rs` and `document_of_requests.rs`.
#[tokio::test]
async fn api9_what_is_not_in_the_document_is_not_there() {
    let api = Api::new().await;
    for call in ["GET /v1", "GET /v2/self", "GET /v1/keys", "GET /v1/debug", "POST /v1/admin"] {
        let status = api.call(&api.operator, call, None).await.status;
        assert!([404, 405].contains(&status.as_u16()), "{call}: {status}");
    }
    let document = api.call("", "GET /openapi.json", None).await.body;
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    assert!(!document["info"]["version"].as_str().unwrap().is_empty());
}

/// Unsafe Consumption of APIs: the one service it relies on is its store, whose answers are checked before they are used.
#[tokio::test]
async fn api10_what_the_store_answers_is_not_believed_unread() {
    let api = Api::new().await;
    // A record of another key in the place of this one does not decode as this one: the core's tests have the rest.
    let (key, id) = key_of(&api, "acme").await;
    let verified = api.call(&api.operator, "POST /v1/verify", Some(json!({"key": key}))).await;
    assert_eq!((verified.body["valid"].as_bool(), verified.body["key_id"].as_str()), (Some(true), Some(id.as_str())));
}
