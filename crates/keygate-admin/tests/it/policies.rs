//! Policies and defaults of organizations and projects, over HTTP.

use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const ACME: &str = "PATCH /v1/organizations/acme";
const WEB: &str = "PUT /v1/organizations/acme/projects/web";
const MAKE: &str = "POST /v1/organizations/acme/keys";

fn whole(rules: Value) -> Value {
    let mut whole = json!({
        "longest_life_days": null, "required_scopes": [], "require_allowed_ips": false, "forbid_wildcards": false,
        "allowed_environments": null, "name_pattern": null,
    });
    whole.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    whole
}

#[tokio::test]
async fn a_policy_is_set_shown_held_to_and_taken_away() {
    let api = Api::new().await;
    let admin = api.tenant("acme", &["**"], &["**"]).await;
    let rules = json!({"longest_life_days": 30, "name_pattern": "web-.*"});
    let set = api.call(&api.operator, ACME, Some(json!({"policy": rules, "defaults": {"expires_in_days": 9}}))).await;
    assert_eq!((set.status.as_u16(), &set.body["policy"]), (200, &whole(rules)));
    let defaults = json!({"expires_in_days": 9, "security_tier": null, "allowed_ips": null});
    assert_eq!(set.body["defaults"], defaults);
    let shown = api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    assert_eq!((&shown.body["policy"], &shown.body["defaults"]), (&set.body["policy"], &defaults));

    let refused = api.call(&api.operator, MAKE, Some(json!({"user_id": "ada", "expires_in_days": 31}))).await;
    assert_problem(&refused, 422, "policy_violated", "within 30 days");
    assert_eq!(
        (&refused.body["policy"], &refused.body["level"]),
        (&json!("longest_life_days"), &json!("organization"))
    );
    let named = json!({"user_id": "ada", "name": "web-1"});
    let made = api.make(&api.operator, "acme", named.clone()).await;
    let one = format!("/v1/keys/{}", made["key_id"].as_str().unwrap());
    let refused = api.call(&api.operator, &format!("PATCH {one}"), Some(json!({"name": "other"}))).await;
    assert_problem(&refused, 422, "policy_violated", "web-.*");
    assert_eq!(refused.body["policy"], "name_pattern");
    // Other problems have no such words.
    let other = api.call(&api.operator, &format!("PATCH {one}"), Some(json!({"name": ""}))).await;
    assert!(other.body.get("policy").is_none() && other.body.get("level").is_none());

    assert_problem(&api.call(&admin, ACME, Some(json!({"policy": null}))).await, 403, "permission_denied", "");
    let rules = json!({"required_scopes": ["tenant"]});
    let project = json!({"status": "active", "limits": null, "policy": rules, "key_limits": {"per_day": 5}});
    let set = api.call(&admin, WEB, Some(project)).await;
    assert_eq!((&set.body["policy"], &set.body["key_limits"]["per_day"]), (&whole(rules), &json!(5)));
    let mut in_web = named.clone();
    in_web["project_id"] = json!("web");
    let refused = api.call(&api.operator, MAKE, Some(in_web.clone())).await;
    assert_problem(&refused, 422, "policy_violated", "tenant");
    assert_eq!(refused.body["level"], "project");
    // What is left out of a project stays as it is, and null takes it away.
    let same = api.call(&admin, WEB, Some(json!({"status": "active", "limits": null}))).await;
    assert_eq!((&same.body["policy"], &same.body["key_limits"]["per_day"]), (&set.body["policy"], &json!(5)));
    let none = json!({"status": "active", "limits": null, "policy": null, "key_limits": null, "defaults": null});
    let none = api.call(&admin, WEB, Some(none)).await;
    assert_eq!((&none.body["policy"], &none.body["key_limits"]), (&Value::Null, &Value::Null));
    assert_eq!(api.call(&api.operator, MAKE, Some(in_web)).await.status, 201);
    let free = api.call(&api.operator, ACME, Some(json!({"policy": null, "defaults": null}))).await;
    assert_eq!((&free.body["policy"], &free.body["defaults"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_organization_is_set_up_with_them_once() {
    let api = Api::new().await;
    let asked =
        json!({"organization_id": "new", "policy": {"forbid_wildcards": true}, "defaults": {"allowed_ips": []}});
    let once = [("Idempotency-Key", "one")];
    for status in [201, 201] {
        let made = api.send(&api.operator, "POST /v1/organizations", &once, Some(asked.clone())).await;
        assert_eq!((made.status.as_u16(), &made.body["policy"]), (status, &whole(json!({"forbid_wildcards": true}))));
    }
    let mut other = asked.clone();
    other["policy"] = json!({"forbid_wildcards": false});
    let refused = api.send(&api.operator, "POST /v1/organizations", &once, Some(other)).await;
    assert_problem(&refused, 422, "idempotency_key_reused", "");
}

#[tokio::test]
async fn what_cannot_be_a_rule_is_named() {
    let api = Api::new().await;
    for (field, word) in [
        (json!({"policy": {"longest_life_days": 0}}), "policy.longest_life_days"),
        (json!({"policy": {"longest_life_days": "3"}}), "policy.longest_life_days"),
        (json!({"policy": {"longest_live_days": 3}}), "longest_live_days"),
        (json!({"policy": {"allowed_environments": []}}), "policy.allowed_environments"),
        (json!({"policy": {"allowed_environments": ["Prod"]}}), "environment"),
        (json!({"policy": {"required_scopes": ["a::b"]}}), "required_scopes"),
        (json!({"policy": {"required_scopes": ["a:*"], "forbid_wildcards": true}}), "policy.required_scopes"),
        (json!({"policy": {"name_pattern": "("}}), "name_pattern"),
        (json!({"policy": {"name_pattern": "a{99999}"}}), "name_pattern"),
        (json!({"policy": []}), "object"),
        (json!({"defaults": {"expires_in_days": 36_501}}), "defaults.expires_in_days"),
        (json!({"defaults": {"security_tier": "low"}}), "security_tier"),
        (json!({"defaults": {"allowed_ips": ["nowhere"]}}), "allowed_ips"),
        (json!({"defaults": 7}), "object"),
    ] {
        let mut project = json!({"status": "active", "limits": null});
        project.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        for (call, body) in [(ACME, field.clone()), (WEB, project)] {
            assert_problem(&api.call(&api.operator, call, Some(body)).await, 422, "invalid_field", word);
        }
    }
    let shown = api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    assert_eq!(shown.body["revision"], 0, "what is refused changes nothing");
}
