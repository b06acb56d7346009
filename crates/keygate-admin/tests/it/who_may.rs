//! Every call of the document, made by each kind of caller. A call that is not in the table fails the test.

use std::collections::BTreeSet;

use keygate_core::actor::{Actor, ManagementPermission};
use keygate_core::manager::NewKey;
use serde_json::{Value, json};

/// What each caller is answered.
struct Row {
    /// As the document writes it.
    call: &'static str,
    body: fn(&str) -> Option<Value>,
    needs: Option<ManagementPermission>,
    /// The operator, and a tenant's administrator with the permission and no other, on what is theirs.
    operator: u16,
    tenant: u16,
    /// A tenant's administrator who may do everything, on what is another tenant's.
    foreigner: u16,
}

const NOTHING: fn(&str) -> Option<Value> = |_| None;

use ManagementPermission::{
    AuditRead, KeysImport, KeysRead, KeysSensitive, KeysVerify, KeysWrite, OrganizationSettings, OrganizationsWrite,
    UsageRead,
};

use crate::support::{Api, boss};

#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        Row { call: "POST /v1/organizations", body: |_| Some(json!({"organization_id": "new"})), needs: Some(OrganizationsWrite), operator: 201, tenant: 403, foreigner: 403 },
        Row { call: "GET /v1/organizations/{org}", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "PATCH /v1/organizations/{org}", body: |_| Some(json!({"max_keys": 100})), needs: Some(OrganizationsWrite), operator: 200, tenant: 403, foreigner: 403 },
        Row { call: "GET /v1/organizations/{org}/projects/{project}", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/users/{user}", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "PUT /v1/organizations/{org}/users/{user}", body: |_| Some(json!({"roles": []})), needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/roles", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "PUT /v1/organizations/{org}/roles/{role}", body: |_| Some(json!({"permissions": []})), needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/roles/{role}", body: NOTHING, needs: Some(KeysRead), operator: 404, tenant: 404, foreigner: 404 },
        Row { call: "DELETE /v1/organizations/{org}/roles/{role}", body: NOTHING, needs: Some(OrganizationSettings), operator: 404, tenant: 404, foreigner: 404 },
        Row { call: "PUT /v1/organizations/{org}/projects/{project}", body: |_| Some(json!({"status": "active", "limits": null})), needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/keys", body: |_| Some(json!({"user_id": "bob", "scopes": []})), needs: Some(KeysWrite), operator: 201, tenant: 201, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/keys", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/keys:bulk", body: |id| Some(json!({"operation": "deactivate", "key_ids": [id]})), needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/keys:import", body: |_| Some(json!({"raw": format!("sk_live_{}", "x".repeat(24)), "user_id": "bob", "scopes": []})), needs: Some(KeysImport), operator: 200, tenant: 403, foreigner: 403 },
        Row { call: "GET /v1/organizations/{org}/keys:export", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/keys/{key_id}", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "PATCH /v1/keys/{key_id}", body: |_| Some(json!({"name": "other"})), needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/keys/{key_id}/sensitive", body: NOTHING, needs: Some(KeysSensitive), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/keys/{key_id}/deactivate", body: NOTHING, needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/keys/{key_id}/activate", body: NOTHING, needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/keys/{key_id}/revoke", body: NOTHING, needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        // It is in use, and so is not erased by those who may.
        Row { call: "DELETE /v1/keys/{key_id}", body: NOTHING, needs: Some(KeysWrite), operator: 409, tenant: 409, foreigner: 404 },
        Row { call: "POST /v1/keys/{key_id}/rotate", body: NOTHING, needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/keys/{key_id}/rotation", body: NOTHING, needs: Some(KeysRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "PUT /v1/keys/{key_id}/rotation", body: |_| Some(json!({"interval_days": 30})), needs: Some(KeysWrite), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "DELETE /v1/keys/{key_id}/rotation", body: NOTHING, needs: Some(KeysWrite), operator: 204, tenant: 204, foreigner: 404 },
        // It was not rotated, and so has nothing that those who may could end.
        Row { call: "POST /v1/keys/{key_id}/rotation/finish", body: NOTHING, needs: Some(KeysWrite), operator: 409, tenant: 409, foreigner: 404 },
        Row { call: "GET /v1/keys/{key_id}/usage", body: NOTHING, needs: Some(UsageRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/usage", body: NOTHING, needs: Some(UsageRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/keys/{key_id}/anomalies", body: NOTHING, needs: Some(UsageRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/anomalies", body: NOTHING, needs: Some(UsageRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/audit", body: NOTHING, needs: Some(AuditRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/audit/verification", body: NOTHING, needs: Some(AuditRead), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/webhooks", body: NOTHING, needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/webhooks", body: |_| Some(json!({"url": "https://example.com/hook"})), needs: Some(OrganizationSettings), operator: 201, tenant: 201, foreigner: 404 },
        Row { call: "DELETE /v1/organizations/{org}/webhooks", body: NOTHING, needs: Some(OrganizationSettings), operator: 204, tenant: 204, foreigner: 404 },
        // It has no webhook.
        Row { call: "DELETE /v1/organizations/{org}/webhooks/{webhook_id}", body: NOTHING, needs: Some(OrganizationSettings), operator: 404, tenant: 404, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/webhooks/{webhook_id}/secret", body: NOTHING, needs: Some(OrganizationSettings), operator: 404, tenant: 404, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/webhooks:test", body: NOTHING, needs: Some(OrganizationSettings), operator: 404, tenant: 404, foreigner: 404 },
        Row { call: "GET /v1/organizations/{org}/notices", body: NOTHING, needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "POST /v1/organizations/{org}/notices:redrive", body: NOTHING, needs: Some(OrganizationSettings), operator: 200, tenant: 200, foreigner: 404 },
        Row { call: "GET /v1/self", body: NOTHING, needs: None, operator: 200, tenant: 200, foreigner: 200 },
        // No caller's key was rotated; rotation.rs has one that was.
        Row { call: "POST /v1/self/successor", body: NOTHING, needs: None, operator: 409, tenant: 409, foreigner: 409 },
        // Of another tenant's key it says that it is not valid.
        Row { call: "POST /v1/verify", body: |_| Some(json!({"key": "nonsense"})), needs: Some(KeysVerify), operator: 200, tenant: 200, foreigner: 200 },
        Row { call: "GET /v1/authorize", body: NOTHING, needs: None, operator: 200, tenant: 200, foreigner: 200 },
    ]
}

/// An API with a key of acme that a call is about.
struct Place {
    api: Api,
    key_id: String,
}

impl Place {
    async fn new() -> Self {
        let api = Api::new().await;
        let mut new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
        // What everybody may grant, as the key is made active again by those who may grant nothing.
        new.scopes = Some(keygate_core::scope::ScopeSet::empty());
        let key = api.manager.create(&Actor::from(boss()), new).await.unwrap().key;
        Self { api, key_id: key.id.to_string() }
    }

    async fn status(&self, key: &str, row: &Row) -> u16 {
        let call = row.call.replace("{org}", "acme").replace("{key_id}", &self.key_id).replace("{project}", "web");
        let call = call.replace("{user}", "ann").replace("{role}", "reader");
        let call = call.replace("{webhook_id}", "wh_5f0c8a52b7d94e6f8a3b1c2d3e4f5a6b");
        let answer = self.api.call(key, &call, (row.body)(&self.key_id)).await;
        let secrets = ["digest", "verifier", "hmac"];
        assert!(!secrets.iter().any(|word| answer.body.to_string().contains(word)), "{call}: {answer:?}");
        if !answer.status.is_success() {
            assert!(!answer.reason().is_empty(), "{call}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json", "{call}");
        }
        assert_eq!(answer.header("cache-control"), "no-store", "{call}: {answer:?}");
        answer.status.as_u16()
    }
}

#[tokio::test]
async fn the_table_has_every_call_of_the_document() {
    let api = Api::new().await;
    let document = api.call("", "GET /openapi.json", None).await.body;
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<String> = paths
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/"))
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        // Forward-auth is asked with whatever method and path a proxy has; authorize.rs has them.
        .filter(|call| !call.contains("/v1/authorize") || call == "GET /v1/authorize")
        .collect();
    let tabled: BTreeSet<String> = table().iter().map(|row| row.call.to_owned()).collect();
    assert_eq!(described, tabled);
}

#[tokio::test]
async fn each_caller_is_answered_as_the_table_says() {
    for row in table() {
        let place = Place::new().await;
        let tell = |who: &str| format!("{who}: {}", row.call);

        assert_eq!(place.status("", &row).await, 401, "{}", tell("nobody"));
        assert_eq!(place.status("mcp_dev_nonsense", &row).await, 401, "{}", tell("a malformed key"));

        let weak = place.api.tenant("acme", &[], &[]).await;
        let every_other: Vec<_> = ManagementPermission::ALL
            .into_iter()
            .filter(|permission| Some(*permission) != row.needs)
            .map(ManagementPermission::as_str)
            .collect();
        let weaker = place.api.tenant("acme", &every_other, &["**"]).await;
        let refused = if row.needs.is_some() { 403 } else { row.tenant };
        assert_eq!(place.status(&weak, &row).await, refused, "{}", tell("a key without permissions"));
        assert_eq!(place.status(&weaker, &row).await, refused, "{}", tell("a key with every other permission"));

        let foreigner = place.api.tenant("other", &["**"], &["**"]).await;
        assert_eq!(place.status(&foreigner, &row).await, row.foreigner, "{}", tell("another tenant"));

        let needed: Vec<_> = row.needs.iter().map(|permission| permission.as_str()).collect();
        let tenant = place.api.tenant("acme", &needed, &[]).await;
        assert_eq!(place.status(&tenant, &row).await, row.tenant, "{}", tell("a tenant"));

        // Another place: what the tenant did may have been done for good.
        let place = Place::new().await;
        assert_eq!(place.status(&place.api.operator, &row).await, row.operator, "{}", tell("the operator"));
    }
}

#[tokio::test]
async fn another_tenants_key_is_answered_like_one_that_does_not_exist() {
    let place = Place::new().await;
    let foreigner = place.api.tenant("other", &["**"], &["**"]).await;
    let absent = keygate_testkit::sample::record(&"acme".parse().unwrap(), &"bob".parse().unwrap()).key.id;
    for row in table().iter().filter(|row| row.call.contains("{key_id}")) {
        let about = |id: &str| (row.call.replace("{key_id}", id), (row.body)(id));
        let (call, body) = about(&place.key_id);
        let foreign = place.api.call(&foreigner, &call, body).await;
        let (call, body) = about(&absent.to_string());
        let nothing = place.api.call(&foreigner, &call, body).await;
        assert_eq!((foreign.status, &foreign.body), (nothing.status, &nothing.body), "{}", row.call);
    }
    // In bulk, too: one by one, in an organization of the caller's own.
    let body = json!({"operation": "revoke", "key_ids": [place.key_id, absent.to_string()]});
    let outcome = place.api.call(&foreigner, "POST /v1/organizations/other/keys:bulk", Some(body)).await;
    let reasons: Vec<_> = outcome.body["failed"].as_array().unwrap().iter().map(|one| one["reason"].clone()).collect();
    assert_eq!(reasons, ["not_found", "not_found"]);
    assert_eq!(outcome.body["successful"], json!([]));
}
