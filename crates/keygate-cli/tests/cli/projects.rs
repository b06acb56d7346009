//! `keygate projects`, on a store and through a server.

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
fn a_suspended_projects_keys_are_refused_until_it_is_resumed() {
    on_both_desks(|home| {
        let text = home.create(&["--user", "bob", "--project", "web"])["key"].as_str().unwrap().to_owned();
        let other = home.create(&["--user", "bob"])["key"].as_str().unwrap().to_owned();
        let run = home.run(&["projects", "suspend", "web", "--org", "acme"]).done();
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str()),
            ("web of acme is suspended: its keys are refused\n", "")
        );
        home.run_with(&text, &["keys", "verify"]).ended_with("_suspended");
        home.run_with(&other, &["keys", "verify"]).done();
        assert!(home.run(&["projects", "show", "web", "--org", "acme"]).done().stdout.contains("suspended"));
        let run = home.run(&["projects", "resume", "web", "--org", "acme"]).done();
        assert_eq!(run.stdout, "web of acme is active\n");
        home.run_with(&text, &["keys", "verify"]).done();
    });
}

#[test]
fn limits_are_set_changed_and_taken_away() {
    on_both_desks(|home| {
        home.create(&["--user", "bob", "--project", "web"]);
        let run = |more: &[&str]| home.run(&[&["projects", "update", "web", "--org", "acme"], more].concat());
        home.run(&["projects", "suspend", "web", "--org", "acme"]).done();
        let shown = run(&["--limit", "minute=60", "--limit", "month=9", "--burst", "5"]).done();
        assert_eq!(shown.stderr, "");
        let words: Vec<&str> = shown.stdout.split_whitespace().collect();
        let expected = "organization acme project web status suspended limits 60 a minute, 9 a month, bursts of 5";
        assert_eq!(words.join(" "), expected);
        let document = run(&["--limit", "day=7", "--fallback", "open", "--json"]).done().json();
        assert_eq!((&document["status"], &document["revision"]), (&json!("suspended"), &json!(3)));
        assert_eq!((&document["limits"]["per_day"], &document["limits"]["fallback"]), (&json!(7), &json!("open")));
        let document = run(&["--limit", "none", "--json"]).done().json();
        let expected = json!({
            "organization_id": "acme", "project_id": "web", "revision": 4, "status": "suspended", "max_keys": null,
            "limits": null, "key_limits": null, "policy": null, "defaults": null,
        });
        assert_eq!(document, expected);
        assert_eq!(home.run(&["projects", "show", "web", "--org", "acme", "--json"]).done().json(), expected);
    });
}

#[test]
fn a_project_has_as_many_keys_as_its_quota_says() {
    on_both_desks(|home| {
        home.create(&["--user", "bob", "--project", "web"]);
        let update = |most: &str| home.run(&["projects", "update", "web", "--org", "acme", "--max-keys", most]);
        let shown = update("1").done().stdout;
        assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").contains("most keys 1"), "{shown}");
        let create = || home.run(&["keys", "create", "--org", "acme", "--user", "eve", "--project", "web"]);
        create().refused("the project already has 1 keys");
        update("default").done();
        create().done();
        update("many").wrong_usage("--max-keys");
    });
}

#[test]
fn one_that_nobody_set_up_exists_with_the_defaults() {
    on_both_desks(|home| {
        home.create(&["--user", "bob"]);
        let shown = home.run(&["projects", "show", "web", "--org", "acme", "--json"]).done().json();
        assert_eq!(
            (&shown["revision"], &shown["status"], &shown["limits"]),
            (&json!(0), &json!("active"), &json!(null))
        );
        let mistyped = home.run(&["projects", "suspend", "web", "--org", "acme"]).done();
        assert!(mistyped.stderr.contains("note: web of acme has no keys"), "{mistyped:?}");
        home.run(&["projects", "suspend", "web", "--org", "system"]).refused("system");
    });
}

#[test]
fn a_tenants_administrator_changes_its_own_and_finds_no_others() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let tenant = deployment.tenant("acme", &["organization:settings", "keys:read"], &[]);
    let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &tenant);
    home.run(&["projects", "suspend", "web", "--org", "acme"]).done();
    let foreign = home.run(&["projects", "suspend", "web", "--org", "umbrella"]);
    assert_eq!(foreign.status, Some(1), "{foreign:?}");
    let weak = deployment.tenant("acme", &["keys:read"], &[]);
    let home = home.with("KEYGATE_ADMIN_KEY", &weak);
    home.run(&["projects", "resume", "web", "--org", "acme"]).refused("may not do this");
}

#[test]
fn wrong_values_are_wrong_usage() {
    let home = Home::new();
    home.run(&["projects", "show", "a b", "--org", "acme"]).wrong_usage("a b");
    home.run(&["projects", "show", "web"]).wrong_usage("--org");
    home.run(&["projects", "suspend", "--org", "acme"]).wrong_usage("<PROJECT>");
    let update = |more: &[&str]| home.run(&[&["projects", "update", "web", "--org", "acme"], more].concat());
    update(&[]).wrong_usage("nothing is to change");
    update(&["--limit", "second=1"]).wrong_usage("--limit");
    update(&["--limit", "default"]).wrong_usage("--limit");
    update(&["--burst", "5"]).wrong_usage("--burst needs --limit minute=N");
    update(&["--limit", "none", "--fallback", "open"]).wrong_usage("--limit none stands alone");
    let key = format!("mcp_dev_{}", "1".repeat(76));
    let run = home.run(&["projects", "show", &key, "--org", "acme"]);
    assert!(run.status == Some(2) && !run.stderr.contains(&key), "{run:?}");
    assert!(!home.path("keygate.redb").exists());
}
