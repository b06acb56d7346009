//! Policies and defaults, on the command line.

use serde_json::{Value, json};

use crate::support::Home;

#[test]
fn they_are_set_shown_held_to_and_taken_away() {
    let home = Home::new();
    let rules =
        r#"{"longest_life_days":30,"required_scopes":["tenant"],"forbid_wildcards":true,"name_pattern":"web-.*"}"#;
    let set = home.run(&[
        "organizations",
        "create",
        "acme",
        "--policy",
        rules,
        "--defaults",
        r#"{"expires_in_days":9}"#,
        "--json",
    ]);
    let set = set.done().json();
    assert_eq!((&set["policy"]["longest_life_days"], &set["defaults"]["expires_in_days"]), (&json!(30), &json!(9)));
    let shown = home.run(&["organizations", "show", "acme"]).done().stdout;
    for words in ["longest life of a key  30 days", "wildcards", "match web-.*", "life of a new key      9 days"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let create = ["keys", "create", "--org", "acme", "--user", "bob", "--name", "web-1", "--scope", "tenant"];
    home.run(&create).done();
    home.run(&[&create[..], &["--expires-in", "31d"]].concat()).refused("longest_life_days of the organization");
    home.run(&create[..6]).refused("required_scopes");
    home.run(&["projects", "update", "web", "--org", "acme", "--policy", r#"{"allowed_environments":["prod"]}"#])
        .done();
    home.run(&[&create[..], &["--project", "web"]].concat()).refused("allowed_environments of the project");
    let free = home
        .run(&["organizations", "update", "acme", "--policy", "none", "--defaults", "none", "--json"])
        .done()
        .json();
    assert_eq!((&free["policy"], &free["defaults"]), (&Value::Null, &Value::Null));
    home.run(&create[..6]).done();
}

#[test]
fn what_cannot_be_a_rule_is_wrong_usage() {
    let home = Home::new();
    for (flag, rules, words) in [
        ("--policy", "{\"longest_life_days\":0}", "longest_life_days"),
        ("--policy", "{\"longest_live_days\":1}", "longest_live_days"),
        ("--policy", "[1]", "JSON object"),
        ("--policy", "{\"name_pattern\":\"(\"}", "regular expression"),
        ("--defaults", "{\"security_tier\":\"low\"}", "low"),
        ("--defaults", "{\"expires_in_days\":0}", "expires_in_days"),
    ] {
        home.run(&["organizations", "update", "acme", flag, rules]).wrong_usage(words);
        home.run(&["projects", "update", "web", "--org", "acme", flag, rules]).wrong_usage(words);
    }
}
