//! Organizations through the API.

use serde_json::json;

use crate::support::Api;

#[tokio::test]
async fn an_organization_is_set_up_shown_and_changed() {
    let api = Api::new().await;
    let created = api
        .call(&api.operator, "POST /v1/organizations", Some(json!({"organization_id": "acme", "max_keys": 5})))
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["max_keys"], 5);

    let again = api.call(&api.operator, "POST /v1/organizations", Some(json!({"organization_id": "acme"}))).await;
    assert_eq!((again.status.as_u16(), again.reason()), (409, "already_exists"));

    let shown = api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    assert_eq!(shown.body, created.body);
    let tag = shown.header("etag").to_owned();

    let suspend = Some(json!({"status": "suspended", "max_keys": null}));
    let headers = [("If-Match", tag.as_str())];
    let changed = api.send(&api.operator, "PATCH /v1/organizations/acme", &headers, suspend.clone()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!((&changed.body["status"], &changed.body["max_keys"]), (&json!("suspended"), &json!(null)));
    let late = api.send(&api.operator, "PATCH /v1/organizations/acme", &headers, suspend).await;
    assert_eq!((late.status.as_u16(), late.reason()), (412, "revision_conflict"));
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    let api = Api::new().await;
    let body = json!({"organization_id": "acme", "plan": "gold"});
    let refused = api.call(&api.operator, "POST /v1/organizations", Some(body)).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"));
    assert!(refused.body["detail"].as_str().unwrap().contains("plan"), "{refused:?}");
}

#[tokio::test]
async fn a_tenant_sees_its_own_organization_and_sets_up_none() {
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["**"], &["**"]).await;
    assert_eq!(api.call(&tenant, "GET /v1/organizations/acme", None).await.status, 200);
    let foreign = api.call(&tenant, "GET /v1/organizations/other", None).await;
    assert_eq!((foreign.status.as_u16(), foreign.reason()), (404, "not_found"));
    let refused = api.call(&tenant, "POST /v1/organizations", Some(json!({"organization_id": "new"}))).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (403, "permission_denied"));
}
