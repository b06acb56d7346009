//! What a key is told of itself.

use serde_json::{Value, json};

use crate::support::{Answer, Api};

async fn own(api: &Api, key: &str) -> Answer {
    let shown = api.call(key, "GET /v1/self", None).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    shown
}

#[tokio::test]
async fn any_key_is_shown_what_its_keepers_are_shown_of_it() {
    let api = Api::new().await;
    let asked = json!({"user_id": "ada", "environment": "prod", "metadata": {"a": 1}, "scopes": []});
    let made = api.make(&api.operator, "acme", asked).await;
    let mut expected = made.clone();
    let fields = expected.as_object_mut().unwrap();
    let text = fields.remove("key").unwrap();
    fields.extend([
        ("state".to_owned(), json!("active")),
        ("management".to_owned(), json!([])),
        ("owner_permissions".to_owned(), json!(null)),
    ]);
    let mut shown = own(&api, text.as_str().unwrap()).await;
    let left = shown.body.as_object_mut().unwrap().remove("limits_left").unwrap();
    assert_eq!(shown.body, expected);
    let windows: Vec<_> = left.as_array().unwrap().iter().map(|left| &left["window"]).collect();
    assert_eq!(windows, ["minute", "hour", "day", "burst"]);
    assert_eq!(shown.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_key_is_told_what_it_may_do_in_the_management_of_keys() {
    let api = Api::new().await;
    let all = |shown: &Answer| -> Vec<Value> { shown.body["management"].as_array().unwrap().clone() };
    assert_eq!(all(&own(&api, &api.operator).await).len(), 9);
    for (permissions, expected) in [
        (&["deploy:web"][..], &[][..]),
        (&["keys:read"], &["keys:read"]),
        (&["keys:*"], &["keys:read", "keys:write", "keys:sensitive", "keys:verify"]),
        (
            &["**"],
            &[
                "keys:read",
                "keys:write",
                "keys:sensitive",
                "keys:verify",
                "usage:read",
                "audit:read",
                "organization:settings",
            ],
        ),
        (&["organizations:write", "keys:import"], &[]),
    ] {
        let tenant = api.tenant("acme", permissions, &[]).await;
        assert_eq!(all(&own(&api, &tenant).await), expected, "{permissions:?}");
    }
}

#[tokio::test]
async fn a_key_that_may_not_be_used_is_told_why_and_no_more() {
    let api = Api::new().await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    let (id, text) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    own(&api, text).await;
    for (action, reason) in [("deactivate", "key_inactive"), ("revoke", "key_revoked")] {
        api.call(&api.operator, &format!("POST /v1/keys/{id}/{action}"), None).await;
        let refused = api.call(text, "GET /v1/self", None).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (401, reason));
        assert!(!refused.text.contains(id), "{refused:?}");
    }
}
