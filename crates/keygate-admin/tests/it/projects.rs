//! Projects through the API.

use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const SHOW: &str = "GET /v1/organizations/acme/projects/web";
const PUT: &str = "PUT /v1/organizations/acme/projects/web";

fn limits(said: &Value) -> Value {
    let mut limits = json!({"per_minute": null, "per_hour": null, "per_day": null, "per_month": null, "burst": null});
    limits.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    limits
}

/// A key of the project, made by the operator.
async fn key(api: &Api, project: Option<&str>) -> String {
    let body = json!({"user_id": "bob", "project_id": project, "scopes": []});
    let made = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(body)).await;
    made.body["key"].as_str().unwrap().to_owned()
}

async fn verdict(api: &Api, key: &str) -> Value {
    let verdict = api.call(&api.operator, "POST /v1/verify", Some(json!({"key": key}))).await.body;
    if verdict["valid"] == true { json!("valid") } else { verdict["reason"].clone() }
}

#[tokio::test]
async fn one_that_nobody_configured_exists_with_the_defaults() {
    let api = Api::new().await;
    let shown = api.call(&api.operator, SHOW, None).await;
    let expected = json!({
        "organization_id": "acme", "project_id": "web", "revision": 0, "status": "active", "max_keys": null,
        "limits": null, "key_limits": null, "policy": null, "defaults": null,
    });
    assert_eq!((shown.status.as_u16(), &shown.body, shown.header("etag")), (200, &expected, "\"0\""));
}

#[tokio::test]
async fn a_project_is_configured_and_shown() {
    let api = Api::new().await;
    let body = json!({"status": "suspended", "limits": {"per_minute": 60, "burst": 5}});
    let put = api.send(&api.operator, PUT, &[("If-Match", "\"0\"")], Some(body)).await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (200, "\"1\""), "{put:?}");
    assert_eq!(put.body["limits"], limits(&json!({"per_minute": 60, "burst": 5})));
    assert_eq!((&put.body["status"], &put.body["revision"]), (&json!("suspended"), &json!(1)));
    assert_eq!(api.call(&api.operator, SHOW, None).await.body, put.body);

    // All of it: what was configured before does not stay.
    let plain = Some(json!({"status": "active", "limits": null}));
    let late = api.send(&api.operator, PUT, &[("If-Match", "\"0\"")], plain.clone()).await;
    assert_problem(&late, 412, "revision_conflict", "");
    let put = api.send(&api.operator, PUT, &[("If-Match", "\"1\"")], plain.clone()).await;
    assert_eq!((&put.body["status"], &put.body["limits"]), (&json!("active"), &json!(null)), "{put:?}");
    assert_eq!(api.call(&api.operator, PUT, plain).await.body["revision"], 3);
}

#[tokio::test]
async fn a_suspended_projects_keys_are_refused_until_it_is_active_again() {
    let api = Api::new().await;
    let (of_it, of_another) = (key(&api, Some("web")).await, key(&api, None).await);
    assert_eq!(verdict(&api, &of_it).await, "valid");
    let suspended = json!({"status": "suspended", "limits": null});
    assert_eq!(api.call(&api.operator, PUT, Some(suspended)).await.status, 200);
    let refused = verdict(&api, &of_it).await;
    assert!(refused.as_str().unwrap().ends_with("_suspended"), "{refused}");
    assert_eq!(verdict(&api, &of_another).await, "valid");
    let active = json!({"status": "active", "limits": null});
    assert_eq!(api.call(&api.operator, PUT, Some(active)).await.status, 200);
    assert_eq!(verdict(&api, &of_it).await, "valid");
}

#[tokio::test]
async fn limits_are_those_of_all_its_keys_together() {
    let api = Api::new().await;
    let keys = [key(&api, Some("web")).await, key(&api, Some("web")).await];
    let body = json!({"status": "active", "limits": {"per_month": 2}});
    assert_eq!(api.call(&api.operator, PUT, Some(body)).await.status, 200);
    for (key, expected) in [(&keys[0], "valid"), (&keys[1], "valid"), (&keys[0], "rate_limit_exceeded")] {
        let body = json!({"key": key, "cost": 1});
        let verdict = api.call(&api.operator, "POST /v1/verify", Some(body)).await.body;
        assert_eq!(if verdict["valid"] == true { "valid" } else { verdict["reason"].as_str().unwrap() }, expected);
    }
}

#[tokio::test]
async fn a_project_has_as_many_keys_as_its_quota_says() {
    let api = Api::new().await;
    let put = async |more: Value| {
        let mut body = json!({"status": "active", "limits": null});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.call(&api.operator, PUT, Some(body)).await.body["max_keys"].clone()
    };
    key(&api, Some("web")).await;
    assert_eq!(put(json!({"max_keys": 2})).await, 2);
    key(&api, Some("web")).await;
    let make = async || {
        let body = json!({"user_id": "eve", "project_id": "web"});
        api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(body)).await
    };
    assert_problem(&make().await, 409, "quota_reached", "the project already has 2 keys");
    key(&api, None).await;
    assert_eq!(put(json!({})).await, 2, "what is left out stays as it is");
    assert_problem(&make().await, 409, "quota_reached", "the project already has 2 keys");
    assert_eq!(put(json!({"max_keys": null})).await, Value::Null);
    assert_eq!(make().await.status, 201);
}

#[tokio::test]
async fn a_tenant_changes_its_own_projects_and_sees_no_others() {
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["organization:settings", "keys:read"], &[]).await;
    let suspended = Some(json!({"status": "suspended", "limits": {"per_day": 5}}));
    assert_eq!(api.call(&tenant, PUT, suspended.clone()).await.status, 200);
    assert_eq!(api.call(&tenant, SHOW, None).await.body["status"], "suspended");
    let foreigner = api.tenant("other", &["**"], &["**"]).await;
    for (call, absent, body) in [
        (SHOW, "GET /v1/organizations/nobody/projects/web", None),
        (PUT, "PUT /v1/organizations/nobody/projects/web", suspended.clone()),
    ] {
        let foreign = api.call(&foreigner, call, body.clone()).await;
        assert_problem(&foreign, 404, "not_found", "");
        let nothing = api.call(&foreigner, absent, body).await;
        assert_eq!((foreign.status, &foreign.body), (nothing.status, &nothing.body));
    }
    assert_eq!(api.call(&api.operator, SHOW, None).await.body["revision"], 1);
    let reserved = api.call(&api.operator, "PUT /v1/organizations/system/projects/web", suspended).await;
    assert_problem(&reserved, 409, "reserved", "system");
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let api = Api::new().await;
    for (body, word) in [
        (json!({}), "status"),
        (json!({"limits": null}), "status"),
        (json!({"status": "active"}), "limits"),
        (json!({"status": null, "limits": null}), "status"),
        (json!({"status": "stopped", "limits": null}), "status"),
        (json!({"status": {"active": null}, "limits": null}), "status"),
        (json!({"status": "active", "limits": []}), "limits"),
        (json!({"status": "active", "limits": {"per_minute": 0}}), "limits.per_minute"),
        (json!({"status": "active", "limits": {"burst": 5}}), "limits.burst"),
        (json!({"status": "active", "limits": {"per_second": 5}}), "per_second"),
        (json!({"status": "active", "limits": null, "max_keys": 1_000_000_000_001_u64}), "max_keys"),
        (json!({"status": "active", "limits": null, "max_keys_per_user": 5}), "max_keys_per_user"),
    ] {
        assert_problem(&api.call(&api.operator, PUT, Some(body)).await, 422, "invalid_field", word);
    }
    let body = Some(json!({"status": "active", "limits": null}));
    let bad = api.call(&api.operator, "PUT /v1/organizations/acme/projects/a%20b", body.clone()).await;
    assert_eq!((bad.status.is_client_error(), bad.status.as_u16() != 405), (true, true), "{bad:?}");
    let bad = api.send(&api.operator, PUT, &[("If-Match", "7")], body).await;
    assert_problem(&bad, 422, "invalid_field", "If-Match");
    assert_eq!(api.call(&api.operator, SHOW, None).await.body["revision"], 0);
}
