//! Limits through the API: set, held to, and told of.

use chrono::{DateTime, Utc};
use keygate_core::store::MemoryStore;
use keygate_testkit::{FaultyStore, HeldClock};
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

const SET_UP: &str = "POST /v1/organizations";
const ACME: &str = "/v1/organizations/acme";

/// An API on whose store no window turns.
async fn api() -> Api {
    let clock = HeldClock::new();
    Api::with(MemoryStore::with_clock(clock.clone()), clock).await
}

/// A key of acme with these limits: its id and its text.
async fn key(api: &Api, user: &str, limits: Value) -> (String, String) {
    let made = api.make(&api.operator, "acme", json!({"user_id": user, "limits": limits})).await;
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("key_id"), text("key"))
}

async fn verify(api: &Api, key: &str, cost: u64) -> Value {
    let answer = api.call(&api.operator, "POST /v1/verify", Some(json!({"key": key, "cost": cost}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn shown(api: &Api, id: &str) -> Value {
    let answer = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// What is told to be left: `key minute 998 of 1000`.
fn left(told: &Value) -> Vec<String> {
    let line = |left: &Value| {
        let word = |field: &str| left[field].as_str().unwrap().to_owned();
        let resets_at: DateTime<Utc> = word("resets_at").parse().unwrap();
        assert_eq!(resets_at.timestamp_subsec_nanos(), 0, "{left}");
        assert!(resets_at.signed_duration_since(Utc::now()).num_seconds() >= -1, "{left}");
        assert_eq!(left.as_object().unwrap().len(), 5, "{left}");
        format!("{} {} {} of {}", word("level"), word("window"), left["remaining"], left["limit"])
    };
    told["limits_left"].as_array().unwrap().iter().map(line).collect()
}

#[track_caller]
fn assert_exceeded(told: &Value, violated: &[&str]) {
    assert_eq!((&told["valid"], &told["reason"]), (&json!(false), &json!("rate_limit_exceeded")), "{told}");
    assert_eq!(told["violated-policies"], json!(violated), "{told}");
    assert!(told.get("limits_left").is_none(), "{told}");
}

#[tokio::test]
async fn what_is_left_is_told_before_and_after_requests() {
    let api = api().await;
    let (id, text) = key(&api, "ada", json!({"per_minute": 6, "per_day": 100, "burst": 6})).await;
    let untouched = ["key minute 6 of 6", "key day 100 of 100", "key burst 6 of 6"];
    // To look takes nothing.
    for _ in 0..3 {
        assert_eq!(left(&shown(&api, &id).await), untouched);
        assert_eq!(left(&verify(&api, &text, 0).await), untouched);
    }
    assert_eq!(left(&verify(&api, &text, 1).await)[..2], ["key minute 5 of 6", "key day 99 of 100"]);
    assert_eq!(left(&verify(&api, &text, 3).await)[..2], ["key minute 2 of 6", "key day 96 of 100"]);
    let after = ["key minute 2 of 6", "key day 96 of 100", "key burst 2 of 6"];
    assert_eq!(left(&shown(&api, &id).await), after);
    assert_eq!(left(&verify(&api, &text, 0).await), after);

    // A request of its own is one, and is told what that has left.
    let own = async || api.call(&text, "GET /v1/self", None).await;
    for remaining in [1, 0] {
        let told = own().await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(left(&told.body)[0], format!("key minute {remaining} of 6"));
    }
    let refused = own().await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (429, "rate_limit_exceeded"), "{refused:?}");
    assert_eq!(
        left(&shown(&api, &id).await)[..2],
        ["key minute 0 of 6", "key day 94 of 100"],
        "a denial burns nothing"
    );

    let page = api.call(&api.operator, &format!("GET {ACME}/keys"), None).await;
    assert!(page.body["keys"][0].get("limits_left").is_none(), "a list does not look: {page:?}");
    let unlimited = key(&api, "ada", json!({})).await;
    assert_eq!(shown(&api, &unlimited.0).await["limits_left"], json!([]));
    assert_eq!(verify(&api, &unlimited.1, 1_000_000).await["limits_left"], json!([]));
}

#[tokio::test]
async fn the_limits_of_an_organization_are_those_of_all_its_keys_together() {
    let api = api().await;
    let asked =
        json!({"organization_id": "acme", "limits": {"per_day": 3}, "user_limits": {"per_day": 2, "fallback": "open"}});
    let made = api.call(&api.operator, SET_UP, Some(asked)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let of = |per_day: u64| json!({"per_minute": null, "per_hour": null, "per_day": per_day, "per_month": null, "burst": null});
    let mut users = of(2);
    users["fallback"] = json!("open");
    assert_eq!((&made.body["limits"], &made.body["user_limits"]), (&of(3), &users));
    assert_eq!(made.body["key_limits"], json!(null));
    assert_eq!(api.call(&api.operator, &format!("GET {ACME}"), None).await.body, made.body);

    let (id, ada) = key(&api, "ada", json!({})).await;
    let (_, adas_other) = key(&api, "ada", json!({})).await;
    let (_, bob) = key(&api, "bob", json!({})).await;
    assert_eq!(left(&verify(&api, &ada, 1).await), ["user day 1 of 2", "organization day 2 of 3"]);
    assert_eq!(left(&verify(&api, &adas_other, 1).await), ["user day 0 of 2", "organization day 1 of 3"]);
    assert_exceeded(&verify(&api, &ada, 1).await, &["user-day"]);
    assert_eq!(left(&verify(&api, &bob, 1).await), ["user day 1 of 2", "organization day 0 of 3"]);
    assert_exceeded(&verify(&api, &bob, 1).await, &["organization-day"]);
    assert_eq!(left(&shown(&api, &id).await), ["user day 0 of 2", "organization day 0 of 3"]);

    let change = async |body: Value| {
        let changed = api.call(&api.operator, &format!("PATCH {ACME}"), Some(body)).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        changed.body
    };
    let changed = change(json!({"user_limits": null})).await;
    assert_eq!((&changed["limits"], &changed["user_limits"]), (&of(3), &json!(null)));
    assert_exceeded(&verify(&api, &ada, 1).await, &["organization-day"]);
    let changed = change(json!({"limits": {"per_day": 5}})).await;
    assert_eq!((&changed["limits"], &changed["user_limits"]), (&of(5), &json!(null)));
    assert_eq!(left(&verify(&api, &ada, 1).await), ["organization day 1 of 5"], "what was used counts");
    change(json!({"limits": null})).await;
    assert_eq!(left(&verify(&api, &bob, 100).await), [""; 0]);
}

#[tokio::test]
async fn new_keys_have_the_limits_that_their_organization_says() {
    let api = api().await;
    let asked = json!({"organization_id": "acme", "key_limits": {"per_hour": 7}});
    api.call(&api.operator, SET_UP, Some(asked)).await;
    let limits = async |asked: Value| api.make(&api.operator, "acme", asked).await["limits"]["per_hour"].clone();
    assert_eq!(limits(json!({"user_id": "ada"})).await, json!(7));
    assert_eq!(limits(json!({"user_id": "ada", "limits": {"per_hour": 9}})).await, json!(9));
    assert_eq!(limits(json!({"user_id": "ada", "limits": {}})).await, json!(null));
    assert_eq!(limits(json!({"user_id": "ada", "permissions": ["keys:verify"]})).await, json!(null));
    api.call(&api.operator, &format!("PATCH {ACME}"), Some(json!({"key_limits": null}))).await;
    assert_eq!(limits(json!({"user_id": "ada"})).await, json!(10_000), "those of its tier");
}

#[tokio::test]
async fn a_cost_is_charged_in_whole_or_not_at_all() {
    let api = api().await;
    let (id, text) = key(&api, "ada", json!({"per_day": 10})).await;
    assert_eq!(left(&verify(&api, &text, 4).await), ["key day 6 of 10"]);
    let short = verify(&api, &text, 7).await;
    assert_exceeded(&short, &["day"]);
    assert!((1..=86_460).contains(&short["retry_after"].as_u64().unwrap()), "{short}");
    assert_eq!(short.as_object().unwrap().len(), 5, "{short}");
    assert_eq!(left(&shown(&api, &id).await), ["key day 6 of 10"]);

    // What is never let in is not to be tried again.
    let never = verify(&api, &text, 11).await;
    assert_exceeded(&never, &["day"]);
    assert!(never.get("retry_after").is_none() && never["detail"].as_str().unwrap().contains("never"), "{never}");

    let unsaid = api.call(&api.operator, "POST /v1/verify", Some(json!({"key": text}))).await;
    assert_eq!(left(&unsaid.body), ["key day 5 of 10"], "1, if nobody says");
    for cost in [0, 1, 5] {
        let body = json!({"key": text, "cost": cost, "explain": true});
        let explained = api.call(&api.operator, "POST /v1/verify", Some(body)).await;
        assert_eq!(explained.body["valid"], true, "{explained:?}");
        assert_eq!(left(&explained.body), ["key day 5 of 10"], "an explanation charges nothing");
    }
    for (cost, reason) in [(6, json!("rate_limit_exceeded")), (5, json!(null))] {
        let body = json!({"key": text, "cost": cost, "explain": true});
        let explained = api.call(&api.operator, "POST /v1/verify", Some(body)).await.body;
        assert_eq!(explained["reason"], reason, "{explained}");
        let last = explained["checks"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["check"], &last["reason"]), (&json!("limits"), &reason), "{last}");
        assert_eq!(last["detail"].is_string() && last["remedy"].is_string(), reason.is_string(), "{last}");
    }
    for remaining in (0..5).rev() {
        assert_eq!(left(&verify(&api, &text, 1).await), [format!("key day {remaining} of 10")], "to the last");
    }
    assert_exceeded(&verify(&api, &text, 1).await, &["day"]);
    let spent = verify(&api, &text, 0).await;
    assert_eq!((&spent["valid"], left(&spent)), (&json!(true), vec!["key day 0 of 10".to_owned()]));
}

async fn authorize(api: &Api, key: &str, query: &str) -> Answer {
    api.call(key, &format!("GET /v1/authorize{query}"), None).await
}

#[tokio::test]
async fn forward_auth_charges_the_clients_key() {
    let api = api().await;
    let (id, text) = key(&api, "ada", json!({"per_day": 10, "per_month": 100})).await;
    let admitted = authorize(&api, &text, "?cost=4").await;
    assert_eq!(admitted.status, 200, "{admitted:?}");
    assert_eq!(admitted.header("ratelimit-policy"), r#""day";q=10;w=86400, "month";q=100;w=2592000"#);
    assert!(admitted.header("ratelimit").starts_with(r#""day";r=6;t="#), "{admitted:?}");
    assert!(admitted.header("x-keygate-key-id") == id && admitted.text.is_empty());
    for (query, remaining) in [("", 5), ("/reports?cost=9", 4), ("?cost=0", 4), ("?cost=1", 3)] {
        assert_eq!(authorize(&api, &text, query).await.status, 200, "{query}");
        assert_eq!(left(&shown(&api, &id).await)[0], format!("key day {remaining} of 10"), "{query}");
    }
    for query in ["?cost=4", "?cost=4&nginx=0"] {
        let refused = authorize(&api, &text, query).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (429, "rate_limit_exceeded"), "{refused:?}");
        assert_eq!(refused.body["violated-policies"], json!(["day"]));
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=86_460).contains(&wait), "{refused:?}");
        assert_eq!(refused.header("ratelimit"), format!(r#""day";r=0;t={wait}"#));
        assert_eq!(refused.header("ratelimit-policy"), admitted.header("ratelimit-policy"));
    }
    let refused = authorize(&api, &text, "?cost=4&nginx=1").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-keygate-status")), (403, "429"), "{refused:?}");
    assert!(!refused.header("retry-after").is_empty() && !refused.header("ratelimit").is_empty(), "{refused:?}");
    let problem: Value = serde_json::from_str(refused.header("x-keygate-problem")).unwrap();
    assert_eq!(problem["violated-policies"], json!(["day"]));
    // What another check refuses is not charged.
    assert_eq!(authorize(&api, &text, "?scope=a:b").await.status, 403);
    assert_eq!(left(&shown(&api, &id).await), ["key day 3 of 10", "key month 93 of 100"]);
}

#[tokio::test]
async fn whoever_manages_keys_is_held_to_the_limits_of_their_own() {
    let api = api().await;
    let asked = json!({"user_id": "boss", "permissions": ["keys:read"], "scopes": [], "limits": {"per_hour": 2}});
    let made = api.make(&api.operator, "acme", asked).await;
    let list = async || api.call(made["key"].as_str().unwrap(), &format!("GET {ACME}/keys"), None).await;
    // A call that the key may not make is not charged.
    let refused = api.call(made["key"].as_str().unwrap(), SET_UP, Some(json!({"organization_id": "new"}))).await;
    assert_problem(&refused, 403, "permission_denied", "");
    for remaining in [1, 0] {
        let listed = list().await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.header("ratelimit-policy"), r#""hour";q=2;w=3600"#);
        assert!(listed.header("ratelimit").starts_with(&format!("\"hour\";r={remaining};t=")), "{listed:?}");
    }
    let refused = list().await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (429, "rate_limit_exceeded"), "{refused:?}");
    assert_eq!(refused.body["violated-policies"], json!(["hour"]));
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
}

#[tokio::test]
async fn while_the_store_is_not_reached_a_limit_does_as_it_says() {
    let clock = HeldClock::new();
    let store = FaultyStore::new(MemoryStore::with_clock(clock.clone()));
    let api = Api::with(store.clone(), clock).await;
    let (_, deny) = key(&api, "ada", json!({"per_day": 9})).await;
    let (id, open) = key(&api, "ada", json!({"per_day": 9, "fallback": "open"})).await;
    assert_eq!(shown(&api, &id).await["limits"]["fallback"], "open");
    for text in [&deny, &open] {
        assert_eq!(verify(&api, text, 1).await["valid"], true);
    }
    store.fail();
    let ask = async |text: &str, cost: u64| {
        api.call(&api.operator, "POST /v1/verify", Some(json!({"key": text, "cost": cost}))).await
    };
    for _ in 0..3 {
        assert_eq!(ask(&open, 9).await.body["valid"], true, "beyond the limit, as that was chosen by name");
        assert_problem(&ask(&deny, 9).await, 503, "store_unavailable", "");
        // Nor can it be said what is left.
        for text in [&deny, &open] {
            assert_problem(&ask(text, 0).await, 503, "store_unavailable", "");
        }
    }
    let unseen = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_problem(&unseen, 503, "store_unavailable", "");
    assert_problem(&api.call(&open, "GET /v1/self", None).await, 503, "store_unavailable", "");
    let figures = api.call("", "GET /metrics", None).await.text;
    let figure = |name: &str| -> u64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(&format!("keygate_limiter_{name} ")));
        line.unwrap().parse().unwrap()
    };
    assert!(figure("open_total") >= 3 && figure("unreachable_total") >= 3 && figure("failures_total") > 0, "{figures}");
    store.heal();
    assert_eq!(ask(&deny, 0).await.status, 200);
}
