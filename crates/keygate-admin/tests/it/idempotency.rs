//! Requests that are sent again.

use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use serde_json::{Value, json};

use crate::support::{Answer, Api};

const MAKE: &str = "POST /v1/organizations/acme/keys";

async fn send(api: &Api, key: &str, call: &str, name: &str, body: Value) -> Answer {
    api.send(key, call, &[("Idempotency-Key", name)], Some(body)).await
}

async fn count(api: &Api) -> usize {
    let page = api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await;
    page.body["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_request_that_is_sent_again_makes_no_second_key_and_shows_no_secret() {
    let api = Api::new().await;
    let asked = json!({"user_id": "ada", "metadata": {"a": 1, "b": 2}});
    let made = send(&api, &api.operator, MAKE, "one", asked.clone()).await;
    assert_eq!((made.status.as_u16(), made.header("idempotent-replayed")), (201, ""), "{made:?}");
    assert!(made.body["key"].is_string());
    // In quotes it is the same name, and in another order the same request.
    let turned = json!({"metadata": {"b": 2, "a": 1}, "user_id": "ada"});
    for (name, asked) in [("one", asked.clone()), ("\"one\"", asked.clone()), ("one", turned)] {
        let again = send(&api, &api.operator, MAKE, name, asked).await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, "true"), "{again:?}");
        let mut expected = made.body.clone();
        expected["key"] = json!(null);
        assert_eq!(again.body, expected);
        for header in ["location", "etag", "content-type", "cache-control"] {
            assert_eq!(again.header(header), made.header(header));
        }
    }
    assert_eq!(count(&api).await, 1);
    let other = send(&api, &api.operator, MAKE, "two", asked.clone()).await;
    assert_ne!(other.body["key_id"], made.body["key_id"]);
    let plain = api.call(&api.operator, MAKE, Some(asked)).await;
    assert!(plain.body["key"].is_string());
    assert_eq!(count(&api).await, 3);
}

#[tokio::test]
async fn a_replay_shows_the_key_as_it_is_now_and_one_that_was_erased_is_not_made_again() {
    let api = Api::new().await;
    let asked = json!({"user_id": "ada"});
    let made = send(&api, &api.operator, MAKE, "one", asked.clone()).await;
    let id = made.body["key_id"].as_str().unwrap();
    api.call(&api.operator, &format!("POST /v1/keys/{id}/revoke"), None).await;
    let again = send(&api, &api.operator, MAKE, "one", asked.clone()).await;
    assert_eq!((&again.body["status"], again.header("etag")), (&json!("revoked"), "\"2\""));
    api.call(&api.operator, &format!("DELETE /v1/keys/{id}"), None).await;
    let gone = send(&api, &api.operator, MAKE, "one", asked).await;
    assert_eq!((gone.status.as_u16(), gone.reason()), (404, "not_found"));
    assert_eq!(count(&api).await, 0);
}

#[tokio::test]
async fn another_request_under_the_same_name_is_refused() {
    let api = Api::new().await;
    send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada"})).await;
    for other in [json!({"user_id": "bob"}), json!({"user_id": "ada", "expires_at": null})] {
        let refused = send(&api, &api.operator, MAKE, "one", other).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "idempotency_key_reused"), "{refused:?}");
    }
    assert_eq!(count(&api).await, 1);
}

#[tokio::test]
async fn names_are_each_callers_own() {
    let api = Api::new().await;
    let first = api.tenant("acme", &["keys:write"], &["**"]).await;
    let second = api.tenant("acme", &["keys:write"], &["**"]).await;
    let other = api.tenant("globex", &["keys:write"], &["**"]).await;
    let mut made = Vec::new();
    for (key, call) in [(&first, MAKE), (&second, MAKE), (&other, "POST /v1/organizations/globex/keys")] {
        let answer = send(&api, key, call, "one", json!({"user_id": "ada"})).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (201, ""));
        made.push(answer.body["key_id"].clone());
    }
    made.dedup();
    assert_eq!(made.len(), 3);
    let foreign = send(&api, &other, MAKE, "one", json!({"user_id": "ada"})).await;
    assert_eq!((foreign.status.as_u16(), foreign.reason()), (404, "not_found"));
}

#[tokio::test]
async fn what_was_refused_may_be_put_right_under_the_same_name() {
    let api = Api::new().await;
    let refused = send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada", "limits": {"burst": 1}})).await;
    assert_eq!(refused.status, 422);
    let made = send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada"})).await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test]
async fn a_name_that_cannot_be_is_refused_before_anything_is_made() {
    let api = Api::new().await;
    let long = "x".repeat(256);
    for call in [MAKE, "POST /v1/organizations"] {
        for name in ["", "\"\"", "\"a", "a b", "\"a\";q=1", &long] {
            let refused = send(&api, &api.operator, call, name, json!({"user_id": "ada"})).await;
            assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{name} {refused:?}");
            assert!(refused.body["detail"].as_str().unwrap().contains("Idempotency-Key"), "{refused:?}");
        }
        let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
        let refused = api.send(&api.operator, call, &twice, Some(json!({"user_id": "ada"}))).await;
        assert_eq!(refused.status, 422);
    }
    assert_eq!(count(&api).await, 0);
}

#[tokio::test]
async fn an_answer_that_was_lost_on_the_way_from_the_store_is_no_second_key() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    assert_eq!(count(&api).await, 0);
    store.lose_answers();
    let lost = send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada"})).await;
    assert_eq!((lost.status.as_u16(), lost.header("retry-after")), (503, "1"), "{lost:?}");
    store.heal();
    let again = send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada"})).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(count(&api).await, 1);
}

#[tokio::test]
async fn at_the_same_moment_one_answer_has_the_key() {
    let api = Api::new().await;
    let answers = futures_util::future::join_all(
        (0..8).map(|_| send(&api, &api.operator, MAKE, "one", json!({"user_id": "ada"}))),
    )
    .await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.body["key"].is_string()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count(), 7);
    assert_eq!(count(&api).await, 1);
}

#[tokio::test]
async fn an_organization_is_set_up_once() {
    const SET_UP: &str = "POST /v1/organizations";
    let api = Api::new().await;
    let asked =
        json!({"organization_id": "acme", "max_keys": 5, "limits": {"per_day": 5}, "key_limits": {"per_day": 1}});
    let made = send(&api, &api.operator, SET_UP, "one", asked.clone()).await;
    assert_eq!((made.status.as_u16(), made.header("idempotent-replayed")), (201, ""), "{made:?}");
    assert_eq!(made.header("location"), "/v1/organizations/acme");
    let again = send(&api, &api.operator, SET_UP, "\"one\"", asked.clone()).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, "true"), "{again:?}");
    assert_eq!((&again.body, again.header("etag")), (&made.body, made.header("etag")));
    for (field, value) in [
        ("max_keys", json!(6)),
        ("limits", json!({"per_day": 6})),
        ("limits", json!({"per_day": 5, "fallback": "open"})),
        ("user_limits", json!({"per_day": 5})),
        ("key_limits", json!(null)),
    ] {
        let mut other = asked.clone();
        other[field] = value;
        let other = send(&api, &api.operator, SET_UP, "one", other).await;
        assert_eq!((other.status.as_u16(), other.reason()), (422, "idempotency_key_reused"), "{field}");
    }
    let renamed = send(&api, &api.operator, SET_UP, "two", asked).await;
    assert_eq!((renamed.status.as_u16(), renamed.reason()), (409, "already_exists"));
}
