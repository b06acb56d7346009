//! Whether the API answers what its document says that it answers.

use std::collections::BTreeSet;

use keygate_core::anomaly::finding::Measured;
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::FaultyStore;
use serde_json::{Value, json};

use crate::support::Api;
use crate::support::documented::Documented;

const ABSENT: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_document_is_whole() {
    let documented = Documented::of(&Api::new().await).await;
    let document = &documented.document;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "keygate");
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in documented.operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        assert!(operation["summary"].is_string(), "{id} has no summary");
        let own = operation["tags"].as_array().unwrap();
        assert!(own.len() == 1 && tags.contains(&&own[0]), "{id} has tags {own:?}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in path.split('{').skip(1).map(|part| part.split('}').next().unwrap()) {
            let described = parameters.iter().find(|parameter| parameter["name"] == name && parameter["in"] == "path");
            assert_eq!(described.unwrap()["required"], true, "{id} {name}");
        }
        for parameter in &parameters {
            assert!(parameter["description"].is_string(), "{id} {parameter}");
            documented.validator(&parameter["schema"], false);
        }
        if !path.starts_with("/v1/") {
            continue;
        }
        for (status, schema) in
            [("400", "Problem"), ("401", "Problem"), ("403", "Problem"), ("429", "LimitProblem"), ("503", "Problem")]
        {
            let problem = documented.resolved(&operation["responses"][status]);
            let content = &problem["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(content, &format!("#/components/schemas/{schema}"), "{id} {status}");
        }
        let has = |status: &str| !operation["responses"][status].is_null();
        assert_eq!(has("404"), path.contains('{'), "{id}");
        let body = &operation["requestBody"];
        assert_eq!((has("413"), has("415")), (body.is_object(), body.is_object()), "{id}");
        if body.is_object() {
            let optional = ["deactivateKey", "activateKey", "revokeKey", "rotateKey", "redriveNotices"].contains(&id);
            assert_eq!(body["required"].as_bool().unwrap_or_default(), !optional, "{id}");
        }
        assert!(["get", "post", "put", "patch", "delete"].contains(&method));
    }
    check_references(&documented, document);
}

fn check_references(documented: &Documented, value: &Value) {
    if value["$ref"].is_string() {
        documented.resolved(value);
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|value| check_references(documented, value)),
        Value::Array(values) => values.iter().for_each(|value| check_references(documented, value)),
        _ => {}
    }
}

#[tokio::test]
async fn a_key_has_exactly_the_fields_that_are_described() {
    let api = Api::new().await;
    let documented = Documented::of(&api).await;
    let schemas = &documented.document["components"]["schemas"];
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada", "rotation": {"interval_days": 30}})).await;
    let shown = api.call(&api.operator, &format!("GET /v1/keys/{}", made["key_id"].as_str().unwrap()), None).await.body;
    let mut described = names(&schemas["Key"]["properties"]);
    described.insert("limits_left");
    assert_eq!(names(&shown), described);
    assert_eq!(names(&shown["limits_left"][0]), names(&schemas["LimitLeft"]["properties"]));
    for (part, name) in [("rotation", "Rotation"), ("lineage", "Lineage")] {
        assert_eq!(names(&shown[part]), names(&schemas[name]["properties"]), "{name}");
    }
    // What becomes of requests while the store is not reached is said where it is not the default.
    let mut limits = names(&schemas["Limits"]["properties"]);
    assert!(limits.remove("fallback"));
    assert_eq!((names(&shown["limits"]), texts(&schemas["Limits"]["required"])), (limits.clone(), limits));
    let open = json!({"user_id": "ada", "limits": {"per_day": 5, "fallback": "open"}});
    let open = api.make(&api.operator, "acme", open).await;
    assert_eq!(names(&open["limits"]), names(&schemas["Limits"]["properties"]));
    // Answers say all they can say: nothing of them is left out where it is null.
    for name in [
        "Key",
        "SensitiveFields",
        "LimitLeft",
        "Rotation",
        "Lineage",
        "Superseded",
        "RotatedKey",
        "OverlappingKey",
        "KeyPage",
        "Revocation",
        "BulkOutcome",
        "BulkFailure",
        "Organization",
        "Project",
        "KeyPolicy",
        "KeyDefaults",
        "Problem",
        "UsageStep",
        "UsageBreakdown",
        "UsageShare",
        "UsageAddresses",
        "UsageTotals",
        "LastUse",
        "LastError",
        "KeyUse",
        "FindingPage",
    ] {
        assert_eq!(names(&schemas[name]["properties"]), texts(&schemas[name]["required"]), "{name}");
    }
    // A report says of whom it is.
    let mut said = names(&schemas["UsageReport"]["properties"]);
    for some in ["key_id", "user_id", "project_id", "most_used"] {
        assert!(said.remove(some), "{some}");
    }
    assert_eq!(said, texts(&schemas["UsageReport"]["required"]));
    // A schedule is said where there is one.
    let mut said = names(&schemas["RotationStatus"]["properties"]);
    for some in names(&schemas["Rotation"]["properties"]) {
        assert!(said.remove(some), "{some}");
    }
    assert_eq!(said, texts(&schemas["RotationStatus"]["required"]));
    // What was used for the first time is there where something was.
    let mut found = names(&schemas["Finding"]["properties"]);
    assert!(found.remove("value"));
    assert_eq!(found, texts(&schemas["Finding"]["required"]));
    for name in [
        "NewKey",
        "KeyChange",
        "NewLimits",
        "NewRotation",
        "RotateKey",
        "StatusChange",
        "Bulk",
        "BulkConfig",
        "NewOrganization",
        "OrganizationChange",
        "NewKeyPolicy",
        "NewKeyDefaults",
    ] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
}

#[tokio::test]
async fn every_call_answers_as_is_described() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let documented = Documented::of(&api).await;
    let full = json!({
        "user_id": "ada", "project_id": "web", "name": "n", "description": "d", "permissions": ["keys:read"],
        "grantable": ["a:**"], "allowed_ips": ["192.0.2.0/24", "2001:db8::1"], "not_before": "2020-01-01T00:00:00Z",
        "tags": ["a=b"], "metadata": {"a": null}, "sensitive": {"card": "4111"}, "rotation": {"interval_days": 30}, "expires_at": null,
        "hand_over": true,
    });
    let made = api.make(&api.operator, "acme", full.clone()).await;
    let (id, text) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    for value in [None, Some("b:c".to_owned())] {
        let measured = Measured { observed: 1.0, expected: 0.25, sample_size: 9 };
        let whom = (id.parse().unwrap(), "acme".parse().unwrap());
        let finding = Finding::new(Rule::NewScope, whom, chrono::Utc::now(), value, measured, "First use.".to_owned());
        assert!(store.record_finding(&finding).await.unwrap());
    }
    let stranger = api.tenant("globex", &[], &[]).await;
    let keys = "/v1/organizations/acme/keys";
    let one = format!("/v1/keys/{id}");
    let hooks = "/v1/organizations/acme/webhooks";
    let made =
        api.call(&api.operator, &format!("POST {hooks}"), Some(json!({"url": "https://example.com/never"}))).await;
    let hook = made.body["webhook_id"].as_str().unwrap().to_owned();
    api.make(&api.operator, "acme", json!({"user_id": "eve"})).await;
    api.manager.deliver_notices().await.unwrap();
    let calls: Vec<(&str, String, Option<Value>, u16)> = vec![
        (
            "createOrganization",
            "POST /v1/organizations".into(),
            Some(json!({"organization_id": "new", "limits": {"per_day": 5}, "key_limits": {"fallback": "local_share"},
                    "policy": {"longest_life_days": 5, "required_scopes": ["a"], "allowed_environments": ["prod"],
                    "name_pattern": "a"}, "defaults": {"security_tier": "high", "allowed_ips": ["::1"]}})),
            201,
        ),
        ("createOrganization", "POST /v1/organizations".into(), Some(json!({"organization_id": "new"})), 409),
        ("showOrganization", "GET /v1/organizations/acme".into(), None, 200),
        (
            "updateOrganization",
            "PATCH /v1/organizations/acme".into(),
            Some(json!({"max_keys": 50, "limits": {"per_day": 1_000}, "user_limits": null})),
            200,
        ),
        ("updateOrganization", "PATCH /v1/organizations/system".into(), Some(json!({"max_keys": 5})), 409),
        (
            "putProject",
            "PUT /v1/organizations/acme/projects/ruled".into(),
            Some(
                json!({"status": "active", "limits": null, "max_keys": 7, "key_limits": {"per_day": 5}, "policy": {"forbid_wildcards":
                true, "require_allowed_ips": true, "name_pattern": "a"}, "defaults": {"expires_in_days": 5}}),
            ),
            200,
        ),
        ("showProject", "GET /v1/organizations/acme/projects/ruled".into(), None, 200),
        ("createKey", format!("POST {keys}"), Some(json!({"user_id": "bob", "project_id": "ruled"})), 422),
        ("showProject", "GET /v1/organizations/acme/projects/web".into(), None, 200),
        (
            "putProject",
            "PUT /v1/organizations/acme/projects/web".into(),
            Some(json!({"status": "active", "limits": {"per_day": 1_000_000}})),
            200,
        ),
        (
            "putProject",
            "PUT /v1/organizations/system/projects/web".into(),
            Some(json!({"status": "active", "limits": null})),
            409,
        ),
        ("showUser", "GET /v1/organizations/acme/users/ann".into(), None, 200),
        ("putRole", "PUT /v1/organizations/acme/roles/reader".into(), Some(json!({"permissions": ["reports:*"]})), 200),
        ("putRole", "PUT /v1/organizations/system/roles/reader".into(), Some(json!({"permissions": []})), 409),
        ("showRole", "GET /v1/organizations/acme/roles/reader".into(), None, 200),
        ("showRole", "GET /v1/organizations/acme/roles/nobody".into(), None, 404),
        ("listRoles", "GET /v1/organizations/acme/roles".into(), None, 200),
        ("putUser", "PUT /v1/organizations/acme/users/ann".into(), Some(json!({"roles": ["reader"]})), 200),
        ("putUser", "PUT /v1/organizations/acme/users/ann".into(), Some(json!({"roles": ["nobody"]})), 422),
        (
            "putUser",
            "PUT /v1/organizations/acme/users/ann".into(),
            Some(json!({"max_keys": 3, "limits": {"per_day": 9}, "policy": {"name_pattern": "a"}, "defaults": {}})),
            200,
        ),
        ("showUser", "GET /v1/organizations/acme/users/ann".into(), None, 200),
        ("createKey", format!("POST {keys}"), Some(json!({"user_id": "ann"})), 422),
        (
            "putUser",
            "PUT /v1/organizations/acme/users/ann".into(),
            Some(json!({"status": "offboarded", "roles": null, "policy": null})),
            200,
        ),
        ("createKey", format!("POST {keys}"), Some(json!({"user_id": "ann"})), 409),
        ("audit", "GET /v1/organizations/acme/audit?limit=3".into(), None, 200),
        ("audit", "GET /v1/organizations/acme/audit?order=oldest_first".into(), None, 200),
        ("audit", "GET /v1/organizations/acme/audit?action=key.nothing".into(), None, 422),
        ("verifyAudit", "GET /v1/organizations/acme/audit/verification".into(), None, 200),
        ("putUser", "PUT /v1/organizations/system/users/ann".into(), Some(json!({"status": "suspended"})), 409),
        ("deleteRole", "DELETE /v1/organizations/acme/roles/reader".into(), None, 204),
        ("deleteRole", "DELETE /v1/organizations/acme/roles/reader".into(), None, 404),
        ("createKey", format!("POST {keys}"), Some(full), 201),
        ("createKey", format!("POST {keys}"), Some(json!({"user_id": "bob"})), 201),
        ("listKeys", format!("GET {keys}?limit=1"), None, 200),
        ("listKeys", format!("GET {keys}"), None, 200),
        ("bulkKeys", format!("POST {keys}:bulk"), Some(json!({"operation": "activate", "key_ids": [id, ABSENT]})), 200),
        ("listKeys", format!("GET {keys}?unused_for_days=1"), None, 200),
        (
            "importKeys",
            format!("POST {keys}:import"),
            Some(json!({"raw": format!("sk_live_{}", "x".repeat(24)), "user_id": "bob", "scopes": []})),
            200,
        ),
        ("importKeys", "POST /v1/organizations/system/keys:import".into(), Some(json!({})), 409),
        // Of one key, so that its one line is a document.
        ("exportKeys", "GET /v1/organizations/globex/keys:export".into(), None, 200),
        ("keyUsage", format!("GET {one}/usage"), None, 200),
        ("keyUsage", format!("GET {one}/usage?granularity=hour&from=2020-01-01"), None, 200),
        ("keyUsage", format!("GET {one}/usage?to=never"), None, 422),
        ("keyUsage", format!("GET /v1/keys/{ABSENT}/usage"), None, 404),
        ("organizationUsage", "GET /v1/organizations/acme/usage".into(), None, 200),
        ("organizationUsage", "GET /v1/organizations/acme/usage?user_id=ada&granularity=month".into(), None, 200),
        ("organizationUsage", "GET /v1/organizations/acme/usage?project_id=web".into(), None, 200),
        ("keyAnomalies", format!("GET {one}/anomalies"), None, 200),
        ("keyAnomalies", format!("GET {one}/anomalies?limit=0"), None, 422),
        ("keyAnomalies", format!("GET /v1/keys/{ABSENT}/anomalies"), None, 404),
        ("organizationAnomalies", "GET /v1/organizations/acme/anomalies".into(), None, 200),
        ("organizationAnomalies", "GET /v1/organizations/acme/anomalies?limit=1".into(), None, 200),
        ("organizationAnomalies", "GET /v1/organizations/acme/anomalies?cursor=0".into(), None, 422),
        ("createWebhook", format!("POST {hooks}"), Some(json!({"url": "https://example.com/other"})), 201),
        ("createWebhook", format!("POST {hooks}"), Some(json!({"url": "nowhere"})), 422),
        ("listWebhooks", format!("GET {hooks}"), None, 200),
        ("renewWebhookSecret", format!("POST {hooks}/{hook}/secret"), None, 200),
        ("testWebhooks", format!("POST {hooks}:test"), None, 202),
        ("deleteWebhook", format!("DELETE {hooks}/{hook}"), None, 204),
        ("deleteWebhook", format!("DELETE {hooks}/{hook}"), None, 404),
        ("renewWebhookSecret", format!("POST {hooks}/{hook}/secret"), None, 404),
        ("deleteWebhooks", format!("DELETE {hooks}"), None, 204),
        ("testWebhooks", format!("POST {hooks}:test"), None, 404),
        ("givenUpNotices", "GET /v1/organizations/acme/notices".into(), None, 200),
        ("redriveNotices", "POST /v1/organizations/acme/notices:redrive".into(), Some(json!({"notice_id": null})), 200),
        ("showSelf", "GET /v1/self".into(), None, 200),
        ("verifyKey", "POST /v1/verify".into(), Some(json!({"key": text, "explain": true})), 200),
        ("verifyKey", "POST /v1/verify".into(), Some(json!({"key": "nonsense"})), 200),
        ("verifyKey", "POST /v1/verify".into(), Some(json!({"key": text, "cost": 3})), 200),
        ("verifyKey", "POST /v1/verify".into(), Some(json!({"key": text, "cost": 900})), 200),
        ("authorize", "GET /v1/authorize".into(), None, 200),
        ("showKey", format!("GET {one}"), None, 200),
        ("showKey", format!("GET /v1/keys/{ABSENT}"), None, 404),
        ("updateKey", format!("PATCH {one}"), Some(json!({"name": "other"})), 200),
        ("openSensitiveFields", format!("GET {one}/sensitive"), None, 200),
        ("openSensitiveFields", format!("GET {one}/sensitive?field=pin"), None, 200),
        ("openSensitiveFields", format!("GET {one}/sensitive?field=a%20b"), None, 422),
        ("openSensitiveFields", format!("GET /v1/keys/{ABSENT}/sensitive"), None, 404),
        ("showRotation", format!("GET {one}/rotation"), None, 200),
        ("showRotation", format!("GET /v1/keys/{ABSENT}/rotation"), None, 404),
        ("scheduleRotation", format!("PUT {one}/rotation"), Some(json!({"interval_days": 60})), 200),
        ("unscheduleRotation", format!("DELETE {one}/rotation"), None, 204),
        ("showRotation", format!("GET {one}/rotation"), None, 200),
        ("finishRotation", format!("POST {one}/rotation/finish"), None, 409),
        ("claimSuccessor", "POST /v1/self/successor".into(), None, 409),
        ("deactivateKey", format!("POST {one}/deactivate"), Some(json!({"reason": "r"})), 200),
        ("rotateKey", format!("POST {one}/rotate"), None, 409),
        ("activateKey", format!("POST {one}/activate"), None, 200),
        ("rotateKey", format!("POST {one}/rotate"), Some(json!({"overlap_days": 1})), 200),
        ("rotateKey", format!("POST {one}/rotate"), Some(json!({"overlap_days": 1})), 409),
        ("showRotation", format!("GET {one}/rotation"), None, 200),
        ("showKey", format!("GET {one}"), None, 200),
        ("deleteKey", format!("DELETE {one}"), None, 409),
        ("revokeKey", format!("POST {one}/revoke"), Some(json!({"reason": "r"})), 200),
        ("showKey", format!("GET {one}"), None, 200),
        ("deactivateKey", format!("POST {one}/deactivate"), None, 409),
        ("activateKey", format!("POST {one}/activate"), None, 409),
        ("updateKey", format!("PATCH {one}"), Some(json!({"name": "x"})), 409),
        ("scheduleRotation", format!("PUT {one}/rotation"), Some(json!({"interval_days": 61})), 409),
        ("finishRotation", format!("POST {one}/rotation/finish"), None, 409),
        ("deleteKey", format!("DELETE {one}"), None, 204),
        ("deleteKey", format!("DELETE {one}"), None, 404),
    ];
    for (operation, call, body, status) in &calls {
        let answer = api.call(&api.operator, call, body.clone()).await;
        assert_eq!(answer.status, *status, "{call} {answer:?}");
        documented.check(operation, &answer);
        documented.check(operation, &api.call("", call, body.clone()).await);
        if operation == &"claimSuccessor" {
            assert_eq!(api.call(&stranger, call, None).await.status, 409);
        } else if !["showSelf", "authorize"].contains(operation) {
            let refused = api.call(&stranger, call, body.clone()).await;
            assert_eq!(refused.status, 403, "{call} {refused:?}");
            documented.check(operation, &refused);
        }
        if body.is_some() {
            for (headers, text) in [(&[("Content-Type", "application/json")][..], "{"), (&[], "{}")] {
                documented.check(operation, &api.raw(&api.operator, call, headers, text).await);
            }
            documented.check(operation, &api.call(&api.operator, call, Some(json!({"unknown": 1}))).await);
        }
    }
    let replay = [("Idempotency-Key", "one")];
    let again = api.make(&api.operator, "acme", json!({"user_id": "bob"})).await["key_id"].as_str().unwrap().to_owned();
    for (operation, call, body) in [
        ("createKey", format!("POST {keys}"), json!({"user_id": "ada"})),
        ("createOrganization", "POST /v1/organizations".to_owned(), json!({"organization_id": "newer"})),
        ("rotateKey", format!("POST /v1/keys/{again}/rotate"), json!({"overlap_days": 3})),
    ] {
        for _ in 0..2 {
            documented.check(operation, &api.send(&api.operator, &call, &replay, Some(body.clone())).await);
        }
    }
    let (handing, held) = {
        let made = api.make(&api.operator, "acme", json!({"user_id": "bob", "hand_over": true})).await;
        (made["key_id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    };
    for (operation, key, call) in [
        ("rotateKey", &api.operator, format!("POST /v1/keys/{handing}/rotate")),
        ("claimSuccessor", &held, "POST /v1/self/successor".to_owned()),
        ("finishRotation", &api.operator, format!("POST /v1/keys/{handing}/rotation/finish")),
    ] {
        let answer = api.call(key, &call, None).await;
        assert_eq!(answer.status, 200, "{call} {answer:?}");
        documented.check(operation, &answer);
    }
    let stale = [("If-Match", "\"77\"")];
    let id = api.make(&api.operator, "acme", json!({"user_id": "bob"})).await["key_id"].as_str().unwrap().to_owned();
    for (operation, call, body) in [
        ("updateKey", format!("PATCH /v1/keys/{id}"), Some(json!({"name": "x"}))),
        ("deleteKey", format!("DELETE /v1/keys/{id}"), None),
        ("scheduleRotation", format!("PUT /v1/keys/{id}/rotation"), Some(json!({"interval_days": 30}))),
        ("unscheduleRotation", format!("DELETE /v1/keys/{id}/rotation"), None),
        ("updateOrganization", "PATCH /v1/organizations/acme".to_owned(), Some(json!({}))),
        (
            "putProject",
            "PUT /v1/organizations/acme/projects/web".to_owned(),
            Some(json!({"status": "active", "limits": null})),
        ),
        ("putUser", "PUT /v1/organizations/acme/users/bob".to_owned(), Some(json!({}))),
        ("putRole", "PUT /v1/organizations/acme/roles/x".to_owned(), Some(json!({"permissions": []}))),
        ("deleteRole", "DELETE /v1/organizations/acme/roles/x".to_owned(), None),
    ] {
        let answer = api.send(&api.operator, &call, &stale, body).await;
        assert_eq!(answer.status, 412, "{call} {answer:?}");
        documented.check(operation, &answer);
    }
    store.fail();
    store.lapse();
    for (operation, call, body, _) in &calls {
        documented.check(operation, &api.call(text, call, body.clone()).await);
    }
    for (_, path, operation) in documented.operations() {
        let id = operation["operationId"].as_str().unwrap();
        for status in operation["responses"].as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let seen = documented.seen.borrow().contains(&(id.to_owned(), status.parse().unwrap()));
            assert!(seen || status.as_str() >= "400", "{id} was not seen to answer {status}");
        }
    }
}
