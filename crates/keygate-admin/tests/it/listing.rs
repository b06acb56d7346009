//! Lists of keys.

use std::time::Duration;

use keygate_core::store::MemoryStore;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api};

const LIST: &str = "GET /v1/organizations/acme/keys";

async fn list(api: &Api, query: &str) -> Answer {
    let listed = api.call(&api.operator, &format!("{LIST}{query}"), None).await;
    assert_eq!(listed.status, 200, "{query} {listed:?}");
    assert_eq!(listed.header("cache-control"), "no-store");
    listed
}

fn names(page: &Answer) -> Vec<&str> {
    page.body["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect()
}

/// Five keys, made a second apart, the first of which are `k0` and `k1`.
async fn five() -> (Api, HeldClock, Vec<Value>) {
    let clock = HeldClock::new();
    let api = Api::with(MemoryStore::new(), clock.clone()).await;
    let mut keys = Vec::new();
    for (nth, asked) in [
        json!({"user_id": "ada", "project_id": "web", "tags": ["ci", "nightly"]}),
        json!({"user_id": "ada", "environment": "prod", "expires_in_days": 3}),
        json!({"user_id": "bob", "project_id": "web", "expires_at": null}),
        json!({"user_id": "bob", "tags": ["ci"], "expires_in_days": 10}),
        json!({"user_id": "bob", "expires_in_days": 1}),
    ]
    .into_iter()
    .enumerate()
    {
        clock.advance(Duration::from_secs(1));
        let mut asked = asked;
        asked["name"] = json!(format!("k{nth}"));
        keys.push(api.make(&api.operator, "acme", asked).await);
    }
    api.make(&api.operator, "globex", json!({"user_id": "ada", "name": "foreign"})).await;
    (api, clock, keys)
}

#[tokio::test]
async fn keys_are_listed_newest_first_as_they_are_shown() {
    let (api, _, keys) = five().await;
    let page = list(&api, "").await;
    assert_eq!(names(&page), ["k4", "k3", "k2", "k1", "k0"]);
    assert_eq!(page.body["next_cursor"], json!(null));
    for (listed, made) in page.body["keys"].as_array().unwrap().iter().zip(keys.iter().rev()) {
        let shown = api.call(&api.operator, &format!("GET /v1/keys/{}", made["key_id"].as_str().unwrap()), None).await;
        assert_eq!(*listed, shown.record());
    }
    assert_eq!(list(&api, "").await.text, page.text);
    let none = api.call(&api.operator, "GET /v1/organizations/nobody/keys", None).await;
    assert_eq!(none.body, json!({"keys": [], "unreadable_key_ids": [], "next_cursor": null}));
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_repeat() {
    let (api, _, _) = five().await;
    for limit in 1..=6 {
        let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = list(&api, &format!("?limit={limit}{cursor}")).await;
            all.extend(names(&page).into_iter().map(ToOwned::to_owned));
            assert!(names(&page).len() <= limit);
            pages += 1;
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
            assert!(pages <= 6);
        }
        assert_eq!(all, ["k4", "k3", "k2", "k1", "k0"], "limit {limit}");
    }
}

#[tokio::test]
async fn a_list_holds_what_its_filters_admit() {
    let (api, clock, keys) = five().await;
    let id = |nth: usize| keys[nth]["key_id"].as_str().unwrap();
    api.call(&api.operator, &format!("POST /v1/keys/{}/deactivate", id(2)), None).await;
    api.call(&api.operator, &format!("POST /v1/keys/{}/revoke", id(3)), None).await;
    clock.advance(Duration::from_secs(2 * 86_400));
    for (query, expected) in [
        ("?status=active", &["k1", "k0"][..]),
        ("?status=inactive", &["k2"]),
        ("?status=revoked", &["k3"]),
        ("?status=expired", &["k4"]),
        ("?user_id=ada", &["k1", "k0"]),
        ("?user_id=nobody", &[]),
        ("?project_id=web", &["k2", "k0"]),
        ("?tag=ci", &["k3", "k0"]),
        ("?environment=prod", &["k1"]),
        ("?environment=dev&user_id=ada", &["k0"]),
        ("?expiring_within_days=1", &["k1"]),
        ("?expiring_within_days=36500", &["k1", "k0"]),
        ("?user_id=bob&project_id=web&status=inactive&limit=1000", &["k2"]),
        ("?", &["k4", "k3", "k2", "k1", "k0"]),
    ] {
        assert_eq!(names(&list(&api, query).await), expected, "{query}");
    }
}

#[tokio::test]
async fn a_parameter_that_cannot_be_is_named() {
    let api = Api::new().await;
    for (query, word) in [
        ("colour=red", "colour"),
        ("unused_for_days=0", "unused_for_days"),
        ("unused_for_days=36501", "unused_for_days"),
        ("unused_for_days=-1", "unused_for_days"),
        ("organization_id=globex", "organization_id"),
        ("status=asleep", "status"),
        ("status=", "status"),
        ("status=active&status=revoked", "status"),
        ("user_id=a%20b", "user_id"),
        ("user_id=", "user_id"),
        ("project_id=%2F", "project_id"),
        ("tag=a%20b", "tag"),
        ("environment=Prod", "environment"),
        ("expiring_within_days=0", "expiring_within_days"),
        ("expiring_within_days=36501", "expiring_within_days"),
        ("expiring_within_days=-1", "expiring_within_days"),
        ("expiring_within_days=99999999999999999999", "expiring_within_days"),
        ("expiring_within_days=soon", "expiring_within_days"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=18446744073709551616", "limit"),
        ("cursor=", "cursor"),
        ("cursor=7", "cursor"),
        ("cursor=01933B0E-8F1C-7C3A-9D55-0A1B2C3D4E5F", "cursor"),
        ("cursor=%FF", "cursor"),
    ] {
        let refused = api.call(&api.operator, &format!("{LIST}?{query}"), None).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{query} {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(word), "{query} {refused:?}");
    }
}

#[tokio::test]
async fn a_tenant_lists_its_own_keys_alone() {
    let (api, _, keys) = five().await;
    let reader = api.tenant("globex", &["keys:read"], &[]).await;
    let own = api.call(&reader, "GET /v1/organizations/globex/keys", None).await;
    assert_eq!(own.body["keys"].as_array().unwrap().len(), 2);
    let foreign = api.call(&reader, LIST, None).await;
    let absent = api.call(&reader, "GET /v1/organizations/nobody/keys", None).await;
    assert_eq!((foreign.status.as_u16(), foreign.reason()), (404, "not_found"));
    assert_eq!(foreign.text, absent.text);
    // Another organization's key as a cursor is a place in time, and shows nothing of that organization.
    let cursor = keys[0]["key_id"].as_str().unwrap();
    let after = api.call(&reader, &format!("GET /v1/organizations/globex/keys?cursor={cursor}"), None).await;
    assert_eq!(after.body, json!({"keys": [], "unreadable_key_ids": [], "next_cursor": null}));
    let writer = api.tenant("acme", &["keys:write"], &["**"]).await;
    let refused = api.call(&writer, LIST, None).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (403, "permission_denied"));
}
