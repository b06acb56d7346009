//! `keygate organizations`.

use serde_json::{Value, json};

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
            "max_keys_per_user": null, "limits": null, "user_limits": null, "key_limits": null, "policy": null,
            "defaults": null,
        })
    };
    let made = home.run(&["organizations", "create", "acme", "--max-keys", "5", "--json"]).done();
    assert_eq!(made.json(), record(1, Some(5)));
    assert_eq!(home.run(&["organizations", "show", "acme", "--json"]).done().json(), record(1, Some(5)));
    home.run(&["organizations", "suspend", "acme"]).done();
    assert_eq!(home.run(&["organizations", "resume", "acme", "--json"]).done().json(), record(3, Some(5)));

    let shown = home.run(&["organizations", "show", "acme"]).done().stdout;
    let words: Vec<&str> = shown.split_whitespace().collect();
    let expected = "organization acme status active most keys 5 most keys of a user 10, the default limits none \
                    limits of a user none limits of a new key those of its tier, the default";
    assert_eq!(words.join(" "), expected, "{shown}");
}

/// The document of limits, of which all others are none.
fn limits(said: &Value) -> Value {
    let mut limits = json!({"per_minute": null, "per_hour": null, "per_day": null, "per_month": null, "burst": null});
    limits.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    limits
}

#[test]
fn limits_are_set_changed_and_taken_away() {
    let home = Home::new();
    let run = |command: &str| home.run(&command.split(' ').collect::<Vec<_>>());
    let made = run("organizations create acme --limit minute=100 --limit month=5000 --burst 20 --fallback open \
                    --user-limit day=9 --user-fallback local_share --key-limit hour=7 --json");
    let made = made.done().json();
    let of_all = limits(&json!({"per_minute": 100, "per_month": 5000, "burst": 20, "fallback": "open"}));
    assert_eq!(made["limits"], of_all);
    assert_eq!(made["user_limits"], limits(&json!({"per_day": 9, "fallback": "local_share"})));
    assert_eq!(made["key_limits"], limits(&json!({"per_hour": 7})));
    assert_eq!(run("organizations show acme --json").done().json(), made);
    let shown = run("organizations show acme").done().stdout;
    for words in [
        "100 a minute, 5000 a month, bursts of 20; open while the store is not reached",
        "9 a day; local share while the store is not reached",
        "7 an hour",
    ] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    let made = home.create(&["--user", "bob"]);
    assert_eq!(made["limits"], limits(&json!({"per_hour": 7})), "what the organization says of new keys");
    let shown = home.run(&["keys", "show", made["key_id"].as_str().unwrap()]).done().stdout;
    for words in ["7 of 7 left this hour", "9 of 9 left of the user this day", "100 of 100 left of the organization"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }

    // One kind at a time, and all of it.
    let changed = run("organizations update acme --limit day=50 --max-keys 3 --json").done().json();
    assert_eq!((&changed["limits"], &changed["max_keys"]), (&limits(&json!({"per_day": 50})), &json!(3)));
    assert_eq!(changed["user_limits"], limits(&json!({"per_day": 9, "fallback": "local_share"})));
    let changed = run("organizations update acme --user-limit none --key-limit none --json").done().json();
    assert_eq!((&changed["user_limits"], &changed["key_limits"]), (&json!(null), &limits(&json!({}))));
    assert_eq!(home.create(&["--user", "bob"])["limits"], limits(&json!({})));
    let changed = run("organizations update acme --limit none --key-limit default --max-keys default --json");
    let changed = changed.done().json();
    for field in ["limits", "user_limits", "key_limits", "max_keys"] {
        assert_eq!(changed[field], json!(null), "{field}");
    }
    assert_eq!(home.create(&["--user", "bob"])["limits"]["per_minute"], 1000);
}

#[test]
fn one_that_nobody_set_up_can_be_changed() {
    let home = Home::new();
    let text = key(&home, "bob");
    let run = home.run(&["organizations", "update", "acme", "--limit", "day=1"]).done();
    assert!(run.stdout.contains("1 a day") && run.stderr.is_empty(), "{run:?}");
    home.run_with(&text, &["keys", "verify", "--cost", "1"]).done();
    home.run_with(&text, &["keys", "verify", "--cost", "1"])
        .ended_with("The limit of 1 a day of the API key's organization");
    let mistyped = home.run(&["organizations", "update", "acmee", "--limit", "day=1"]).done();
    assert!(mistyped.stderr.contains("note: acmee has no keys"), "{mistyped:?}");
    home.run(&["organizations", "update", "system", "--limit", "day=1"]).refused("system");
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
        for command in ["create", "update"] {
            home.run(&["organizations", command, "acme", &format!("--max-keys={number}")]).wrong_usage("--max-keys");
        }
    }
    let wrong: [(&[&str], &str); 14] = [
        (&["--limit", "second=1"], "--limit"),
        (&["--limit", "minute=0"], "--limit"),
        (&["--limit", "default"], "--limit"),
        (&["--limit", "day=1", "--limit", "day=2"], "--limit names a window twice"),
        (&["--limit", "none", "--burst", "1"], "--limit none stands alone"),
        (&["--burst", "5"], "--burst needs --limit minute=N"),
        (&["--user-limit", "day=5", "--user-burst", "5"], "--user-burst needs --user-limit minute=N"),
        (&["--user-limit", "minute=5", "--user-burst", "1000000001"], "--user-burst"),
        (&["--user-limit", "month=1000000000001"], "--user-limit"),
        (&["--key-limit", "default", "--key-limit", "day=1"], "--key-limit default stands alone"),
        (&["--key-burst", "0"], "--key-burst"),
        (&["--key-fallback", "shut"], "--key-fallback"),
        (&["--key-limit", "none", "--key-fallback", "open"], "--key-limit none stands alone"),
        (&["--fallback", "open"], "--fallback needs --limit"),
    ];
    for (args, words) in wrong {
        for command in ["create", "update"] {
            home.run(&[&["organizations", command, "acme"], args].concat()).wrong_usage(words);
        }
    }
    home.run(&["organizations", "update", "acme"]).wrong_usage("nothing is to change");
    assert!(!home.path("keygate.redb").exists());
}
