//! Keys made through the API.

use keygate_core::context::RequestContext;
use keygate_core::key::KeyId;
use keygate_core::names::Environment;
use keygate_core::store::{MemoryStore, Store};
use keygate_core::verifier::Verifier;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api};

const MAKE: &str = "POST /v1/organizations/acme/keys";

async fn made(api: &Api, key: &str, asked: Value) -> Answer {
    let made = api.call(key, MAKE, Some(asked)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made
}

fn full() -> Value {
    json!({
        "user_id": "ada",
        "project_id": "web",
        "name": "nightly report",
        "description": "makes the report",
        "permissions": ["deploy:web", "keys:read"],
        "scopes": ["reports:read", "files:*:read"],
        "grantable": ["reports:**"],
        "limits": {"per_minute": 60, "per_hour": 600, "per_day": 6000, "per_month": 60000, "burst": 5},
        "allowed_ips": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"],
        "environment": "prod",
        "expires_at": "2030-01-01T02:00:00+02:00",
        "not_before": "2027-01-01T00:00:00.5Z",
        "tags": ["team=payments", "ci"],
        "metadata": {"ticket": 7, "nested": {"a": [null, true]}},
        "security_tier": "high",
        "rotation": {"interval_days": 30, "warning_days": 3, "auto_rotate": true, "notify_users": false, "overlap_days": 2},
        "hand_over": true,
    })
}

#[tokio::test]
async fn every_field_that_is_asked_for_is_kept_and_shown() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    let made = made(&api, &api.operator, full()).await;
    assert_eq!(made.header("etag"), "\"1\"");
    let id = made.body["key_id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/v1/keys/{id}"));
    let mut expected = full();
    let fields = expected.as_object_mut().unwrap();
    fields.insert("expires_at".into(), json!("2030-01-01T00:00:00Z"));
    fields.insert("not_before".into(), json!("2027-01-01T00:00:00.500Z"));
    for (field, value) in fields {
        assert_eq!(made.body[field], *value, "{field}");
    }
    for (field, value) in [
        ("organization_id", json!("acme")),
        ("created_at", json!("2026-01-01T00:00:00Z")),
        ("status", json!("active")),
        ("status_changed_at", json!("2026-01-01T00:00:00Z")),
        ("status_reason", json!(null)),
        ("revision", json!(1)),
        ("lineage", json!({"root": id, "generation": 0})),
        ("predecessor_id", json!(null)),
        ("superseded", json!(null)),
        ("scheduled_at", json!(null)),
    ] {
        assert_eq!(made.body[field], value, "{field}");
    }
    let shown = api.call(&api.operator, &format!("GET {}", made.header("location")), None).await;
    let mut expected = made.body.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!((shown.header("etag"), &shown.record()), ("\"1\"", &expected));
}

#[tokio::test]
async fn what_is_not_said_has_its_default_and_null_is_not_said() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    let plain = made(&api, &api.operator, json!({"user_id": "ada"})).await.body;
    let mut nulls = full();
    for (field, value) in nulls.as_object_mut().unwrap() {
        if field != "user_id" && field != "expires_at" {
            *value = Value::Null;
        }
    }
    nulls.as_object_mut().unwrap().remove("expires_at");
    let null = made(&api, &api.operator, nulls).await.body;
    for key in [&plain, &null] {
        for (field, value) in [
            ("name", json!("Unnamed key")),
            ("description", json!("")),
            ("project_id", json!(null)),
            ("permissions", json!([])),
            ("scopes", json!(["default"])),
            ("grantable", json!([])),
            (
                "limits",
                json!({"per_minute": 1000, "per_hour": 10000, "per_day": 100_000, "per_month": null, "burst": 50}),
            ),
            ("allowed_ips", json!([])),
            ("environment", json!("dev")),
            ("expires_at", json!("2026-04-01T00:00:00Z")),
            ("not_before", json!(null)),
            ("tags", json!([])),
            ("metadata", json!({})),
            ("security_tier", json!("standard")),
            ("rotation", json!(null)),
            ("hand_over", json!(false)),
        ] {
            assert_eq!(key[field], value, "{field}");
        }
    }
}

#[tokio::test]
async fn a_key_ends_when_it_is_said_to_and_never_only_where_that_is_said() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    for (asked, end) in [
        (json!({"user_id": "ada", "expires_at": null}), json!(null)),
        (json!({"user_id": "ada", "expires_in_days": 1}), json!("2026-01-02T00:00:00Z")),
        (json!({"user_id": "ada", "expires_in_days": 36_500}), json!("2125-12-08T00:00:00Z")),
        (json!({"user_id": "ada", "expires_at": "2026-01-01T00:00:00.001Z"}), json!("2026-01-01T00:00:00.001Z")),
    ] {
        assert_eq!(made(&api, &api.operator, asked.clone()).await.body["expires_at"], end, "{asked}");
    }
}

#[tokio::test]
async fn limits_are_all_of_them_and_an_empty_object_is_none() {
    let api = Api::new().await;
    let unlimited = json!({"per_minute": null, "per_hour": null, "per_day": null, "per_month": null, "burst": null});
    let mut month = unlimited.clone();
    month["per_month"] = json!(5);
    for (asked, limits) in [(json!({}), unlimited), (json!({"per_month": 5}), month)] {
        let made = made(&api, &api.operator, json!({"user_id": "ada", "limits": asked})).await;
        assert_eq!(made.body["limits"], limits);
    }
}

#[tokio::test]
async fn the_key_that_is_shown_can_be_used() {
    let api = Api::new().await;
    let made = made(&api, &api.operator, json!({"user_id": "ada", "environment": "prod"})).await;
    let context = RequestContext::new().in_environment(Environment::new("prod").unwrap());
    let admission = api.manager.validate(made.body["key"].as_str().unwrap(), &context).await.unwrap();
    assert_eq!(admission.key().id.to_string(), made.body["key_id"]);
}

#[tokio::test]
async fn the_key_and_its_digest_are_in_no_other_answer() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let api = Api::over_shared(std::sync::Arc::clone(&store) as _).await;
    let made = made(&api, &api.operator, json!({"user_id": "ada", "permissions": ["keys:read"]})).await;
    let text = made.body["key"].as_str().unwrap().to_owned();
    let secret = text.rsplit('_').next().unwrap();
    let id: KeyId = made.body["key_id"].as_str().unwrap().parse().unwrap();
    let Verifier::HmacSha256 { digest } = store.record(id).await.unwrap().unwrap().verifier else { panic!() };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", &digest[..4]);
    assert!(made.text.contains(secret) && !made.text.contains(&hex));

    let mut answers = vec![api.call(&text, "GET /v1/self", None).await];
    for (call, body) in [
        (format!("GET /v1/keys/{id}"), None),
        ("GET /v1/organizations/acme/keys".to_owned(), None),
        (format!("PATCH /v1/keys/{id}"), Some(json!({"name": "other"}))),
        (format!("POST /v1/keys/{id}/deactivate"), None),
        (format!("POST /v1/keys/{id}/activate"), None),
        // Pasted where it does not belong.
        (format!("GET /v1/keys/{text}"), None),
        (format!("GET /v1/{text}"), None),
        (format!("GET /v1/organizations/acme/keys?cursor={text}"), None),
        ("POST /v1/organizations/acme/keys:bulk".to_owned(), Some(json!({"operation": "revoke", "key_ids": [text]}))),
        (format!("POST /v1/keys/{id}/revoke"), None),
        ("POST /v1/organizations/acme/keys:bulk".to_owned(), Some(json!({"operation": "activate", "key_ids": [id]}))),
        (format!("DELETE /v1/keys/{id}"), None),
    ] {
        answers.push(api.call(&api.operator, &call, body).await);
    }
    for answer in answers {
        assert_ne!(answer.status, 500, "{answer:?}");
        let said = format!("{}{:?}", answer.text, answer.headers);
        for hidden in [secret, &hex, &list, "digest", "verifier"] {
            assert!(!said.contains(hidden), "{hidden} in {said}");
        }
    }
}

#[tokio::test]
async fn an_operators_key_may_do_everything_unless_it_is_said_what() {
    let api = Api::new().await;
    let all = api.make(&api.operator, "system", json!({"user_id": "second"})).await;
    assert_eq!(
        (&all["permissions"], &all["grantable"], &all["expires_at"]),
        (&json!(["**"]), &json!(["**"]), &json!(null))
    );
    let some = api.make(&api.operator, "system", json!({"user_id": "third", "permissions": ["keys:read"]})).await;
    assert_eq!((&some["permissions"], &some["grantable"]), (&json!(["keys:read"]), &json!([])));
}

#[tokio::test]
async fn nobody_grants_what_they_may_not_grant() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["keys:write"], &["reports:*", "default"]).await;
    made(&api, &admin, json!({"user_id": "ada"})).await;
    made(&api, &admin, json!({"user_id": "ada", "scopes": ["reports:read"], "grantable": ["reports:*"]})).await;
    for asked in [
        json!({"user_id": "ada", "permissions": ["keys:write"]}),
        json!({"user_id": "ada", "permissions": ["**"]}),
        json!({"user_id": "ada", "scopes": ["reports:read", "files:read"]}),
        json!({"user_id": "ada", "scopes": ["reports:**"]}),
        json!({"user_id": "ada", "grantable": ["*"]}),
    ] {
        let refused = api.call(&admin, MAKE, Some(asked.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (403, "not_grantable"), "{asked} {refused:?}");
    }
    let strict = api.tenant("acme", &["keys:write"], &["reports:*"]).await;
    let refused = api.call(&strict, MAKE, Some(json!({"user_id": "ada"}))).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (403, "not_grantable"), "the default scope is granted too");
}

#[tokio::test]
async fn a_key_without_the_permission_makes_none() {
    let api = Api::new().await;
    for permissions in [&[][..], &["keys:read"], &["keys:verify", "usage:read"]] {
        let reader = api.tenant("acme", permissions, &["**"]).await;
        let refused = api.call(&reader, MAKE, Some(json!({"user_id": "ada"}))).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (403, "permission_denied"), "{refused:?}");
    }
}

#[tokio::test]
async fn another_organization_is_one_that_is_not_there() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["**"], &["**"]).await;
    api.make(&api.operator, "globex", json!({"user_id": "ada"})).await;
    let asked = Some(json!({"user_id": "ada"}));
    let foreign = api.call(&admin, "POST /v1/organizations/globex/keys", asked.clone()).await;
    let absent = api.call(&admin, "POST /v1/organizations/nobody/keys", asked.clone()).await;
    let system = api.call(&admin, "POST /v1/organizations/system/keys", asked).await;
    for refused in [&foreign, &absent, &system] {
        assert_eq!((refused.status.as_u16(), refused.reason()), (404, "not_found"), "{refused:?}");
        assert_eq!(refused.text, foreign.text);
    }
}

#[tokio::test]
async fn a_quota_that_is_reached_refuses() {
    let api = Api::new().await;
    api.call(&api.operator, "POST /v1/organizations", Some(json!({"organization_id": "acme", "max_keys": 1}))).await;
    made(&api, &api.operator, json!({"user_id": "ada"})).await;
    let refused = api.call(&api.operator, MAKE, Some(json!({"user_id": "bob"}))).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (409, "quota_reached"), "{refused:?}");
}

#[tokio::test]
async fn a_location_holds_where_the_api_is_mounted() {
    let mut api = Api::new().await;
    api.router = axum::Router::new().nest("/admin", api.router.clone());
    let made = api.call(&api.operator, "POST /admin/v1/organizations/acme/keys", Some(json!({"user_id": "ada"}))).await;
    let location = made.header("location");
    assert!(location.starts_with("/admin/v1/keys/"), "{location}");
    assert_eq!(api.call(&api.operator, &format!("GET {location}"), None).await.status, 200);
}
