//! `POST /v1/verify`: the decision of the layers, for services that do not run keygate themselves.

use std::sync::OnceLock;

use keygate_core::check::Check;
use keygate_core::scope::ScopeSet;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::Answer;
use crate::support::world::{World, forged, make, text};

const CALL: &str = "POST /v1/verify";

impl World {
    async fn verify(&self, body: Value) -> Answer {
        self.api.call(&self.api.operator, CALL, Some(body)).await
    }

    async fn decided(&self, body: Value) -> Value {
        let answer = self.verify(body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.body
    }
}

#[tokio::test]
async fn a_valid_key_is_told_with_whose_it_is() {
    let world = World::new(100).await;
    let key = world.key.text.expose();
    let told = world.decided(json!({"key": key, "scope": "reports:read", "permission": "admin:write"})).await;
    let id = world.key.key.id.to_string();
    assert_eq!(
        told,
        json!({
            "valid": true,
            "key_id": id,
            "organization_id": "acme",
            "user_id": "ada",
            "project_id": null,
            "name": world.key.key.name.as_str(),
            "scopes": ["reports:*", "files:/a+b~c@d"],
            "permissions": ["admin:write"],
            "environment": "dev",
            "expires_at": told["expires_at"],
            "superseded": null,
            "tags": [],
            "metadata": {},
            "limits_left": [],
        })
    );
}

/// A service that asks can tell its caller what a layer would: since when the key is replaced, by which, and when it ends.
#[tokio::test]
async fn a_rotated_key_is_valid_through_its_overlap_and_told_as_replaced() {
    let world = World::new(100).await;
    let id = world.key.key.id;
    let rotated =
        world.api.call(&world.api.operator, &format!("POST /v1/keys/{id}/rotate"), Some(json!({}))).await.body;
    for body in [json!({"key": world.key.text.expose()}), json!({"key": world.key.text.expose(), "explain": true})] {
        let told = world.decided(body).await;
        assert_eq!((&told["valid"], &told["key_id"]), (&json!(true), &json!(id)));
        assert_eq!(told["superseded"]["successor_id"], rotated["new_key_id"]);
        assert_eq!(told["superseded"]["at"], rotated["successor"]["created_at"]);
        assert_eq!(told["expires_at"], rotated["overlap_expires_at"]);
        let fields: Vec<_> = told["superseded"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["at", "successor_id"], "nothing else of the other key");
    }
    let successor = world.decided(json!({"key": rotated["key"]})).await;
    assert_eq!((&successor["valid"], &successor["superseded"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn every_reason_is_told_with_200_and_nothing_else() {
    let world = World::new(100).await;
    let key = world.key.text.expose();
    let cases = [
        (json!({"key": ""}), "malformed_key"),
        (json!({"key": format!(" {key}")}), "malformed_key"),
        (json!({"key": "k".repeat(10_000)}), "malformed_key"),
        (json!({"key": "schlüssel\u{0}"}), "malformed_key"),
        (json!({"key": forged(key)}), "invalid_key"),
        (json!({"key": world.foreign}), "invalid_key"),
        (json!({"key": world.deleted}), "invalid_key"),
        (json!({"key": world.inactive}), "key_inactive"),
        (json!({"key": world.revoked}), "key_revoked"),
        (json!({"key": world.expired}), "key_expired"),
        (json!({"key": world.not_yet_valid}), "key_not_yet_valid"),
        (json!({"key": world.staging}), "environment_mismatch"),
        (json!({"key": key, "environment": "staging"}), "environment_mismatch"),
        (json!({"key": world.of_suspended_organization}), "organization_suspended"),
        (json!({"key": world.of_suspended_project}), "project_suspended"),
        (json!({"key": world.of_suspended_user}), "user_suspended"),
        (json!({"key": world.bound}), "ip_not_allowed"),
        (json!({"key": world.bound, "client_ip": "198.51.100.1"}), "ip_not_allowed"),
        (json!({"key": key, "scope": "invoices:read"}), "scope_not_authorized"),
        (json!({"key": key, "permission": "admin:read"}), "permission_denied"),
        (json!({"key": world.limited, "cost": 4}), "rate_limit_exceeded"),
    ];
    for (body, reason) in cases {
        let told = world.decided(body.clone()).await;
        assert_eq!((&told["valid"], &told["reason"]), (&json!(false), &json!(reason)), "{body}");
        assert!(told["detail"].as_str().unwrap().ends_with('.'), "{told}");
        // Of limits more is told.
        let more = usize::from(reason == "rate_limit_exceeded");
        assert_eq!(told.as_object().unwrap().len(), 3 + more, "{told}");
    }
    for body in [
        json!({"key": world.staging, "environment": "staging"}),
        json!({"key": world.bound, "client_ip": "203.0.113.9"}),
        json!({"key": world.bound, "client_ip": "::ffff:203.0.113.9"}),
        json!({"key": key, "endpoint": "GET /reports/{id}", "cost": 0}),
        json!({"key": key, "cost": 1_000_000, "explain": false, "scope": null}),
    ] {
        assert_eq!(world.decided(body.clone()).await["valid"], true, "{body}");
    }
}

#[tokio::test]
async fn a_tenant_learns_nothing_of_other_tenants_keys() {
    let world = World::new(100).await;
    let verifier = text(&world.api.manager, |new| {
        new.permissions = ScopeSet::parse(["keys:verify"]).unwrap();
    })
    .await;
    let ask = async |key: &str, explain: bool| {
        let mut answer = world.api.call(&verifier, CALL, Some(json!({"key": key, "explain": explain}))).await;
        answer.headers.remove("x-request-id");
        answer
    };
    assert_eq!(ask(&world.plain, false).await.body["valid"], true);
    let unknown = ask(&world.deleted, false).await;
    for key in [&world.of_other, &world.of_suspended_organization, &world.api.operator, &forged(&world.plain)] {
        let other = ask(key, false).await;
        assert_eq!((other.status, &other.text), (unknown.status, &unknown.text));
        assert_eq!(other.headers, unknown.headers);
    }
    // The tag that this deployment made is on both; of the rest nothing is told.
    let unknown = ask(&world.deleted, true).await;
    assert_eq!(ask(&world.of_other, true).await.text, unknown.text);
    assert!(!unknown.text.contains("other"));

    // The operator verifies all.
    assert_eq!(world.decided(json!({"key": world.of_other})).await["organization_id"], "other");
}

#[tokio::test]
async fn trouble_is_503_and_never_a_decision() {
    // Whoever asks is kept, and what is asked about is not.
    let world = World::new(100).await;
    let fresh = make(&world.api.manager, |_| {}).await;
    assert_eq!(world.decided(json!({"key": world.plain})).await["valid"], true);
    world.store.fail();
    for explain in [false, true] {
        let answer = world.verify(json!({"key": fresh.text.expose(), "explain": explain})).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (503, "store_unavailable"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.body.get("valid").is_none());
    }
    // What needs no store is decided all the same.
    assert_eq!(world.decided(json!({"key": "x"})).await["reason"], "malformed_key");
    assert_eq!(world.decided(json!({"key": forged(&world.plain)})).await["reason"], "invalid_key");
    world.store.heal();
    assert_eq!(world.decided(json!({"key": fresh.text.expose()})).await["valid"], true);
}

#[tokio::test]
async fn verifying_needs_its_permission_and_a_body_that_says_nothing_else() {
    let world = World::new(100).await;
    let body = json!({"key": world.plain});
    let refused = world.api.call(&world.plain, CALL, Some(body.clone())).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (403, "permission_denied"));
    let refused = world.api.call("", CALL, Some(body)).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (401, "missing_key"));

    let key = &world.plain;
    for (body, named) in [
        (json!({"key": key, "scopes": ["a"]}), "scopes"),
        (json!({"scope": "a"}), "key"),
        (json!({"key": key, "scope": ["a"]}), "string"),
        (json!({"key": key, "scope": ""}), "scope"),
        (json!({"key": key, "permission": "a::b"}), "scope"),
        (json!({"key": key, "environment": "Prod"}), "environment"),
        (json!({"key": key, "client_ip": "localhost"}), "IP address"),
        (json!({"key": key, "client_ip": "10.0.0.0/8"}), "IP address"),
        (json!({"key": key, "endpoint": ""}), "endpoint"),
        (json!({"key": key, "endpoint": "a\nb"}), "endpoint"),
        (json!({"key": key, "endpoint": "x".repeat(257)}), "endpoint"),
        (json!({"key": key, "cost": -1}), "cost"),
        (json!({"key": key, "cost": 1_000_001}), "cost"),
        (json!({"key": key, "cost": 1.5}), ""),
        (json!({"key": key, "explain": "yes"}), ""),
    ] {
        let answer = world.verify(body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (422, "invalid_field"), "{body}");
        assert!(answer.body["detail"].as_str().unwrap().contains(named), "{named}: {answer:?}");
    }
    let large = world.verify(json!({"key": "k".repeat(20_000)})).await;
    assert_eq!((large.status.as_u16(), large.reason()), (413, "body_too_large"), "{large:?}");
}

#[tokio::test]
async fn the_key_comes_back_in_no_answer() {
    let world = World::new(100).await;
    let key = &world.plain;
    for body in [
        json!({"key": key}),
        json!({"key": key, "explain": true}),
        json!({"key": format!("{key}x"), "explain": true}),
        json!({"key": world.revoked, "explain": true}),
        json!({"key": [key]}),
        json!({"key": {"key": key}}),
        json!({"key": key, "explain": key}),
        json!({"key": key, "cost": key}),
        json!({"key": key, "client_ip": key}),
        json!({"key": key, "environment": key}),
        json!({"key": key, "endpoint": format!("{key}\n")}),
        json!({"key": key, key: true}),
        json!(key),
        json!([key]),
    ] {
        let answer = world.verify(body.clone()).await;
        let secret = &key[key.len() - 60..key.len() - 12];
        assert!(!answer.text.contains(secret) && !format!("{:?}", answer.headers).contains(secret), "{body}");
        assert!(!answer.text.contains(&world.revoked), "{body}");
    }
}

#[tokio::test]
async fn an_explanation_has_every_check_in_its_order() {
    let world = World::new(100).await;
    let names = |told: &Value| {
        let checks = told["checks"].as_array().unwrap().clone();
        checks.into_iter().map(|check| check["check"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let valid = world.decided(json!({"key": world.plain, "explain": true})).await;
    let all: Vec<String> = names(&valid);
    let known = serde_json::to_value(Check::ALL).unwrap();
    assert_eq!(json!(all), known);
    assert_eq!(all.first().unwrap(), "format");
    assert!(valid["checks"].as_array().unwrap().iter().all(|check| check["verdict"] == "passed"), "{valid}");

    let body = json!({"key": world.bound, "environment": "prod", "scope": "a:b", "explain": true});
    let refused = world.decided(body).await;
    assert_eq!(names(&refused), all);
    assert_eq!(refused["reason"], "environment_mismatch");
    let failed: Vec<_> =
        refused["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed").collect();
    let reasons: Vec<_> = failed.iter().map(|check| check["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["environment_mismatch", "ip_not_allowed", "scope_not_authorized"]);
    assert!(failed.iter().all(|check| check["detail"].is_string() && check["remedy"].is_string()), "{failed:?}");
}

/// One world for all cases: nothing in it changes.
fn world() -> &'static (Runtime, World) {
    static WORLD: OnceLock<(Runtime, World)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(World::new(100));
        (runtime, world)
    })
}

fn texts() -> Vec<String> {
    let world = &world().1;
    let mut texts = vec![world.key.text.expose().to_owned(), forged(&world.plain), "x".to_owned()];
    texts.extend([&world.plain, &world.foreign, &world.deleted, &world.inactive, &world.revoked].map(Clone::clone));
    texts.extend([&world.expired, &world.not_yet_valid, &world.staging, &world.bound].map(Clone::clone));
    texts.extend([&world.of_suspended_organization, &world.of_suspended_project, &world.of_other].map(Clone::clone));
    texts
}

proptest! {
    #[test]
    fn what_is_explained_is_what_is_decided(
        key in select(texts()),
        environment in select(vec![None, Some("dev"), Some("staging")]),
        scope in select(vec![None, Some("reports:read"), Some("invoices:read"), Some("**")]),
        permission in select(vec![None, Some("admin:write"), Some("admin:*")]),
        client_ip in select(vec![None, Some("203.0.113.1"), Some("198.51.100.1"), Some("2001:db8::1")]),
        as_tenant in any::<bool>(),
    ) {
        let (runtime, world) = world();
        let (explained, decided) = runtime.block_on(async {
            let tenant = world.api.tenant("acme", &["keys:verify"], &[]).await;
            let caller = if as_tenant { &tenant } else { &world.api.operator };
            let mut body = json!({
                "key": key, "environment": environment, "scope": scope, "permission": permission, "client_ip": client_ip,
            });
            let decided = world.api.call(caller, CALL, Some(body.clone())).await;
            body["explain"] = json!(true);
            (world.api.call(caller, CALL, Some(body)).await, decided)
        });
        prop_assert_eq!(explained.status.as_u16(), 200);
        let mut explained = explained.body;
        let checks = explained.as_object_mut().unwrap().remove("checks").unwrap();
        prop_assert_eq!(&explained, &decided.body);
        let first = checks.as_array().unwrap().iter().find(|check| check["verdict"] == "failed");
        prop_assert_eq!(first.is_none(), explained["valid"] == true);
        prop_assert_eq!(first.map_or(&Value::Null, |check| &check["reason"]), &explained["reason"]);
    }
}
