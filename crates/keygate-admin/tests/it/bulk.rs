//! The same done to many keys through the API.

use serde_json::{Value, json};

use crate::support::{Answer, Api};

const BULK: &str = "POST /v1/organizations/acme/keys:bulk";
const ABSENT: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

async fn make(api: &Api, organization: &str, user: usize) -> String {
    let made = api.make(&api.operator, organization, json!({"user_id": format!("u{user}")})).await;
    made["key_id"].as_str().unwrap().to_owned()
}

async fn bulk(api: &Api, asked: Value) -> Answer {
    let done = api.call(&api.operator, BULK, Some(asked)).await;
    assert_eq!(done.status, 200, "{done:?}");
    done
}

#[tokio::test]
async fn each_key_is_in_one_of_the_two_lists_once() {
    let api = Api::new().await;
    let (a, b, c) = (make(&api, "acme", 1).await, make(&api, "acme", 2).await, make(&api, "acme", 3).await);
    let foreign = make(&api, "globex", 1).await;
    api.call(&api.operator, &format!("POST /v1/keys/{c}/revoke"), None).await;
    let asked = json!({
        "operation": "deactivate",
        "key_ids": [b, ABSENT, a, foreign, b, c],
        "config": {"reason": "on leave"},
    });
    let done = bulk(&api, asked).await;
    assert_eq!(done.body["successful"], json!([b, a]));
    let failed: Vec<(&str, &str)> = done.body["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| (failure["key_id"].as_str().unwrap(), failure["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(failed, [(ABSENT, "not_found"), (&*foreign, "not_found"), (&*c, "key_revoked")]);
    // The operator reaches the foreign key, and this call does not.
    assert_eq!(done.body["failed"][0]["detail"], done.body["failed"][1]["detail"]);
    let shown = api.call(&api.operator, &format!("GET /v1/keys/{foreign}"), None).await;
    assert_eq!(shown.body["status"], "active");
    let shown = api.call(&api.operator, &format!("GET /v1/keys/{a}"), None).await;
    assert_eq!((&shown.body["status"], &shown.body["status_reason"]), (&json!("inactive"), &json!("on leave")));
}

#[tokio::test]
async fn each_operation_does_what_its_call_does() {
    let api = Api::new().await;
    let id = make(&api, "acme", 1).await;
    for (operation, config, status) in [
        ("deactivate", json!(null), "inactive"),
        ("activate", json!({}), "active"),
        ("revoke", json!({"reason": "leaked"}), "revoked"),
    ] {
        let done = bulk(&api, json!({"operation": operation, "key_ids": [id], "config": config})).await;
        assert_eq!(
            done.body,
            json!({"successful": [id], "failed": [], "rotated": [], "next_cursor": null, "made_before": null})
        );
        let shown = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
        assert_eq!(shown.body["status"], status);
    }
    let nothing = bulk(&api, json!({"operation": "revoke", "key_ids": []})).await;
    assert_eq!(
        nothing.body,
        json!({"successful": [], "failed": [], "rotated": [], "next_cursor": null, "made_before": null})
    );
}

#[tokio::test]
async fn a_thousand_keys_go_and_one_more_do_not() {
    let api = Api::new().await;
    let id = make(&api, "acme", 1).await;
    let ids: Vec<String> = (0..1001).map(|nth| format!("01933b0e-8f1c-7c3a-9d55-{nth:012x}")).collect();
    let done = bulk(&api, json!({"operation": "revoke", "key_ids": ids[..1000]})).await;
    assert_eq!(done.body["failed"].as_array().unwrap().len(), 1000);
    for ids in [ids, vec![id.clone(); 1001]] {
        let refused = api.call(&api.operator, BULK, Some(json!({"operation": "revoke", "key_ids": ids}))).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("key_ids"), "{refused:?}");
    }
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await.body["status"], "active");
}

#[tokio::test]
async fn what_cannot_be_is_named() {
    let api = Api::new().await;
    for (asked, word) in [
        (json!({}), "operation"),
        (json!({"operation": "revoke"}), "key_ids"),
        (json!({"operation": "explode", "key_ids": []}), "operation"),
        (json!({"operation": "update_scopes", "key_ids": [], "config": {"scopes": null}}), "scopes"),
        (json!({"operation": "Revoke", "key_ids": []}), "operation"),
        (json!({"operation": 7, "key_ids": []}), "operation"),
        (json!({"operation": {"revoke": null}, "key_ids": []}), "operation"),
        (json!({"operation": "revoke", "key_ids": "all"}), "key_ids"),
        (json!({"operation": "revoke", "key_ids": [ABSENT, "7"]}), "key_ids[1]"),
        (json!({"operation": "revoke", "key_ids": [null]}), "key_ids[0]"),
        (json!({"operation": "revoke", "key_ids": [], "config": {"reason": ""}}), "config.reason"),
        (json!({"operation": "revoke", "key_ids": [], "config": {"why": "x"}}), "why"),
        (json!({"operation": "revoke", "key_ids": [], "config": ["x"]}), "config"),
        (json!({"operation": "revoke", "key_ids": [], "force": true}), "force"),
        (json!(["revoke", []]), "object"),
    ] {
        let refused = api.call(&api.operator, BULK, Some(asked.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{asked} {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(word), "{asked} {refused:?}");
    }
}

#[tokio::test]
async fn a_tenant_reaches_its_own_keys_alone() {
    let api = Api::new().await;
    let admin = api.tenant("globex", &["keys:write"], &["**"]).await;
    let (own, foreign) = (make(&api, "globex", 1).await, make(&api, "acme", 1).await);
    let asked = |ids: Value| Some(json!({"operation": "revoke", "key_ids": ids}));
    let refused = api.call(&admin, BULK, asked(json!([foreign]))).await;
    let absent = api.call(&admin, "POST /v1/organizations/nobody/keys:bulk", asked(json!([foreign]))).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (404, "not_found"));
    assert_eq!(refused.text, absent.text);

    let call = "POST /v1/organizations/globex/keys:bulk";
    let mixed = api.call(&admin, call, asked(json!([foreign, own, ABSENT]))).await;
    assert_eq!(mixed.body["successful"], json!([own]));
    let failed = |nth: usize| (&mixed.body["failed"][nth]["reason"], &mixed.body["failed"][nth]["detail"]);
    assert_eq!(failed(0), failed(1), "foreign and absent are alike");
    assert_eq!(api.call(&api.operator, &format!("GET /v1/keys/{foreign}"), None).await.body["status"], "active");

    let reader = api.tenant("globex", &["keys:read"], &["**"]).await;
    assert_eq!(api.call(&reader, call, asked(json!([]))).await.reason(), "permission_denied");
}

#[tokio::test]
async fn what_many_keys_may_do_and_how_much_is_changed_and_they_are_rotated() {
    let api = Api::new().await;
    let (a, b) = (make(&api, "acme", 1).await, make(&api, "acme", 2).await);
    for (operation, config, field, shown) in [
        ("update_permissions", json!({"permissions": ["files:read"]}), "permissions", json!(["files:read"])),
        ("update_scopes", json!({"scopes": ["files:*"]}), "scopes", json!(["files:*"])),
    ] {
        let done = bulk(&api, json!({"operation": operation, "key_ids": [a, b], "config": config})).await;
        assert_eq!((&done.body["successful"], &done.body["next_cursor"]), (&json!([a, b]), &json!(null)));
        for id in [&a, &b] {
            let key = api.call(&api.operator, &format!("GET /v1/keys/{id}"), None).await;
            assert_eq!(key.body[field], shown);
        }
    }
    let limits = json!({"operation": "update_limits", "key_ids": [a], "config": {"limits": {"per_minute": 5}}});
    bulk(&api, limits).await;
    let key = api.call(&api.operator, &format!("GET /v1/keys/{a}"), None).await;
    assert_eq!(key.body["limits"]["per_minute"], 5);

    let rotate = json!({"operation": "rotate", "key_ids": [b, a, ABSENT], "config": {"overlap_days": 1}});
    let mut dry = rotate.clone();
    dry["dry_run"] = json!(true);
    let dry = bulk(&api, dry).await;
    assert_eq!((&dry.body["successful"], &dry.body["rotated"]), (&json!([b, a]), &json!([])));
    let done = bulk(&api, rotate).await;
    assert_eq!(done.body["failed"][0]["reason"], "not_found");
    for (rotated, old) in done.body["rotated"].as_array().unwrap().iter().zip([&b, &a]) {
        assert_eq!(rotated["old_key_id"], json!(old));
        let verify = json!({"key": rotated["key"]});
        let verified = api.call(&api.operator, "POST /v1/verify", Some(verify)).await;
        assert_eq!(verified.body["valid"], true, "{verified:?}");
    }
}

#[tokio::test]
async fn keys_that_a_filter_admits_are_named_by_it_page_by_page() {
    let api = Api::new().await;
    let mut made = Vec::new();
    for user in 1..=5 {
        made.push(make(&api, "acme", user).await);
    }
    let (mut cursor, mut stopped) = (json!(null), Vec::new());
    loop {
        let filter = json!({"status": "active", "limit": 2, "cursor": cursor});
        let done = bulk(&api, json!({"operation": "deactivate", "filter": filter})).await;
        stopped.extend(done.body["successful"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        cursor = done.body["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    made.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(stopped, made);
}

#[tokio::test]
async fn what_an_operation_lacks_or_has_no_use_for_is_named() {
    let api = Api::new().await;
    let id = make(&api, "acme", 1).await;
    for (asked, detail) in [
        (json!({"operation": "revoke"}), "key_ids"),
        (json!({"operation": "revoke", "key_ids": [id], "filter": {}}), "filter"),
        (json!({"operation": "revoke", "filter": {"limit": 1001}}), "limit"),
        (json!({"operation": "revoke", "filter": {"expiring_within_days": 0}}), "expiring_within_days"),
        (json!({"operation": "revoke", "filter": {"cursor": "x"}}), "cursor"),
        (json!({"operation": "revoke", "filter": {"unknown": "x"}}), "unknown"),
        (json!({"operation": "revoke", "filter": []}), "filter"),
        (json!({"operation": "revoke", "filter": {"made_before": "today"}}), "made_before"),
        (json!({"operation": "rotate", "filter": {}}), "made_before"),
        (json!({"operation": "update_scopes", "key_ids": [id]}), "config.scopes"),
        (json!({"operation": "update_permissions", "key_ids": [id], "config": {}}), "config.permissions"),
        (
            json!({"operation": "update_limits", "key_ids": [id], "config": {"limits": {"burst": 5}}}),
            "config.limits.burst",
        ),
        (json!({"operation": "rotate", "key_ids": [id], "config": {"overlap_days": 366}}), "overlap_days"),
        (json!({"operation": "rotate", "key_ids": [id], "config": {"reason": "x"}}), "config.reason"),
        (json!({"operation": "revoke", "key_ids": [id], "config": {"scopes": []}}), "config.scopes"),
    ] {
        let refused = api.call(&api.operator, BULK, Some(asked.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (422, "invalid_field"), "{asked} {refused:?}");
        let said = refused.body["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{asked}: {said}");
    }
}
