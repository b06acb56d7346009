//! Users and roles through the API.

use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const ANN: &str = "/v1/organizations/acme/users/ann";
const READER: &str = "/v1/organizations/acme/roles/reader";

async fn verdict(api: &Api, key: &Value, permission: &str) -> Value {
    let body = json!({"key": key, "permission": permission});
    let verdict = api.call(&api.operator, "POST /v1/verify", Some(body)).await.body;
    if verdict["valid"] == true { json!("valid") } else { verdict["reason"].clone() }
}

#[tokio::test]
async fn a_demoted_users_key_may_do_less_at_once() {
    let api = Api::new().await;
    let given = json!({"user_id": "ann", "permissions": ["reports:*"]});
    let key = api.make(&api.operator, "acme", given).await["key"].clone();
    let shown = api.call(&api.operator, &format!("GET {ANN}"), None).await;
    let expected = json!({
        "organization_id": "acme", "user_id": "ann", "revision": 0, "status": "active", "roles": null, "max_keys": null,
        "limits": null, "policy": null, "defaults": null,
    });
    assert_eq!((shown.status.as_u16(), &shown.body, shown.header("etag")), (200, &expected, "\"0\""));
    assert_eq!(verdict(&api, &key, "reports:write").await, "valid");

    let body = json!({"permissions": ["reports:read"], "description": "reads"});
    let put = api.send(&api.operator, &format!("PUT {READER}"), &[("If-Match", "\"0\"")], Some(body)).await;
    let expected = json!({
        "organization_id": "acme", "role": "reader", "revision": 1, "description": "reads",
        "permissions": ["reports:read"],
    });
    assert_eq!((put.status.as_u16(), &put.body, put.header("etag")), (200, &expected, "\"1\""), "{put:?}");
    assert_eq!(api.call(&api.operator, &format!("GET {READER}"), None).await.body, expected);
    let listed = api.call(&api.operator, "GET /v1/organizations/acme/roles", None).await.body;
    assert_eq!(listed, json!({"roles": [expected]}));

    let put = api.call(&api.operator, &format!("PUT {ANN}"), Some(json!({"roles": ["reader"]}))).await;
    assert_eq!((&put.body["roles"], &put.body["revision"]), (&json!(["reader"]), &json!(1)), "{put:?}");
    assert_eq!((&put.body["revoked_keys"], &put.body["complete"]), (&json!(0), &json!(true)));
    assert_eq!(verdict(&api, &key, "reports:write").await, "permission_denied");
    assert_eq!(verdict(&api, &key, "reports:read").await, "valid");

    let valid = api.call(&api.operator, "POST /v1/verify", Some(json!({"key": key}))).await.body;
    assert_eq!(valid["permissions"], json!(["reports:read"]), "a service in another language may go by it");

    // What is not named stays as it is, and null takes the cap away.
    let put = api.call(&api.operator, &format!("PUT {ANN}"), Some(json!({"status": "suspended"}))).await;
    assert_eq!((&put.body["roles"], &put.body["status"]), (&json!(["reader"]), &json!("suspended")));
    assert_eq!(verdict(&api, &key, "reports:read").await, "user_suspended");
    api.call(&api.operator, &format!("PUT {ANN}"), Some(json!({"status": "active", "roles": null}))).await;
    assert_eq!(verdict(&api, &key, "reports:write").await, "valid");

    let gone = api.call(&api.operator, &format!("PUT {ANN}"), Some(json!({"status": "offboarded"}))).await;
    assert_eq!((&gone.body["revoked_keys"], &gone.body["complete"]), (&json!(1), &json!(true)), "{gone:?}");
    assert_eq!(verdict(&api, &key, "reports:read").await, "user_suspended");
    let refused = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(json!({"user_id": "ann"}))).await;
    assert_problem(&refused, 409, "user_offboarded", "ann");
}

/// What is said of a user stands in the place of what its organization says of each, for its administrator to say.
#[tokio::test]
async fn a_user_has_limits_a_quota_and_rules_of_its_own() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["**"], &["**"]).await;
    let put_by = async |actor: &str, body: Value| api.call(actor, &format!("PUT {ANN}"), Some(body)).await;
    let put = async |body: Value| put_by(&api.operator, body).await;
    let make = async |more: Value| {
        let mut body = json!({"user_id": "ann"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(body)).await
    };
    let key = make(json!({"name": "ann-1"})).await.body;
    let said = json!({
        "max_keys": 2, "limits": {"per_day": 2}, "policy": {"name_pattern": "ann-.*"}, "defaults": {"expires_in_days": 9},
    });
    let set = put_by(&admin, said).await;
    assert_eq!(
        (set.status.as_u16(), &set.body["max_keys"], &set.body["roles"]),
        (200, &json!(2), &Value::Null),
        "{set:?}"
    );
    assert_eq!((&set.body["limits"]["per_day"], &set.body["limits"]["per_hour"]), (&json!(2), &Value::Null));
    let shown = api.call(&admin, &format!("GET {ANN}"), None).await.body;
    for field in ["max_keys", "limits", "policy", "defaults", "revision"] {
        assert_eq!(shown[field], set.body[field], "{field}");
    }
    let refused = make(json!({})).await;
    assert_problem(&refused, 422, "policy_violated", "ann-.*");
    assert_eq!((&refused.body["policy"], &refused.body["level"]), (&json!("name_pattern"), &json!("user")));
    assert_eq!(make(json!({"name": "ann-2"})).await.status, 201);
    assert_problem(&make(json!({"name": "ann-3"})).await, 409, "quota_reached", "the user already has 2 keys");
    let ask = async || {
        let asked = Some(json!({"key": key["key"], "cost": 1}));
        api.call(&api.operator, "POST /v1/verify", asked).await.body
    };
    let left = ask().await["limits_left"].clone();
    assert!(left.as_array().unwrap().iter().any(|left| left["level"] == "user" && left["limit"] == 2), "{left}");
    ask().await;
    assert_eq!(ask().await["reason"], "rate_limit_exceeded");
    // What is not named stays as it is; {} is no limit, and null what the organization says.
    let same = put(json!({"max_keys": null})).await.body;
    assert_eq!((&same["max_keys"], &same["policy"]), (&Value::Null, &set.body["policy"]));
    put(json!({"limits": {}})).await;
    assert_eq!(ask().await["valid"], true);
    let of_each = json!({"user_limits": {"per_day": 1}});
    api.call(&api.operator, "PATCH /v1/organizations/acme", Some(of_each)).await;
    assert_eq!(ask().await["valid"], true);
    let none = put(json!({"limits": null, "policy": null, "defaults": null})).await.body;
    assert_eq!((&none["limits"], &none["policy"], &none["defaults"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(ask().await["reason"], "rate_limit_exceeded");
    for (body, word) in [
        (json!({"max_keys": 1_000_000_000_001_u64}), "max_keys"),
        (json!({"limits": []}), "limits"),
        (json!({"limits": {"per_day": 0}}), "limits.per_day"),
        (json!({"policy": {"longest_life_days": 0}}), "policy longest_life_days"),
        (json!({"policy": {"longest_live_days": 1}}), "longest_live_days"),
        (json!({"defaults": {"expires_in_days": 0}}), "defaults expires_in_days"),
        (json!({"key_limits": null}), "key_limits"),
    ] {
        assert_problem(&put(body).await, 422, "invalid_field", word);
    }
}

/// The permissions of an admin key are permissions like any other.
#[tokio::test]
async fn an_administrator_without_the_role_is_none() {
    let api = Api::new().await;
    let admin = json!({"user_id": "ann", "permissions": ["keys:*", "organization:settings"]});
    let admin = api.make(&api.operator, "acme", admin).await["key"].as_str().unwrap().to_owned();
    let own = api.call(&admin, "GET /v1/self", None).await.body;
    let all_of_keys = ["keys:read", "keys:write", "keys:sensitive", "keys:verify", "organization:settings"];
    assert_eq!(own["management"], json!(all_of_keys));
    assert_eq!(own["owner_permissions"], json!(null));

    let auditor = json!({"permissions": ["keys:read"]});
    api.call(&api.operator, "PUT /v1/organizations/acme/roles/auditor", Some(auditor)).await;
    api.call(&api.operator, &format!("PUT {ANN}"), Some(json!({"roles": ["auditor"]}))).await;
    let own = api.call(&admin, "GET /v1/self", None).await.body;
    assert_eq!((&own["management"], &own["owner_permissions"]), (&json!(["keys:read"]), &json!(["keys:read"])));
    assert_eq!(api.call(&admin, "GET /v1/organizations/acme/keys", None).await.status, 200);
    for (call, body) in [
        ("POST /v1/organizations/acme/keys", json!({"user_id": "bob"})),
        (&*format!("PUT {ANN}"), json!({"roles": null})),
        ("PUT /v1/organizations/acme/roles/auditor", json!({"permissions": ["**"]})),
    ] {
        assert_problem(&api.call(&admin, call, Some(body)).await, 403, "permission_denied", "");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::new().await;
    for (call, body, status, reason, named) in [
        (format!("PUT {ANN}"), json!({"roles": ["nobody"]}), 422, "invalid_field", "nobody"),
        (format!("PUT {ANN}"), json!({"roles": ["a b"]}), 422, "invalid_field", "role"),
        (format!("PUT {ANN}"), json!({"status": "gone"}), 422, "invalid_field", "status"),
        (format!("PUT {ANN}"), json!({"status": null}), 422, "invalid_field", "status"),
        (format!("PUT {ANN}"), json!({"key_limits": null}), 422, "invalid_field", "key_limits"),
        (format!("PUT {READER}"), json!({}), 422, "invalid_field", "permissions"),
        (format!("PUT {READER}"), json!({"permissions": ["a b"]}), 422, "invalid_field", "permissions"),
        (format!("PUT {READER}"), json!({"permissions": [], "x": 1}), 422, "invalid_field", "x"),
        ("GET /v1/organizations/acme/roles/nobody".to_owned(), json!(null), 404, "not_found", "role"),
        ("PUT /v1/organizations/system/users/root".to_owned(), json!({"roles": []}), 409, "reserved", "system"),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        assert_problem(&api.call(&api.operator, &call, body).await, status, reason, named);
    }
}
