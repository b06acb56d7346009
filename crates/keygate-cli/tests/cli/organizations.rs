//! `keygate organizations`.

use serde_json::json;

use crate::support::Home;

fn key(home: &Home, user: &str) -> String {
    home.create(&["--user", user])["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_suspended_organizations_keys_are_refused_until_it_is_resumed() {
    let home = Home::new();
    let text = key(&home, "bob");
    let other = home.run(&["keys", "create", "--org", "umbrella", "--user", "bob"]).done().stdout;

    let run = home.run(&["organizations", "suspend", "acme"]).done();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("acme is suspended: its keys are refused\n", ""));
    let verdict = home.run_with(&text, &["keys", "verify", "--json"]).ended_with("organization_suspended").json();
    assert_eq!((&verdict["valid"], &verdict["reason"]), (&json!(false), &json!("organization_suspended")));
    home.run_with(&other, &["keys", "verify"]).done();
    let again = home.run(&["organizations", "suspend", "acme", "--json"]).done().json();
    assert_eq!(again["status"], "suspended");
    assert!(home.run(&["organizations", "show", "acme"]).done().stdout.contains("suspended"));

    let run = home.run(&["organizations", "resume", "acme"]).done();
    assert_eq!(run.stdout, "acme is active\n");
    home.run_with(&text, &["keys", "verify"]).done();
    assert_eq!(home.run(&["organizations", "show", "acme", "--json"]).done().json()["status"], "active");
}

#[test]
fn quotas_are_those_that_were_set() {
    let home = Home::new();
    home.run(&["organizations", "create", "acme", "--max-keys-per-user", "1", "--max-keys", "2"]).done();
    key(&home, "bob");
    let create = |user| home.run(&["keys", "create", "--org", "acme", "--user", user]);
    create("bob").refused("the user already has 1 keys");
    create("ada").done();
    create("eve").refused("the organization already has 2 keys");
    let shown = home.run(&["organizations", "suspend", "acme", "--json"]).done().json();
    assert_eq!((&shown["max_keys"], &shown["max_keys_per_user"]), (&json!(2), &json!(1)), "{shown}");
}

#[test]
fn the_document_is_the_organizations_record() {
    let home = Home::new();
    let record = |revision, max_keys| {
        json!({
            "organization_id": "acme", "revision": revision, "status": "active", "max_keys": max_keys,
            "max_keys_per_user": null,
        })
    };
    let made = home.run(&["organizations", "create", "acme", "--max-keys", "5", "--json"]).done();
    assert_eq!(made.json(), record(1, Some(5)));
    assert_eq!(home.run(&["organizations", "show", "acme", "--json"]).done().json(), record(1, Some(5)));
    home.run(&["organizations", "suspend", "acme"]).done();
    assert_eq!(home.run(&["organizations", "resume", "acme", "--json"]).done().json(), record(3, Some(5)));

    let shown = home.run(&["organizations", "show", "acme"]).done().stdout;
    let words: Vec<&str> = shown.split_whitespace().collect();
    let expected = "organization acme status active most keys 5 most keys of a user 10, the default";
    assert_eq!(words.join(" "), expected, "{shown}");
}

#[test]
fn what_exists_already_is_not_created_again() {
    let home = Home::new();
    let create = |id: &str, quotas: &[&str]| home.run(&[&["organizations", "create", id], quotas].concat());
    let show = |id: &str| home.run(&["organizations", "show", id, "--json"]).done().json();

    create("acme", &["--max-keys", "5"]).done();
    let before = show("acme");
    create("acme", &[]).refused("the organization acme exists already");
    create("acme", &["--max-keys", "7", "--json"]).refused("exists already");
    assert_eq!(show("acme"), before);

    create("plain", &[]).done();
    for _ in 0..2 {
        create("plain", &["--max-keys", "0", "--max-keys-per-user", "0"]).refused("exists already");
        create("plain", &[]).refused("exists already");
        assert_eq!((&show("plain")["max_keys"], &show("plain")["max_keys_per_user"]), (&json!(null), &json!(null)));
    }

    key(&home, "bob");
    home.run(&["organizations", "suspend", "umbrella"]).done();
    create("umbrella", &[]).refused("exists already");
    assert_eq!(show("umbrella")["status"], "suspended");
}

#[test]
fn one_that_nobody_set_up_exists_with_the_defaults() {
    let home = Home::new();
    key(&home, "bob");
    let shown = home.run(&["organizations", "show", "acme"]).done().stdout;
    for words in ["active", "1000000, the default", "10, the default"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    home.run(&["organizations", "create", "acme", "--max-keys-per-user", "1"]).done();
    home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).refused("the user already has 1 keys");
    let mistyped = home.run(&["organizations", "suspend", "acmee"]).done();
    assert!(mistyped.stderr.contains("note: acmee has no keys"), "{mistyped:?}");
}

#[test]
fn wrong_values_are_wrong_usage() {
    let home = Home::new();
    home.run(&["organizations", "create", "a b"]).wrong_usage("a b");
    home.run(&["organizations", "suspend"]).wrong_usage("<ORG>");
    for number in ["-1", "many", "1000000000001"] {
        home.run(&["organizations", "create", "acme", &format!("--max-keys={number}")]).wrong_usage("--max-keys");
    }
    assert!(!home.path("keygate.redb").exists());
}
