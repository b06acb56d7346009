//! `keygate keys create` of one key.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Home, Run};

#[test]
fn the_key_alone_is_on_standard_output_and_works() {
    let home = Home::new();
    let run = home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).done();
    let key = run.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("mcp_dev_") && key.len() == "mcp_dev_".len() + 76, "{key}");
    for words in ["acme", "bob", "only time the key is shown", "keygate.redb.secret", "keep a copy"] {
        assert!(run.stderr.contains(words), "{words:?} is not in {run:?}");
    }
    assert!(!run.stderr.contains(key));
    home.run_with(key, &["keys", "verify"]).done();

    let again = home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).done();
    assert!(!again.stderr.contains("keygate.redb.secret"), "the secret is made once: {again:?}");
    let mode = home.path("keygate.redb.secret").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_flag_is_in_the_document() {
    let home = Home::new();
    let asked = "--user bob --project reporting --scope reports:read --scope reports:list:** --permission deploy:* \
                 --grantable reports:** --allow-ip 192.0.2.0/24 --allow-ip 2001:db8::1 --limit minute=60 \
                 --limit month=5000 --burst 5 --fallback local_share --tag team=reports --tag nightly --environment prod \
                 --expires-at 2090-01-31T01:00:00+01:00 --not-before 2089-01-01T00:00:00Z --tier high";
    let mut args: Vec<&str> = asked.split_whitespace().collect();
    args.extend(["--name", "nightly report", "--description", "for Ada", "--metadata", r#"{"ticket":7}"#]);
    let key = home.create(&args);
    assert!(key["key"].as_str().unwrap().starts_with("mcp_prod_"));
    let expected = json!({
        "organization_id": "acme", "user_id": "bob", "project_id": "reporting", "name": "nightly report",
        "description": "for Ada", "scopes": ["reports:read", "reports:list:**"], "permissions": ["deploy:*"],
        "grantable": ["reports:**"], "allowed_ips": ["192.0.2.0/24", "2001:db8::1"],
        "limits": {"per_minute": 60, "per_hour": null, "per_day": null, "per_month": 5000, "burst": 5,
                   "fallback": "local_share"},
        "tags": ["team=reports", "nightly"], "environment": "prod", "expires_at": "2090-01-31T00:00:00Z",
        "not_before": "2089-01-01T00:00:00Z", "security_tier": "high", "metadata": {"ticket": 7},
        "status": "active", "created_by": "cli", "revision": 1,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&key[field], value, "{field}");
    }
    let shown = home.run(&["keys", "show", key["key_id"].as_str().unwrap()]).done().stdout;
    for words in [
        "nightly report",
        "for Ada",
        "60 a minute, 5000 a month, bursts of 5; local share while the store is not reached",
        "60 of 60 left this minute, until ",
        "5000 of 5000 left this month, until ",
        "5 of 5 left at once\n",
        "192.0.2.0/24",
        "team=reports",
    ] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
}

#[test]
fn what_is_not_said_has_the_defaults() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    assert_eq!(key["scopes"], json!(["default"]));
    assert_eq!(key["limits"]["per_minute"], 1000);
    assert_eq!(home.create(&["--user", "bob", "--no-scopes"])["scopes"], json!([]));
    assert_eq!(home.create(&["--user", "bob", "--expires-in", "never"])["expires_at"], json!(null));
    assert_eq!(home.create(&["--user", "bob", "--limit", "none"])["limits"]["per_minute"], json!(null));
    let bursting = home.create(&["--user", "bob", "--burst", "7"]);
    assert_eq!((&bursting["limits"]["burst"], &bursting["limits"]["per_day"]), (&json!(7), &json!(100_000)));
    let open = home.create(&["--user", "bob", "--fallback", "open"]);
    assert_eq!((&open["limits"]["fallback"], &open["limits"]["per_day"]), (&json!("open"), &json!(100_000)));
}

#[test]
fn wrong_values_are_wrong_usage_that_names_the_flag() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "bob"];
    let wrong: [&[&str]; 26] = [
        &["--project", "x y"],
        &["--name", ""],
        &["--name", "a\u{1b}[31m"],
        &["--scope", "a::b"],
        &["--no-scopes", "--scope", "a"],
        &["--permission", "**:a"],
        &["--grantable", "a b"],
        &["--allow-ip", "192.0.2.7/24"],
        &["--limit", "second=1"],
        &["--limit", "minute=0"],
        &["--limit", "minute=1", "--limit", "minute=2"],
        &["--burst", "5", "--limit", "hour=5"],
        &["--burst", "0"],
        &["--burst", "1000000001"],
        &["--limit", "minute=1000000000001"],
        &["--limit", "none", "--burst", "5"],
        &["--fallback", "shut"],
        &["--limit", "none", "--fallback", "open"],
        &["--tag", "a b"],
        &["--expires-in", "soon"],
        &["--expires-in", "0s"],
        &["--expires-in", "1d", "--expires-at", "2090-01-31T00:00:00Z"],
        &["--expires-at", "2090-01-31"],
        &["--tier", "middling"],
        &["--metadata", "[1]"],
        &["--environment", "Prod"],
    ];
    for args in wrong {
        home.run(&[&create[..], args].concat()).wrong_usage(args[0]);
    }
    home.run(&["keys", "create", "--org", "a b", "--user", "bob"]).wrong_usage("--org");
    home.run(&["keys", "create", "--org", "acme", "--user", "b/b"]).wrong_usage("--user");
    home.run(&["keys", "create", "--org", "acme"]).wrong_usage("--user");
    assert!(!home.path("keygate.redb").exists(), "wrong usage touches no store");
}

#[test]
fn what_the_manager_refuses_ends_with_its_sentence() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "bob"];
    home.run(&[&create[..], &["--expires-at", "2020-01-31T00:00:00Z"]].concat()).refused("future");
    let begin_after_end = ["--expires-in", "1d", "--not-before", "2090-01-01T00:00:00Z", "--output", "key"];
    home.run(&[&create[..], &begin_after_end].concat()).refused("not_before");
    assert!(!home.path("key").exists(), "a file that no key was written to is taken away");
}

#[test]
fn a_quota_that_is_reached_is_named_with_its_figure() {
    let home = Home::new();
    for _ in 0..10 {
        home.create(&["--user", "bob"]);
    }
    home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).refused("the user already has 10 keys");
    home.create(&["--user", "eve"]);
}

#[test]
fn a_file_takes_the_key_in_the_place_of_standard_output() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "bob", "--output", "bob.key"];
    let run = home.run(&create).done();
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("bob.key"), "{run:?}");
    let mode = home.path("bob.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    home.run(&["keys", "verify", "--key-file", "bob.key"]).done();

    let before = std::fs::read(home.path("bob.key")).unwrap();
    home.run(&create).refused("--output bob.key is there already");
    assert_eq!(std::fs::read(home.path("bob.key")).unwrap(), before);

    let document = home.create(&["--user", "eve", "--output", "eve.key"]);
    assert_eq!((document.get("key"), &document["user_id"]), (None, &json!("eve")));
    home.run(&["keys", "create", "--org", "acme", "--user", "bob", "--output", "no/such/directory"])
        .refused("--output");
    home.run(&[&create[..6], &["--output", "-", "--json"]].concat()).wrong_usage("--output -");
}

#[test]
fn a_key_that_nobody_was_shown_is_revoked_again() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "bob"];
    let mut gone = home.command(&create).spawn().unwrap();
    drop(gone.stdout.take());
    Run::of(gone).refused("revoked again");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = home.command(&create).stdout(Stdio::from(full)).spawn().unwrap();
    Run::of(full).refused("No space left");
    let list = home.run(&["keys", "list", "--org", "acme", "--json"]).done().json();
    let states: Vec<&str> =
        list["keys"].as_array().unwrap().iter().map(|key| key["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["revoked", "revoked"]);
}

#[test]
fn a_store_in_memory_says_that_it_keeps_nothing() {
    let home = Home::new().with("KEYGATE_STORE", "memory:");
    let run = home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).done();
    assert!(run.stderr.contains("warning: the store memory: keeps nothing"), "{run:?}");
}
