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
    let expected =
        json!({"organization_id": "acme", "user_id": "ann", "revision": 0, "status": "active", "roles": null});
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
        (format!("PUT {ANN}"), json!({"limits": null}), 422, "invalid_field", "limits"),
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
