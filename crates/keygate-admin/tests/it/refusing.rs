//! Requests that are wrong, each in its own way.

use keygate_core::store::MemoryStore;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const MAKE: &str = "POST /v1/organizations/acme/keys";
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

#[tokio::test]
async fn a_body_that_is_no_json_is_malformed() {
    let api = Api::new().await;
    for body in ["", "{", "{\"user_id\": }", "user_id=ada", "{\"user_id\": \"ada\"} x", "\u{0}"] {
        assert_problem(&api.raw(&api.operator, MAKE, JSON, body).await, 400, "malformed_body", "");
    }
    let deep = format!("{{\"user_id\":\"ada\",\"metadata\":{{\"a\":{}{}}}}}", "[".repeat(4000), "]".repeat(4000));
    assert_problem(&api.raw(&api.operator, MAKE, JSON, deep).await, 400, "malformed_body", "");
}

#[tokio::test]
async fn a_body_without_its_content_type_is_not_read() {
    let api = Api::new().await;
    let body = json!({"user_id": "ada"}).to_string();
    for headers in
        [&[][..], &[("Content-Type", "text/plain")], &[("Content-Type", "application/x-www-form-urlencoded")]]
    {
        let refused = api.raw(&api.operator, MAKE, headers, body.clone()).await;
        assert_problem(&refused, 415, "unsupported_media_type", "application/json");
    }
    let id = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await["key_id"].as_str().unwrap().to_owned();
    let call = format!("POST /v1/keys/{id}/deactivate");
    let refused = api.raw(&api.operator, &call, &[], json!({"reason": "leaked"}).to_string()).await;
    assert_problem(&refused, 415, "unsupported_media_type", "application/json");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let api = Api::new().await;
    let body = format!("{{\"user_id\":\"{}\"}}", "a".repeat(3 << 20));
    for call in [MAKE, "POST /v1/organizations/acme/keys:bulk", "POST /v1/organizations"] {
        let refused = api.raw(&api.operator, call, JSON, body.clone()).await;
        assert_problem(&refused, 413, "body_too_large", "");
    }
    let call = "POST /v1/keys/01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f/revoke";
    assert_problem(&api.raw(&api.operator, call, JSON, body).await, 413, "body_too_large", "");
}

/// A body for a new key with this beside its owner, and the word that the refusal must name.
fn wrong_keys() -> Vec<(Value, &'static str)> {
    let long = "x".repeat(4097);
    let many = |text: &str, most: usize| (0..=most).map(|nth| format!("{text}{nth}")).collect::<Vec<_>>();
    vec![
        (json!({"sensitive": [1]}), "sensitive: must be an object"),
        (json!({"organization_id": "globex"}), "organization_id"),
        (json!({"status": "active"}), "status"),
        (json!({"user_id": 7}), "user_id"),
        (json!({"user_id": null}), "user_id"),
        (json!({"user_id": ""}), "user_id"),
        (json!({"user_id": "a b"}), "user_id"),
        (json!({"user_id": "x".repeat(129)}), "user_id"),
        (json!({"project_id": "a/b"}), "project_id"),
        (json!({"name": ""}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "a\u{202e}b"}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"description": "x".repeat(501)}), "description"),
        (json!({"permissions": "keys:read"}), "permissions"),
        (json!({"permissions": ["keys:"]}), "permissions[0]"),
        (json!({"permissions": [7]}), "permissions[0]"),
        (json!({"permissions": many("a", 64)}), "permissions"),
        (json!({"scopes": ["a", "**:b"]}), "scopes[1]"),
        (json!({"scopes": ["a b"]}), "scopes[0]"),
        (json!({"grantable": [""]}), "grantable[0]"),
        (json!({"limits": {"per_second": 1}}), "per_second"),
        (json!({"limits": {"per_minute": 0}}), "limits.per_minute"),
        (json!({"limits": {"per_hour": -1}}), "limits.per_hour"),
        (json!({"limits": {"per_day": 1.5}}), "limits.per_day"),
        (json!({"limits": {"per_day": 1e30}}), "limits.per_day"),
        (json!({"limits": {"per_month": 1_000_000_000_001_u64}}), "limits.per_month"),
        (json!({"limits": {"per_month": u64::MAX}}), "limits.per_month"),
        (json!({"limits": {"burst": 5}}), "limits.burst"),
        (json!({"limits": {"burst": "5", "per_minute": 1}}), "limits.burst"),
        (json!({"limits": {"burst": 1_000_000_001, "per_minute": 1}}), "limits.burst"),
        (json!({"limits": {"per_minute": 1, "fallback": "shut"}}), "limits.fallback"),
        (json!({"limits": {"per_minute": 1, "fallback": 7}}), "limits.fallback"),
        (json!({"limits": {"per_minute": 1, "fallback": {"open": null}}}), "limits.fallback"),
        (json!({"limits": [1]}), "limits"),
        (json!({"rotation": [30]}), "rotation"),
        (json!({"allowed_ips": ["192.0.2.7/24"]}), "allowed_ips[0]"),
        (json!({"allowed_ips": ["192.0.2.0/33"]}), "allowed_ips[0]"),
        (json!({"allowed_ips": ["example.com"]}), "allowed_ips[0]"),
        (json!({"allowed_ips": (0..65).map(|n| format!("192.0.2.{n}")).collect::<Vec<_>>()}), "allowed_ips"),
        (json!({"environment": "Prod"}), "environment"),
        (json!({"environment": "a".repeat(17)}), "environment"),
        (json!({"expires_in_days": 0}), "expires_in_days"),
        (json!({"expires_in_days": 36_501}), "expires_in_days"),
        (json!({"expires_in_days": u64::MAX}), "expires_in_days"),
        (json!({"expires_in_days": -1}), "expires_in_days"),
        (json!({"expires_in_days": "90"}), "expires_in_days"),
        (json!({"expires_in_days": 1, "expires_at": null}), "expires_at"),
        (json!({"expires_in_days": 1, "expires_at": "2027-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2025-12-31T23:59:59Z"}), "expires_at"),
        (json!({"expires_at": "2026-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2126-01-02T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "9999-12-31T23:59:59Z"}), "expires_at"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"expires_at": "2027-01-01"}), "expires_at"),
        (json!({"expires_at": "2027-01-01T00:00:00"}), "expires_at"),
        (json!({"expires_at": "+12027-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": 1_800_000_000}), "expires_at"),
        (json!({"not_before": "2026-05-01T00:00:00Z", "expires_at": "2026-05-01T00:00:00Z"}), "not_before"),
        (json!({"not_before": "soon"}), "not_before"),
        (json!({"tags": ["a b"]}), "tags[0]"),
        (json!({"tags": ["x".repeat(65)]}), "tags[0]"),
        (json!({"tags": many("t", 32)}), "tags"),
        (json!({"tags": {"a": "b"}}), "tags"),
        (json!({"metadata": {"a": long}}), "metadata"),
        (json!({"metadata": [1]}), "metadata"),
        (json!({"metadata": "a"}), "metadata"),
        (json!({"security_tier": "low"}), "security_tier"),
        (json!({"security_tier": 7}), "security_tier"),
        (json!({"security_tier": {"high": null}}), "security_tier"),
        (json!({"rotation": {}}), "interval_days"),
        (json!({"rotation": {"interval_days": 0}}), "rotation.interval_days"),
        (json!({"rotation": {"interval_days": 3651}}), "rotation.interval_days"),
        (json!({"rotation": {"interval_days": 7}}), "rotation.warning_days"),
        (json!({"rotation": {"interval_days": 30, "overlap_days": 366}}), "rotation.overlap_days"),
        (json!({"rotation": {"interval_days": 30, "hours": 1}}), "hours"),
        (
            json!({"rotation": {"interval_days": 365, "overlap_days": 90}, "expires_in_days": 90}),
            "rotation.overlap_days",
        ),
        (json!({"hand_over": "yes"}), "hand_over"),
    ]
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named_at_creation() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    for (fields, word) in wrong_keys() {
        let mut asked = json!({"user_id": "ada"});
        asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = api.call(&api.operator, MAKE, Some(asked.clone())).await;
        assert_eq!(refused.status, 422, "{asked} {refused:?}");
        assert_problem(&refused, 422, "invalid_field", word);
    }
    for (body, word) in [
        ("{}", "user_id"),
        ("[]", "object"),
        ("[\"ada\"]", "object"),
        ("null", ""),
        ("\"ada\"", ""),
        ("{\"user_id\":\"ada\",\"user_id\":\"bob\"}", "user_id"),
        ("{\"user_id\":\"ada\",\"\":1}", "unknown field"),
    ] {
        assert_problem(&api.raw(&api.operator, MAKE, JSON, body).await, 422, "invalid_field", word);
    }
    let page = api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await;
    assert_eq!(page.body["keys"], json!([]), "what is refused makes nothing");
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named_at_a_change() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let change = format!("PATCH /v1/keys/{}", made["key_id"].as_str().unwrap());
    let own = ["project_id", "grantable", "environment", "not_before", "security_tier"];
    for (fields, word) in wrong_keys() {
        // One that is wrong at creation is unknown, or wrong, here.
        let refused = api.call(&api.operator, &change, Some(fields.clone())).await;
        let word = if fields.get("user_id").is_some() { "user_id" } else { word };
        let word = own.into_iter().find(|field| fields.get(field).is_some()).unwrap_or(word);
        assert_problem(&refused, 422, "invalid_field", word);
    }
    let fixed = [
        "key_id",
        "organization_id",
        "user_id",
        "created_at",
        "created_by",
        "status",
        "revision",
        "lineage",
        "predecessor_id",
        "superseded",
        "scheduled_at",
        "key",
    ];
    for field in fixed.into_iter().chain(own) {
        let refused = api.call(&api.operator, &change, Some(json!({field: "acme"}))).await;
        assert_problem(&refused, 422, "invalid_field", field);
    }
    for field in [
        "name",
        "description",
        "tags",
        "permissions",
        "scopes",
        "limits",
        "allowed_ips",
        "expires_in_days",
        "metadata",
        "sensitive",
        "hand_over",
    ] {
        let refused = api.call(&api.operator, &change, Some(json!({field: null}))).await;
        assert_problem(&refused, 422, "invalid_field", field);
    }
    let shown = api.call(&api.operator, &change.replace("PATCH", "GET"), None).await;
    assert_eq!(shown.body["revision"], 1, "what is refused changes nothing");
}

#[tokio::test]
async fn a_field_of_an_organization_that_cannot_be_is_named() {
    let api = Api::new().await;
    for (fields, word) in [
        (json!({"status": 7}), "status"),
        (json!({"status": {"active": null}}), "status"),
        (json!({"status": "asleep"}), "status"),
        (json!({"status": null}), "status"),
        (json!({"max_keys": -1}), "max_keys"),
        (json!({"max_keys": 1.5}), "max_keys"),
        (json!({"max_keys_per_user": "5"}), "max_keys_per_user"),
        (json!({"limits": {"per_second": 1}}), "per_second"),
        (json!({"limits": {"per_hour": -1}}), "limits.per_hour"),
        (json!({"limits": {"per_minute": 0}}), "limits.per_minute"),
        (json!({"limits": 5}), "limits"),
        (json!({"limits": [5]}), "limits"),
        (json!({"user_limits": {"burst": 5}}), "user_limits.burst"),
        (json!({"user_limits": {"per_month": 1_000_000_000_001_u64}}), "user_limits.per_month"),
        (json!({"key_limits": {"per_minute": 1, "burst": 1_000_000_001}}), "key_limits.burst"),
        (json!({"key_limits": {"fallback": "shut"}}), "key_limits.fallback"),
        (json!({"key_limits": {"fallback": 7}}), "key_limits.fallback"),
        (json!({"revision": 5}), "revision"),
        (json!([5]), "object"),
    ] {
        let refused = api.call(&api.operator, "PATCH /v1/organizations/acme", Some(fields.clone())).await;
        assert_problem(&refused, 422, "invalid_field", word);
        let Some(fields) = fields.as_object() else { continue };
        let mut asked = json!({"organization_id": "acme"});
        asked.as_object_mut().unwrap().extend(fields.clone());
        let refused = api.call(&api.operator, "POST /v1/organizations", Some(asked)).await;
        assert_problem(&refused, 422, "invalid_field", word);
    }
    assert_eq!(api.call(&api.operator, "GET /v1/organizations/acme", None).await.body["revision"], 0);
}

#[tokio::test]
async fn an_id_in_the_path_that_cannot_be_is_named_and_not_repeated() {
    let api = Api::new().await;
    let calls = [
        "GET /v1/keys/{}",
        "PATCH /v1/keys/{}",
        "DELETE /v1/keys/{}",
        "POST /v1/keys/{}/revoke",
        "POST /v1/keys/{}/activate",
        "POST /v1/keys/{}/rotate",
        "GET /v1/keys/{}/rotation",
        "PUT /v1/keys/{}/rotation",
        "DELETE /v1/keys/{}/rotation",
        "POST /v1/keys/{}/rotation/finish",
    ];
    for call in calls {
        for id in [
            "7",
            "01933B0E-8F1C-7C3A-9D55-0A1B2C3D4E5F",
            "01933b0e8f1c7c3a9d550a1b2c3d4e5f",
            "mcp_dev_pasted",
            "%20",
            "a%2Fb",
        ] {
            let body = call.starts_with("PATCH").then(|| json!({}));
            let refused = api.call(&api.operator, &call.replace("{}", id), body).await;
            assert_problem(&refused, 422, "invalid_field", "key id");
            assert!(!refused.text.contains("pasted"), "{refused:?}");
        }
    }
    let calls = [
        "GET /v1/organizations/{}",
        "GET /v1/organizations/{}/keys",
        "POST /v1/organizations/{}/keys",
        "POST /v1/organizations/{}/keys:bulk",
    ];
    for call in calls {
        for id in ["a%20b".to_owned(), "a%2Fb".to_owned(), "%C3%A4".to_owned(), "x".repeat(129)] {
            let body = call.starts_with("POST").then(|| json!({}));
            let refused = api.call(&api.operator, &call.replace("{}", &id), body).await;
            assert_problem(&refused, 422, "invalid_field", "organization id");
        }
        let refused =
            api.call(&api.operator, &call.replace("{}", "%FF"), call.starts_with("POST").then(|| json!({}))).await;
        assert_problem(&refused, 422, "invalid_field", "org");
    }
}
