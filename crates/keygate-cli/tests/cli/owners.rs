//! `keygate users` and `keygate roles`, on a store and through a server.

use serde_json::json;

use crate::server::Deployment;
use crate::support::Home;

/// On a store and through a server.
fn on_both_desks(test: fn(&Home)) {
    test(&Home::new());
    let deployment = Deployment::new();
    let server = deployment.serve();
    test(&deployment.home(&server.url()));
}

#[test]
fn roles_are_set_shown_and_removed() {
    on_both_desks(|home| {
        home.create(&["--user", "bob"]);
        let run = |args: &[&str]| home.run(&[&["roles"], args, &["--org", "acme"]].concat());
        assert_eq!(run(&["list", "--json"]).done().json(), json!({"roles": []}));
        let set = ["set", "reader", "--permission", "reports:*:read", "--permission", "users:read"];
        let shown = run(&[&set[..], &["--description", "reads"]].concat()).done().stdout;
        let words: Vec<&str> = shown.split_whitespace().collect();
        let expected = "organization acme role reader permissions reports:*:read, users:read description reads";
        assert_eq!(words.join(" "), expected);
        let expected = json!({
            "organization_id": "acme", "role": "reader", "revision": 1, "description": "reads",
            "permissions": ["reports:*:read", "users:read"],
        });
        assert_eq!(run(&["show", "reader", "--json"]).done().json(), expected);
        assert_eq!(run(&["list", "--json"]).done().json(), json!({"roles": [expected]}));
        assert_eq!(run(&["set", "reader", "--no-permissions", "--json"]).done().json()["permissions"], json!([]));
        assert!(run(&["list"]).done().stdout.contains("reader  nothing"));
        assert_eq!(run(&["remove", "reader"]).done().stdout, "reader of acme is gone\n");
        run(&["remove", "reader"]).refused("no such role");
        run(&["show", "reader"]).refused("no such role");
        home.run(&["roles", "set", "x", "--org", "system", "--no-permissions"]).refused("system");
    });
}

#[test]
fn roles_cap_a_users_keys_and_offboarding_revokes_them() {
    on_both_desks(|home| {
        let key = home.create(&["--user", "bob", "--permission", "reports:*"]);
        let text = key["key"].as_str().unwrap();
        let verify = || home.run_with(text, &["keys", "verify", "--permission", "reports:write"]);
        let users = |args: &[&str]| home.run(&[&["users"], args, &["--org", "acme"]].concat());
        verify().done();
        let expected = json!({
            "organization_id": "acme", "user_id": "bob", "revision": 0, "status": "active", "roles": null,
            "max_keys": null, "limits": null, "policy": null, "defaults": null,
        });
        assert_eq!(users(&["show", "bob", "--json"]).done().json(), expected);
        home.run(&["roles", "set", "reader", "--org", "acme", "--permission", "reports:read"]).done();
        let shown = users(&["update", "bob", "--role", "reader"]).done().stdout;
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(words.join(" "), "organization acme user bob status active roles reader");
        verify().ended_with("permission_denied");
        users(&["update", "bob", "--role", "nobody"]).refused("nobody");
        assert_eq!(users(&["update", "bob", "--no-roles", "--json"]).done().json()["roles"], json!([]));
        assert_eq!(users(&["update", "bob", "--uncapped", "--json"]).done().json()["roles"], json!(null));
        verify().done();

        assert_eq!(users(&["suspend", "bob"]).done().stdout, "bob of acme is suspended: its keys are refused\n");
        verify().ended_with("user_suspended");
        assert_eq!(users(&["resume", "bob"]).done().stdout, "bob of acme is active\n");
        verify().done();
        assert_eq!(users(&["offboard", "bob"]).done().stdout, "bob of acme was offboarded: 1 key revoked\n");
        home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).refused("bob was offboarded");
        users(&["resume", "bob"]).done();
        verify().ended_with("key_revoked");
        let mistyped = users(&["suspend", "bop"]).done();
        assert!(mistyped.stderr.contains("note: bop of acme has no keys"), "{mistyped:?}");
    });
}

#[test]
fn a_user_has_limits_a_quota_and_rules_of_its_own() {
    on_both_desks(|home| {
        let text = home.create(&["--user", "bob"])["key"].as_str().unwrap().to_owned();
        let update = |args: &[&str]| home.run(&[&["users", "update", "bob", "--org", "acme"], args].concat());
        home.run(&["roles", "set", "reader", "--org", "acme", "--permission", "reports:read"]).done();
        update(&["--role", "reader"]).done();
        let rules = r#"{"name_pattern":"bob-.*"}"#;
        let said = ["--max-keys", "1", "--limit", "minute=60", "--burst", "5", "--policy", rules];
        let shown = update(&[&said[..], &["--defaults", r#"{"expires_in_days":9}"#]].concat()).done();
        assert_eq!(shown.stderr, "");
        let words = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected =
            "organization acme user bob status active roles reader most keys 1 limits 60 a minute, bursts of 5";
        assert!(words.starts_with(expected), "{words}");
        assert!(words.contains("bob-.*") && words.contains('9'), "{words}");
        let create = |name: &str| home.run(&["keys", "create", "--org", "acme", "--user", "bob", "--name", name]);
        create("other").refused("of the user");
        create("bob-1").refused("the user already has 1 keys");
        update(&["--max-keys", "default"]).done();
        create("bob-1").done();
        home.run_with(&text, &["keys", "verify"]).done();
        let document = update(&["--limit", "none", "--policy", "none", "--json"]).done().json();
        assert_eq!((&document["limits"]["per_minute"], &document["policy"]), (&json!(null), &json!(null)));
        assert_eq!((&document["roles"], &document["max_keys"]), (&json!(["reader"]), &json!(null)));
        assert_eq!(document["defaults"]["expires_in_days"], 9);
        let document = update(&["--limit", "default", "--defaults", "none", "--json"]).done().json();
        assert_eq!((&document["limits"], &document["defaults"]), (&json!(null), &json!(null)));
    });
}

#[test]
fn wrong_values_are_wrong_usage() {
    let home = Home::new();
    home.run(&["users", "show", "a b", "--org", "acme"]).wrong_usage("a b");
    home.run(&["users", "update", "bob", "--org", "acme"]).wrong_usage("nothing is to change");
    home.run(&["users", "update", "bob", "--org", "acme", "--max-keys", "many"]).wrong_usage("--max-keys");
    home.run(&["users", "update", "bob", "--org", "acme", "--limit", "second=1"]).wrong_usage("--limit");
    home.run(&["users", "update", "bob", "--org", "acme", "--burst", "5"])
        .wrong_usage("--burst needs --limit minute=N");
    home.run(&["users", "update", "bob", "--org", "acme", "--policy", "[]"]).wrong_usage("JSON object");
    home.run(&["users", "update", "bob", "--org", "acme", "--role", "a", "--uncapped"]).wrong_usage("--uncapped");
    home.run(&["roles", "set", "a", "--org", "acme"]).wrong_usage("--permission");
    home.run(&["roles", "set", "a", "--org", "acme", "--permission", "a::b"]).wrong_usage("a::b");
    home.run(&["roles", "list"]).wrong_usage("--org");
}
