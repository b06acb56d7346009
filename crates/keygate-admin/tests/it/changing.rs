//! Keys changed, stopped, let go on and erased.

use std::time::Duration;

use keygate_core::context::RequestContext;
use keygate_core::store::MemoryStore;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api};

const ABSENT: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

async fn made(api: &Api, asked: Value) -> String {
    let mut new = json!({"user_id": "ada"});
    new.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    api.make(&api.operator, "acme", new).await["key_id"].as_str().unwrap().to_owned()
}

fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{answer:?}");
}

#[tokio::test]
async fn every_field_that_may_change_does() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    let id = made(&api, json!({"rotation": {"interval_days": 30}, "expires_in_days": 20})).await;
    let before = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.record();
    let change = json!({
        "name": "other",
        "description": "for something else",
        "tags": ["a", "b"],
        "permissions": ["deploy:web"],
        "scopes": [],
        "limits": {"per_hour": 7},
        "allowed_ips": ["192.0.2.1"],
        "expires_in_days": 10,
        "metadata": {"a": {"b": 1}},
        "rotation": null,
        "hand_over": true,
    });
    let changed = api.call(&api.operator, &format!("PATCH /v1/keys/{id}"), Some(change.clone())).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""), "{changed:?}");
    let mut expected = before;
    let fields = expected.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    fields.remove("expires_in_days");
    fields.insert(
        "limits".into(),
        json!({"per_minute": null, "per_hour": 7, "per_day": null, "per_month": null, "burst": null}),
    );
    fields.insert("expires_at".into(), json!("2026-01-11T00:00:00Z"));
    fields.insert("revision".into(), json!(2));
    assert_eq!(changed.body, expected);
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.record(), expected);

    for (change, field, value) in [
        (json!({"expires_at": null}), "expires_at", json!(null)),
        (json!({"expires_at": "2027-01-01T01:00:00+01:00"}), "expires_at", json!("2027-01-01T00:00:00Z")),
        (
            json!({"rotation": {"interval_days": 9}}),
            "rotation",
            json!({"interval_days": 9, "warning_days": 7, "auto_rotate": false, "notify_users": true, "overlap_days": 7}),
        ),
        (json!({"metadata": {}}), "metadata", json!({})),
        (json!({"hand_over": false}), "hand_over", json!(false)),
    ] {
        let changed = api.call(&api.operator, &format!("PATCH /v1/keys/{id}"), Some(change)).await;
        assert_eq!(changed.body[field], value, "{changed:?}");
    }
}

#[tokio::test]
async fn a_change_of_nothing_is_none() {
    let api = Api::new().await;
    let id = made(&api, json!({"name": "one"})).await;
    for change in [json!({}), json!({"name": "one"})] {
        let same = api.call(&api.operator, &format!("PATCH /v1/keys/{id}"), Some(change)).await;
        assert_eq!((same.status.as_u16(), same.header("etag")), (200, "\"1\""));
    }
}

#[tokio::test]
async fn a_change_is_made_to_the_revision_it_is_meant_for() {
    let api = Api::new().await;
    let id = made(&api, json!({})).await;
    let call = format!("PATCH /v1/keys/{id}");
    let change = |name: &str| Some(json!({"name": name}));
    for (tag, status) in
        [("\"1\"", 200), ("\"1\"", 412), ("*", 200), ("\"3\"", 200), ("\"abc\"", 412), ("\"04\"", 412), ("\"+4\"", 412)]
    {
        let changed = api.send(&api.operator, &call, &[("If-Match", tag)], change(&format!("{tag}{status}"))).await;
        assert_eq!(changed.status, status, "{tag} {changed:?}");
        if status == 412 {
            assert_refused(&changed, 412, "revision_conflict");
        }
    }
    for tag in ["4", "", "\"4"] {
        assert_refused(&api.send(&api.operator, &call, &[("If-Match", tag)], change("x")).await, 422, "invalid_field");
    }
    let two = [("If-Match", "\"4\""), ("If-Match", "\"5\"")];
    assert_refused(&api.send(&api.operator, &call, &two, change("x")).await, 422, "invalid_field");
}

#[tokio::test]
async fn nobody_gives_a_key_more_than_they_may_grant() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["keys:*"], &["reports:*"]).await;
    let weak = made(&api, json!({"scopes": ["reports:read"]})).await;
    let strong = made(&api, json!({"scopes": ["reports:read"], "permissions": ["deploy:web"]})).await;
    let change = async |id: &str, change: Value| api.call(&admin, &format!("PATCH /v1/keys/{id}"), Some(change)).await;
    assert_eq!(change(&weak, json!({"scopes": ["reports:write"], "expires_in_days": 1})).await.status, 200);
    for wider in [json!({"permissions": ["deploy:web"]}), json!({"scopes": ["reports:**"]}), json!({"scopes": ["*"]})] {
        assert_refused(&change(&weak, wider).await, 403, "not_grantable");
    }
    assert_eq!(change(&strong, json!({"name": "other"})).await.status, 200);
    for wider in [json!({"expires_at": null}), json!({"limits": {}}), json!({"allowed_ips": ["192.0.2.1"]})] {
        assert_refused(&change(&strong, wider).await, 403, "not_grantable");
    }
    // To stop it is no grant; to let it go on is.
    let stopped = api.call(&admin, &format!("POST /v1/keys/{strong}/deactivate"), None).await;
    assert_eq!(stopped.status, 200);
    assert_refused(&api.call(&admin, &format!("POST /v1/keys/{strong}/activate"), None).await, 403, "not_grantable");
}

#[tokio::test]
async fn a_key_is_stopped_and_goes_on_and_each_time_it_is_said_why() {
    let api = Api::with(MemoryStore::new(), HeldClock::new()).await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let (id, text) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let call = async |action: &str, body: Option<Value>| {
        api.call(&api.operator, &format!("POST /v1/keys/{id}/{action}"), body).await
    };
    let usable = async || api.manager.validate(text, &RequestContext::new()).await.is_ok();

    let stopped = call("deactivate", Some(json!({"reason": "on leave"}))).await;
    assert_eq!((stopped.status.as_u16(), stopped.header("etag")), (200, "\"2\""));
    assert_eq!((&stopped.body["status"], &stopped.body["status_reason"]), (&json!("inactive"), &json!("on leave")));
    assert!(!usable().await);
    let again = call("deactivate", Some(json!({"reason": "another"}))).await;
    assert_eq!(again.body, stopped.body);

    let on = call("activate", Some(json!({"reason": "back"}))).await;
    assert_eq!((&on.body["status"], &on.body["status_reason"]), (&json!("active"), &json!("back")));
    assert!(usable().await);
    for body in [Some(json!({})), Some(json!({"reason": null})), Some(json!(null)), None] {
        assert_eq!(call("deactivate", body.clone()).await.body["status_reason"], json!(null));
        assert_eq!(call("activate", body).await.body["status"], "active");
    }
    // A content type with nothing behind it is a body that was left out.
    let headers = [("Content-Type", "application/json")];
    let on = api.raw(&api.operator, &format!("POST /v1/keys/{id}/activate"), &headers, "").await;
    assert_eq!(on.status, 200, "{on:?}");

    let revoked = call("revoke", Some(json!({"reason": "leaked"}))).await;
    let expected = json!({
        "key_id": id, "revoked_at": "2026-01-01T00:00:00Z", "replicas": 0, "fsynced": null, "confirmed": true,
    });
    assert_eq!((revoked.status.as_u16(), &revoked.body), (200, &expected), "{revoked:?}");
    assert!(!usable().await);
    assert_eq!(call("revoke", Some(json!({"reason": "other"}))).await.body, expected);
    let shown = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_eq!((&shown.body["status"], &shown.body["status_reason"]), (&json!("revoked"), &json!("leaked")));
    assert_refused(&call("activate", None).await, 409, "key_revoked");
    assert_refused(&call("deactivate", None).await, 409, "key_revoked");
    let change = api.call(&api.operator, &format!("PATCH /v1/keys/{id}"), Some(json!({"name": "x"}))).await;
    assert_refused(&change, 409, "key_revoked");
}

#[tokio::test]
async fn a_revocation_need_not_be_waited_for() {
    let api = Api::new().await;
    for (query, waits) in [("", true), ("?wait=true", true), ("?wait=false", false)] {
        let id = made(&api, json!({})).await;
        let revoked = api.call(&api.operator, &format!("POST /v1/keys/{id}/revoke{query}"), None).await;
        assert_eq!(revoked.status, 200, "{waits} {revoked:?}");
        let shown = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
        assert_eq!(shown.body["status"], "revoked");
    }
    for query in ["?wait=0", "?wait=", "?wait=false&wait=true", "?now=true"] {
        let id = made(&api, json!({})).await;
        let refused = api.call(&api.operator, &format!("POST /v1/keys/{id}/revoke{query}"), None).await;
        assert_refused(&refused, 422, "invalid_field");
        assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.body["status"], "active");
    }
}

#[tokio::test]
async fn a_reason_that_cannot_be_is_named() {
    let api = Api::new().await;
    let id = made(&api, json!({})).await;
    let long = "x".repeat(201);
    for action in ["deactivate", "activate", "revoke"] {
        for reason in [json!(""), json!("a\nb"), json!(7), json!(["a"]), json!(long)] {
            let body = Some(json!({"reason": reason}));
            let refused = api.call(&api.operator, &format!("POST /v1/keys/{id}/{action}"), body).await;
            assert_refused(&refused, 422, "invalid_field");
            assert!(refused.body["detail"].as_str().unwrap().contains("reason"), "{refused:?}");
        }
        for body in [json!({"why": "leaked"}), json!([]), json!(["leaked"]), json!("leaked")] {
            let refused = api.call(&api.operator, &format!("POST /v1/keys/{id}/{action}"), Some(body)).await;
            assert_refused(&refused, 422, "invalid_field");
        }
    }
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.body["status"], "active");
}

#[tokio::test]
async fn what_may_still_be_used_is_not_erased() {
    let clock = HeldClock::new();
    let api = Api::with(MemoryStore::new(), clock.clone()).await;
    let (revoked, expired) = (made(&api, json!({})).await, made(&api, json!({"expires_in_days": 1})).await);
    let erase = async |id: &str, headers: &[(&str, &str)]| {
        api.send(&api.operator, &format!("DELETE /v1/keys/{id}"), headers, None).await
    };
    assert_refused(&erase(&revoked, &[]).await, 409, "key_in_use");
    api.call(&api.operator, &format!("POST /v1/keys/{revoked}/deactivate"), None).await;
    assert_refused(&erase(&revoked, &[]).await, 409, "key_in_use");
    api.call(&api.operator, &format!("POST /v1/keys/{revoked}/revoke"), None).await;
    clock.advance(Duration::from_secs(86_400));
    assert_refused(&erase(&revoked, &[("If-Match", "\"1\"")]).await, 412, "revision_conflict");
    for (id, headers) in [(&revoked, &[("If-Match", "\"3\"")][..]), (&expired, &[])] {
        let erased = erase(id, headers).await;
        assert_eq!((erased.status.as_u16(), &*erased.text, erased.header("cache-control")), (204, "", "no-store"));
        assert_refused(&erase(id, &[]).await, 404, "not_found");
        assert_refused(&api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await, 404, "not_found");
    }
}

/// Every call that names a key, with what it needs.
fn calls(id: &str) -> Vec<(String, Option<Value>)> {
    vec![
        (format!("GET /v1/keys/{id}"), None),
        (format!("PATCH /v1/keys/{id}"), Some(json!({"name": "taken over"}))),
        (format!("PATCH /v1/keys/{id}"), Some(json!({}))),
        (format!("POST /v1/keys/{id}/deactivate"), None),
        (format!("POST /v1/keys/{id}/activate"), None),
        (format!("POST /v1/keys/{id}/revoke"), None),
        (format!("POST /v1/keys/{id}/revoke?wait=false"), Some(json!({"reason": "x"}))),
        (format!("DELETE /v1/keys/{id}"), None),
        (format!("POST /v1/keys/{id}/rotate"), None),
        (format!("POST /v1/keys/{id}/rotate"), Some(json!({"overlap_days": 0}))),
        (format!("GET /v1/keys/{id}/rotation"), None),
        (format!("PUT /v1/keys/{id}/rotation"), Some(json!({"interval_days": 30}))),
        (format!("DELETE /v1/keys/{id}/rotation"), None),
        (format!("POST /v1/keys/{id}/rotation/finish"), None),
    ]
}

#[tokio::test]
async fn another_tenants_key_is_one_that_is_not_there() {
    let api = Api::new().await;
    let admin = api.tenant("globex", &["**"], &["**"]).await;
    let id = made(&api, json!({})).await;
    let before = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    for headers in [&[][..], &[("If-Match", "\"1\"")], &[("If-Match", "\"9\"")]] {
        for ((foreign, body), (absent, _)) in calls(&id).into_iter().zip(calls(ABSENT)) {
            let foreign = api.send(&admin, &foreign, headers, body.clone()).await;
            let missing = api.send(&admin, &absent, headers, body).await;
            assert_refused(&foreign, 404, "not_found");
            assert_eq!((foreign.status, &foreign.text), (missing.status, &missing.text), "{absent}");
            let names = |answer: &Answer| answer.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&foreign), names(&missing));
        }
    }
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.text, before.text);
}

#[tokio::test]
async fn each_call_needs_its_permission() {
    let api = Api::new().await;
    let id = made(&api, json!({})).await;
    let reader = api.tenant("acme", &["keys:read", "keys:verify"], &["**"]).await;
    let writer = api.tenant("acme", &["keys:write", "organization:settings"], &["**"]).await;
    let neither = api.tenant("acme", &[], &["**"]).await;
    for (call, body) in calls(&id) {
        let other = if call.starts_with("GET") { &writer } else { &reader };
        for caller in [other, &neither] {
            assert_refused(&api.call(caller, &call, body.clone()).await, 403, "permission_denied");
            // Before it is looked at what the call names.
            let absent = call.replace(&id, "nonsense");
            assert_refused(&api.call(caller, &absent, body.clone()).await, 403, "permission_denied");
        }
    }
}
