//! Keys rotated, by hand and by a schedule, and their successors handed over.

use std::time::Duration;

use keygate_core::store::MemoryStore;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem, boss};

const DAY: Duration = Duration::from_secs(86_400);
const ABSENT: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

/// An API in which time stands still, at the first of January.
async fn place() -> (Api, HeldClock) {
    let clock = HeldClock::new();
    (Api::with(MemoryStore::new(), clock.clone()).await, clock)
}

/// A key of acme with this beside its owner: its id and its text.
async fn made(api: &Api, asked: Value) -> (String, String) {
    let mut new = json!({"user_id": "ada"});
    new.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let made = api.make(&api.operator, "acme", new).await;
    (word(&made["key_id"]), word(&made["key"]))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn rotated(api: &Api, id: &str, asked: Option<Value>) -> Answer {
    let rotated = api.call(&api.operator, &format!("POST /v1/keys/{id}/rotate"), asked).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    rotated
}

async fn used(api: &Api, key: &str) -> Answer {
    api.call(key, "GET /v1/self", None).await
}

async fn claimed(api: &Api, key: &str) -> Answer {
    api.call(key, "POST /v1/self/successor", None).await
}

async fn status(api: &Api, id: &str) -> Answer {
    let shown = api.call(&api.operator, &format!("GET /v1/keys/{id}/rotation"), None).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.header("etag"), format!("\"{}\"", shown.body["revision"]));
    shown
}

#[tokio::test]
async fn a_key_and_its_successor_are_both_good_until_the_overlap_is_over() {
    let (api, clock) = place().await;
    let (id, old) = made(&api, json!({"name": "nightly", "scopes": ["a:b"], "expires_in_days": 90})).await;
    clock.advance(DAY);
    let rotation = rotated(&api, &id, Some(json!({"overlap_days": 3}))).await;
    assert_eq!(rotation.header("cache-control"), "no-store");
    let (new_id, new) = (word(&rotation.body["new_key_id"]), word(&rotation.body["key"]));
    assert_eq!(
        (&rotation.body["old_key_id"], &rotation.body["overlap_expires_at"]),
        (&json!(id), &json!("2026-01-05T00:00:00Z"))
    );
    let successor = &rotation.body["successor"];
    for (field, expected) in [
        ("key_id", json!(new_id)),
        ("name", json!("nightly")),
        ("scopes", json!(["a:b"])),
        ("expires_at", json!("2026-04-02T00:00:00Z")),
        ("lineage", json!({"root": id, "generation": 1})),
        ("predecessor_id", json!(id)),
        ("superseded", json!(null)),
    ] {
        assert_eq!(successor[field], expected, "{field}");
    }
    let kept = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_eq!(kept.body["superseded"], json!({"successor_id": new_id, "at": "2026-01-02T00:00:00Z"}));
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{new_id}"), None).await.record(), *successor);

    // Whoever still uses the old key is told so by every answer, and by which key it is replaced.
    for call in ["GET /v1/self", "GET /v1/authorize"] {
        let told = api.call(&old, call, None).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.header("deprecation"), "@1767312000");
        assert_eq!(told.header("sunset"), "Mon, 05 Jan 2026 00:00:00 GMT");
        assert_eq!(told.header("link"), format!("<urn:uuid:{new_id}>; rel=\"successor-version\""));
        let quiet = api.call(&new, call, None).await;
        assert_eq!(quiet.status, 200, "{quiet:?}");
        assert!(["deprecation", "sunset", "link"].iter().all(|name| quiet.header(name).is_empty()), "{quiet:?}");
    }

    clock.advance(DAY * 3);
    assert_problem(&used(&api, &old).await, 401, "key_expired", "");
    assert_eq!(used(&api, &new).await.body["key_id"], new_id);
}

#[tokio::test]
async fn the_overlap_is_what_is_asked_for_or_what_the_schedule_says_or_a_week() {
    let (api, _clock) = place().await;
    let scheduled = json!({"rotation": {"interval_days": 30, "overlap_days": 2}});
    for (new, asked, expected) in [
        (json!({}), None, "2026-01-08T00:00:00Z"),
        (json!({}), Some(json!({})), "2026-01-08T00:00:00Z"),
        (json!({}), Some(json!(null)), "2026-01-08T00:00:00Z"),
        (json!({}), Some(json!({"overlap_days": null})), "2026-01-08T00:00:00Z"),
        (scheduled.clone(), None, "2026-01-03T00:00:00Z"),
        (scheduled, Some(json!({"overlap_days": 9})), "2026-01-10T00:00:00Z"),
        (json!({"expires_in_days": 5}), Some(json!({"overlap_days": 30})), "2026-01-06T00:00:00Z"),
        (json!({"expires_at": null}), Some(json!({"overlap_days": 365})), "2027-01-01T00:00:00Z"),
    ] {
        let (id, _) = made(&api, new.clone()).await;
        let rotation = rotated(&api, &id, asked.clone()).await;
        assert_eq!(rotation.body["overlap_expires_at"], expected, "{new} {asked:?}");
        // Of ada's ten keys.
        for id in [id, word(&rotation.body["new_key_id"])] {
            api.call(&api.operator, &format!("POST /v1/keys/{id}/revoke?wait=false"), None).await;
        }
    }
}

#[tokio::test]
async fn without_an_overlap_the_old_key_is_revoked_at_once() {
    let (api, _clock) = place().await;
    let (id, old) = made(&api, json!({"hand_over": true})).await;
    assert_eq!(used(&api, &old).await.status, 200);
    let rotation = rotated(&api, &id, Some(json!({"overlap_days": 0}))).await;
    assert_problem(&used(&api, &old).await, 401, "key_revoked", "");
    assert_problem(&claimed(&api, &old).await, 401, "key_revoked", "");
    assert_eq!(used(&api, &word(&rotation.body["key"])).await.status, 200);
    let kept = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_eq!(
        (&kept.body["status"], &kept.body["status_reason"]),
        (&json!("revoked"), &json!("rotated without an overlap"))
    );
}

#[tokio::test]
async fn a_key_is_rotated_once_and_a_second_request_is_told_its_successor() {
    let (api, _clock) = place().await;
    let (id, _) = made(&api, json!({})).await;
    let first = rotated(&api, &id, None).await;
    let successor = word(&first.body["new_key_id"]);
    let rotate = format!("POST /v1/keys/{id}/rotate");
    for asked in [None, Some(json!({"overlap_days": 0}))] {
        let refused = api.call(&api.operator, &rotate, asked).await;
        assert_problem(&refused, 409, "key_superseded", &successor);
        assert_eq!(refused.body["title"], "Rotated already");
    }
    assert_eq!(rotated(&api, &successor, None).await.body["successor"]["lineage"]["generation"], 2);
    let page = api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await;
    assert_eq!(page.body["keys"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_no_second_rotation_and_shows_no_secret() {
    let (api, _clock) = place().await;
    let (id, _) = made(&api, json!({})).await;
    let rotate = format!("POST /v1/keys/{id}/rotate");
    let send = async |name: &str, asked: Option<Value>| {
        api.send(&api.operator, &rotate, &[("Idempotency-Key", name)], asked).await
    };
    let first = send("one", Some(json!({"overlap_days": 3}))).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (200, ""), "{first:?}");
    assert!(first.body["key"].is_string());
    for name in ["one", "\"one\""] {
        let again = send(name, Some(json!({"overlap_days": 3}))).await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, "true"), "{again:?}");
        let mut expected = first.body.clone();
        expected["key"] = json!(null);
        assert_eq!(again.body, expected);
    }
    assert_problem(&send("one", None).await, 422, "idempotency_key_reused", "another request");
    let successor = word(&first.body["new_key_id"]);
    assert_problem(&send("two", Some(json!({"overlap_days": 3}))).await, 409, "key_superseded", &successor);
    assert_problem(&send("", None).await, 422, "invalid_field", "Idempotency-Key");
}

#[tokio::test]
async fn superseded_keys_are_not_without_number() {
    let (api, _clock) = place().await;
    let (first, _) = made(&api, json!({})).await;
    let second = word(&rotated(&api, &first, None).await.body["new_key_id"]);
    let third = word(&rotated(&api, &second, None).await.body["new_key_id"]);
    let refused = api.call(&api.operator, &format!("POST /v1/keys/{third}/rotate"), None).await;
    assert_problem(&refused, 409, "still_overlapping", "two earlier keys");
    api.call(&api.operator, &format!("POST /v1/keys/{first}/rotation/finish"), None).await;
    rotated(&api, &third, None).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_not_rotated() {
    let (api, clock) = place().await;
    let (inactive, revoked, ended) = (
        made(&api, json!({})).await.0,
        made(&api, json!({})).await.0,
        made(&api, json!({"expires_in_days": 1})).await.0,
    );
    api.call(&api.operator, &format!("POST /v1/keys/{inactive}/deactivate"), None).await;
    api.call(&api.operator, &format!("POST /v1/keys/{revoked}/revoke"), None).await;
    clock.advance(DAY);
    for (id, status, reason, word) in [
        (&*inactive, 409, "key_not_active", "inactive"),
        (&ended, 409, "key_not_active", "expired"),
        (&revoked, 409, "key_revoked", "final"),
        (ABSENT, 404, "not_found", "no such key"),
    ] {
        let refused = api.call(&api.operator, &format!("POST /v1/keys/{id}/rotate"), None).await;
        assert_problem(&refused, status, reason, word);
    }
}

#[tokio::test]
async fn only_who_may_grant_all_that_a_key_holds_rotates_it() {
    let api = Api::new().await;
    let (id, _) = made(&api, json!({"scopes": ["a:b"]})).await;
    let rotate = format!("POST /v1/keys/{id}/rotate");
    let weak = api.tenant("acme", &["keys:write"], &["a:c"]).await;
    assert_problem(&api.call(&weak, &rotate, None).await, 403, "not_grantable", "a:b");
    let strong = api.tenant("acme", &["keys:write"], &["a:*"]).await;
    assert_eq!(api.call(&strong, &rotate, None).await.status, 200);
}

#[tokio::test]
async fn a_body_that_cannot_be_names_its_field_and_changes_nothing() {
    let (api, _clock) = place().await;
    let (id, _) = made(&api, json!({})).await;
    let before = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.record();
    for (asked, word) in [
        (json!({"overlap_days": -1}), "overlap_days"),
        (json!({"overlap_days": 366}), "overlap_days"),
        (json!({"overlap_days": u32::MAX}), "overlap_days"),
        (json!({"overlap_days": u64::MAX}), "overlap_days"),
        (json!({"overlap_days": 1.5}), "overlap_days"),
        (json!({"overlap_days": "7"}), "overlap_days"),
        (json!({"overlap": 7}), "overlap"),
        (json!([7]), "object"),
    ] {
        let refused = api.call(&api.operator, &format!("POST /v1/keys/{id}/rotate"), Some(asked)).await;
        assert_problem(&refused, 422, "invalid_field", word);
    }
    for (asked, word) in [
        (json!({}), "interval_days"),
        (json!({"interval_days": null}), "interval_days"),
        (json!({"interval_days": 0}), "interval_days: "),
        (json!({"interval_days": 3651}), "interval_days: "),
        (json!({"interval_days": 7}), "warning_days: "),
        (json!({"interval_days": 30, "warning_days": 30}), "warning_days: "),
        (json!({"interval_days": 30, "warning_days": -1}), "warning_days: "),
        (json!({"interval_days": 3000, "overlap_days": 366}), "overlap_days: "),
        (json!({"interval_days": 30, "overlap_days": 30}), "overlap_days: "),
        // The key lives for 90 days.
        (json!({"interval_days": 200, "overlap_days": 90}), "overlap_days: "),
        (json!({"interval_days": 30, "auto_rotate": "yes"}), "auto_rotate: "),
        (json!({"interval_days": 30, "auto_rotate": true, "overlap_days": 0}), "overlap_days: "),
        (json!({"interval_days": 30, "hand_over": true}), "hand_over"),
        (json!([30]), "object"),
    ] {
        let refused = api.call(&api.operator, &format!("PUT /v1/keys/{id}/rotation"), Some(asked)).await;
        assert_problem(&refused, 422, "invalid_field", word);
        assert!(!refused.body["detail"].as_str().unwrap().starts_with("rotation."), "{refused:?}");
    }
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.record(), before);
}

// A schedule.

#[tokio::test]
async fn a_schedule_is_set_shown_and_taken_away() {
    let (api, clock) = place().await;
    let (id, _) = made(&api, json!({"expires_at": null})).await;
    let call = format!("PUT /v1/keys/{id}/rotation");
    let without = json!({
        "key_id": id, "revision": 1, "generation": 0, "next_rotation": null, "hand_over": false, "last_used_at": null,
        "predecessor": null, "successor": null,
    });
    let shown = status(&api, &id).await;
    assert_eq!((&shown.body, shown.header("etag")), (&without, "\"1\""));

    clock.advance(DAY * 10);
    let set = api.call(&api.operator, &call, Some(json!({"interval_days": 30, "auto_rotate": true}))).await;
    let mut expected = without.clone();
    expected.as_object_mut().unwrap().extend(
        json!({
            "interval_days": 30, "warning_days": 7, "auto_rotate": true, "notify_users": true, "overlap_days": 7,
            "next_rotation": "2026-02-10T00:00:00Z", "revision": 2,
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    assert_eq!((set.status.as_u16(), &set.body, set.header("etag")), (200, &expected, "\"2\""), "{set:?}");
    assert_eq!(status(&api, &id).await.body, expected);
    let kept = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
    assert_eq!(
        (&kept.body["scheduled_at"], &kept.body["rotation"]["interval_days"]),
        (&json!("2026-01-11T00:00:00Z"), &json!(30))
    );

    // Set again it is another one whole, and not one with changes.
    let asked = json!({"interval_days": 60, "warning_days": 1, "notify_users": false, "overlap_days": 0});
    let set = api.call(&api.operator, &call, Some(asked)).await;
    assert_eq!((&set.body["auto_rotate"], &set.body["next_rotation"]), (&json!(false), &json!("2026-03-12T00:00:00Z")));

    for _ in 0..2 {
        let cleared = api.call(&api.operator, &format!("DELETE /v1/keys/{id}/rotation"), None).await;
        assert_eq!((cleared.status.as_u16(), &*cleared.text), (204, ""), "{cleared:?}");
    }
    let mut without = without;
    without["revision"] = json!(4);
    let shown = status(&api, &id).await;
    assert_eq!((&shown.body, shown.header("etag")), (&without, "\"4\""));
}

#[tokio::test]
async fn a_schedule_is_changed_only_if_the_key_is_what_the_caller_has_seen() {
    let (api, _clock) = place().await;
    let (id, _) = made(&api, json!({})).await;
    let (put, delete) = (format!("PUT /v1/keys/{id}/rotation"), format!("DELETE /v1/keys/{id}/rotation"));
    let asked = || Some(json!({"interval_days": 30}));
    let tag = status(&api, &id).await.header("etag").to_owned();
    for stale in ["\"0\"", "\"9\"", "\"x\""] {
        for (call, body) in [(&put, asked()), (&delete, None)] {
            let refused = api.send(&api.operator, call, &[("If-Match", stale)], body).await;
            assert_problem(&refused, 412, "revision_conflict", "");
        }
    }
    let set = api.send(&api.operator, &put, &[("If-Match", &tag)], asked()).await;
    assert_eq!((set.status.as_u16(), set.header("etag")), (200, "\"2\""), "{set:?}");
    let again = api.send(&api.operator, &delete, &[("If-Match", &tag)], None).await;
    assert_problem(&again, 412, "revision_conflict", "2");
    let cleared = api.send(&api.operator, &delete, &[("If-Match", "\"2\"")], None).await;
    assert_eq!(cleared.status, 204, "{cleared:?}");

    api.call(&api.operator, &format!("POST /v1/keys/{id}/revoke"), None).await;
    assert_problem(&api.call(&api.operator, &put, asked()).await, 409, "key_revoked", "final");
}

/// What a schedule does by itself.
#[tokio::test]
async fn a_key_that_is_due_is_rotated_and_its_holder_claims_the_new_one() {
    let (api, clock) = place().await;
    let (id, old) = made(&api, json!({"hand_over": true})).await;
    let asked = json!({"interval_days": 30, "auto_rotate": true});
    let set = api.call(&api.operator, &format!("PUT /v1/keys/{id}/rotation"), Some(asked)).await;
    assert_eq!((&set.body["next_rotation"], &set.body["hand_over"]), (&json!("2026-01-31T00:00:00Z"), &json!(true)));
    clock.advance(DAY * 30);
    assert_eq!(api.manager.run_schedules(&boss()).await.unwrap().rotated, 1);
    let told = used(&api, &old).await;
    assert_eq!(told.header("sunset"), "Sat, 07 Feb 2026 00:00:00 GMT");
    let claim = claimed(&api, &old).await;
    assert_eq!(claim.status, 200, "{claim:?}");
    let new_id = word(&claim.body["new_key_id"]);
    assert_eq!(told.header("link"), format!("<urn:uuid:{new_id}>; rel=\"successor-version\""));
    let next = status(&api, &new_id).await;
    assert_eq!((&next.body["next_rotation"], &next.body["generation"]), (&json!("2026-03-02T00:00:00Z"), &json!(1)));
}

// In between.

#[tokio::test]
async fn it_is_seen_who_still_uses_the_old_key_and_that_is_ended_early() {
    let (api, clock) = place().await;
    let (id, old) = made(&api, json!({})).await;
    let finish = format!("POST /v1/keys/{id}/rotation/finish");
    assert_problem(&api.call(&api.operator, &finish, None).await, 409, "no_successor", "not rotated");
    let rotation = rotated(&api, &id, None).await;
    let (new_id, new) = (word(&rotation.body["new_key_id"]), word(&rotation.body["key"]));
    clock.advance(DAY);
    assert_eq!(used(&api, &old).await.status, 200);
    assert!(api.manager.flush_usage(Duration::from_secs(5)).await);
    let shown = status(&api, &new_id).await.body;
    let predecessor = json!({
        "key_id": id, "state": "active", "expires_at": "2026-01-08T00:00:00Z", "last_used_at": "2026-01-02T00:00:00Z",
    });
    assert_eq!((&shown["predecessor"], &shown["successor"]), (&predecessor, &json!(null)));
    assert_eq!(status(&api, &id).await.body["successor"]["key_id"], new_id);

    let mut kept = Value::Null;
    for _ in 0..2 {
        let finished = api.call(&api.operator, &finish, None).await;
        assert_eq!((finished.status.as_u16(), finished.header("etag")), (200, "\"3\""), "{finished:?}");
        assert_eq!(finished.body["expires_at"], "2026-01-02T00:00:00Z");
        kept = finished.body;
    }
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.record(), kept);
    assert_problem(&used(&api, &old).await, 401, "key_expired", "");
    assert_eq!(used(&api, &new).await.status, 200);
    // What is over can be erased, and is then no part of the rotation any more.
    assert_eq!(api.call(&api.operator, &format!("DELETE /v1/keys/{id}"), None).await.status, 204);
    assert_eq!(status(&api, &new_id).await.body["predecessor"], json!(null));
}

// Handing over.

#[tokio::test]
async fn a_successor_is_claimed_with_the_old_key_until_it_is_used() {
    let (api, _clock) = place().await;
    // Whatever it may do: nothing, here.
    let (id, old) = made(&api, json!({"hand_over": true, "scopes": []})).await;
    let refused = claimed(&api, &old).await;
    assert_problem(&refused, 409, "no_successor", "not rotated");
    assert_eq!(refused.body["title"], "Not rotated");
    let rotation = rotated(&api, &id, None).await;
    for _ in 0..2 {
        let claim = claimed(&api, &old).await;
        assert_eq!((claim.status.as_u16(), claim.header("cache-control")), (200, "no-store"), "{claim:?}");
        assert_eq!(claim.body, rotation.body);
        assert_eq!(claim.header("sunset"), "Thu, 08 Jan 2026 00:00:00 GMT");
    }
    assert_eq!(used(&api, &word(&rotation.body["key"])).await.status, 200);
    let refused = claimed(&api, &old).await;
    assert_problem(&refused, 409, "successor_in_use", "revoked");
    assert!(!refused.text.contains(rotation.body["key"].as_str().unwrap()));
    // Nor with the new key, of which there is none yet.
    assert_problem(&claimed(&api, &word(&rotation.body["key"])).await, 409, "no_successor", "");
}

#[tokio::test]
async fn nothing_is_handed_over_that_was_not_to_be_or_no_longer_is() {
    let (api, _clock) = place().await;
    let (id, old) = made(&api, json!({})).await;
    rotated(&api, &id, None).await;
    assert_problem(&claimed(&api, &old).await, 409, "successor_not_handed_over", "");
    let change = format!("PATCH /v1/keys/{id}");
    let late = api.call(&api.operator, &change, Some(json!({"hand_over": true}))).await;
    assert_problem(&late, 422, "invalid_field", "hand_over");

    // Turned on before the rotation, and off after it.
    let (id, old) = made(&api, json!({})).await;
    let change = format!("PATCH /v1/keys/{id}");
    let turned = api.call(&api.operator, &change, Some(json!({"hand_over": true}))).await;
    assert_eq!((turned.status.as_u16(), &turned.body["hand_over"]), (200, &json!(true)), "{turned:?}");
    rotated(&api, &id, None).await;
    assert_eq!(claimed(&api, &old).await.status, 200);
    let turned = api.call(&api.operator, &change, Some(json!({"hand_over": false}))).await;
    assert_eq!(turned.body["hand_over"], false, "{turned:?}");
    assert_problem(&claimed(&api, &old).await, 409, "successor_not_handed_over", "");
}

// Walls.

#[tokio::test]
async fn another_tenants_key_has_no_rotation() {
    let (api, _clock) = place().await;
    let (id, _) = made(&api, json!({"hand_over": true})).await;
    let rotation = rotated(&api, &id, None).await;
    let successor = word(&rotation.body["new_key_id"]);
    let stranger = api.tenant("globex", &["**"], &["**"]).await;
    let before = api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await.body;
    for (method, path, body) in [
        ("POST", "rotate", None),
        ("POST", "rotate", Some(json!({"overlap_days": 0}))),
        ("GET", "rotation", None),
        ("PUT", "rotation", Some(json!({"interval_days": 30}))),
        ("DELETE", "rotation", None),
        ("POST", "rotation/finish", None),
    ] {
        let mut answers = Vec::new();
        for id in [&*id, &successor, ABSENT] {
            let refused = api.call(&stranger, &format!("{method} /v1/keys/{id}/{path}"), body.clone()).await;
            assert_problem(&refused, 404, "not_found", "no such key");
            answers.push(refused.text);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
    assert_eq!(api.call(&api.operator, "GET /v1/organizations/acme/keys", None).await.body, before);
}
