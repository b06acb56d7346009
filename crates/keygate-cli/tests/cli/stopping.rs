//! `keygate keys deactivate`, `activate`, `revoke` and `delete`.

use serde_json::json;

use crate::support::{Home, NO_KEY};

#[test]
fn a_deactivated_key_is_refused_until_it_is_activated() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let (id, text) = (key["key_id"].as_str().unwrap(), key["key"].as_str().unwrap());

    let stopped = home.run(&["keys", "deactivate", id, "--reason", "odd traffic", "--json"]).done().json();
    assert_eq!((&stopped["status"], &stopped["status_reason"]), (&json!("inactive"), &json!("odd traffic")));
    home.run_with(text, &["keys", "verify"]).ended_with("key_inactive");
    let shown = home.run(&["keys", "show", id]).done().stdout;
    assert!(shown.contains("inactive") && shown.contains("odd traffic"), "{shown}");

    let run = home.run(&["keys", "activate", id]).done();
    assert_eq!(run.stdout, format!("{id} of acme/bob is active\n"));
    home.run_with(text, &["keys", "verify"]).done();
}

#[test]
fn a_revoked_key_stays_revoked() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let (id, text) = (key["key_id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let first = home.run(&["keys", "revoke", id, "--yes", "--reason", "leaked", "--json"]).done().json();
    assert_eq!(first["key_id"], id);
    assert!(first["revoked_at"].is_string() && first["replicas"].is_number(), "{first}");
    let second = home.run(&["keys", "revoke", id, "--yes", "--json"]).done().json();
    assert_eq!(second["revoked_at"], first["revoked_at"]);
    home.run(&["keys", "activate", id]).refused("revoked, which is final");
    home.run(&["keys", "deactivate", id]).refused("revoked, which is final");
    home.run_with(text, &["keys", "verify"]).ended_with("key_revoked");
}

#[test]
fn a_script_is_not_asked() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let (id, text) = (key["key_id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let run = home.run(&["keys", "revoke", id]).done();
    assert!(run.stdout.starts_with(&format!("{id} is revoked since ")), "{run:?}");
    assert_eq!(run.stderr, "");
    home.run_with(text, &["keys", "verify"]).ended_with("key_revoked");
    let run = home.run(&["keys", "delete", id]).done();
    assert_eq!((run.stdout, run.stderr), (format!("{id} is deleted\n"), String::new()));

    // What is on standard input is no answer, as nothing was asked.
    let id = home.create_id(&["--user", "bob"]);
    home.run_with("n\n", &["keys", "revoke", &id, "--reason", "leaked"]).done();
    assert_eq!(home.run(&["keys", "show", &id, "--json"]).done().json()["status"], "revoked");
}

#[test]
fn only_a_key_that_is_out_of_use_is_deleted() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    home.run(&["keys", "delete", &id, "--yes"]).refused("revoke it before");
    home.run(&["keys", "revoke", &id, "--yes"]).done();
    let run = home.run(&["keys", "delete", &id, "--yes", "--json"]).done();
    assert_eq!(run.json(), json!({ "key_id": id, "deleted": true }));
    home.run(&["keys", "show", &id]).refused("there is no such key");
    home.run(&["keys", "delete", &id, "--yes"]).refused("there is no such key");
}

#[test]
fn a_key_that_is_not_there_is_said_so_by_every_command() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    for args in [&["show"][..], &["deactivate"], &["activate"], &["revoke"], &["delete"], &["delete", "--yes"]] {
        let all = [&["keys", args[0], NO_KEY], &args[1..]].concat();
        home.run(&all).refused("there is no such key");
        home.run(&[&all[..], &["--json"]].concat()).refused("there is no such key");
    }
}

#[test]
fn a_reason_that_is_no_reason_is_wrong_usage() {
    let home = Home::new();
    home.run(&["keys", "deactivate", NO_KEY, "--reason", &"x".repeat(201)]).wrong_usage("--reason");
    home.run(&["keys", "revoke", NO_KEY, "--reason", "a\nb"]).wrong_usage("--reason");
    home.run(&["keys", "activate", NO_KEY, "--reason", "a"]).wrong_usage("--reason");
}
