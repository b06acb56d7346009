//! `keygate keys update`. That it does the same through a server is told by `through_a_server`.

use serde_json::json;

use crate::support::{Home, NO_KEY};

#[test]
fn what_is_not_said_stays_as_it_is() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob", "--scope", "a:b", "--tag", "x", "--limit", "day=5", "--name", "old"]);
    let before = home.run(&["keys", "show", &id, "--json"]).done().json();
    let after = home.run(&["keys", "update", &id, "--name", "new", "--json"]).done().json();
    assert_eq!((&before["name"], &after["name"]), (&json!("old"), &json!("new")));
    for field in ["scopes", "tags", "limits", "expires_at", "allowed_ips", "permissions", "metadata"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    let run = home.run(&["keys", "update", &id, "--no-scopes", "--no-tags", "--limit", "none"]).done();
    assert!(run.stdout.contains("new"), "the key as it is now: {run:?}");
    let shown = home.run(&["keys", "show", &id, "--json"]).done().json();
    assert_eq!((&shown["scopes"], &shown["tags"]), (&json!([]), &json!([])));
    assert_eq!(shown["limits"]["per_day"], json!(null));
}

#[test]
fn fields_that_are_kept_encrypted_are_replaced_together() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob", "--sensitive", "account=DE02", "--sensitive", "pin=4711"]);
    std::fs::write(home.path("fields.json"), r#"{"pin":"1"}"#).unwrap();
    let run = home.run(&["keys", "update", &id, "--sensitive-file", "fields.json", "--json"]).done();
    assert!(!run.stdout.contains("\"1\""), "{run:?}");
    let opened = home.run(&["keys", "sensitive", &id, "--json"]).done().json();
    assert_eq!(opened["sensitive"], json!({ "pin": "1" }));
    home.run(&["keys", "update", &id, "--no-sensitive"]).done();
    assert_eq!(home.run(&["keys", "sensitive", &id, "--json"]).done().json()["sensitive"], json!({}));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_opened() {
    let home = Home::new();
    for (said, problem) in [
        (&[][..], "nothing is said to change"),
        (&["--burst", "5"], "--burst needs --limit minute=N"),
        (&["--scope", "a", "--no-scopes"], "cannot be used with"),
        (&["--tag", "a", "--no-tags"], "cannot be used with"),
        (&["--allow-ip", "192.0.2.1", "--any-ip"], "cannot be used with"),
        (&["--expires-in", "1d", "--expires-at", "2089-01-31T00:00:00Z"], "cannot be used with"),
        (&["--metadata", "[]"], "JSON object"),
    ] {
        let run = home.run(&[&["keys", "update", NO_KEY], said].concat());
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.stderr.contains(problem), "{said:?}: {run:?}");
    }
    assert!(!home.path("keygate.redb").exists());
    home.create_id(&["--user", "bob"]);
    home.run(&["keys", "update", NO_KEY, "--name", "x"]).refused("there is no such key");
}
