//! `keygate keys rotate` and `keygate rotation`.

use std::process::Stdio;

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::server::{Deployment, Server, overdue};
use crate::support::{Home, NO_KEY, Run, SECRET};

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A table with one space between its columns.
fn spaced(table: &str) -> String {
    table.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_new_key_alone_is_on_standard_output_and_both_work() {
    let home = Home::new();
    let key = home.create(&["--user", "bob", "--name", "nightly report"]);
    let (id, old) = (word(&key["key_id"]), word(&key["key"]));
    let run = home.run(&["keys", "rotate", id, "--overlap", "3d"]).done();
    let new = run.stdout.strip_suffix('\n').unwrap();
    assert!(new.starts_with("mcp_dev_") && new.len() == "mcp_dev_".len() + 76 && new != old, "{run:?}");
    for words in
        ["nightly report", &format!("predecessor {id}"), &format!("{id} is good until "), "(in 3 days)", "only time"]
    {
        assert!(spaced(&run.stderr).contains(words), "{words:?} is not in {run:?}");
    }
    assert!(!run.stderr.contains(new));
    for text in [old, new] {
        home.run_with(text, &["keys", "verify"]).done();
    }
    let shown = home.run(&["keys", "show", id]).done().stdout;
    let successor = home.run_with(new, &["keys", "verify", "--json"]).done().json()["key_id"].clone();
    assert!(shown.contains(&format!("{}, since ", word(&successor))), "{shown}");
    // Whoever checks the old key is told too.
    let checked = home.run_with(old, &["keys", "verify", "--json"]).done().json();
    assert_eq!((&checked["valid"], &checked["superseded"]["successor_id"]), (&json!(true), &successor));
    let checked = home.run_with(old, &["keys", "verify"]).done().stdout;
    assert!(checked.contains(&format!("{}, since ", word(&successor))), "{checked}");
    assert_eq!(home.run_with(new, &["keys", "verify", "--json"]).done().json()["superseded"], Value::Null);
    home.run(&["keys", "rotate", id]).refused(&format!("rotated already: rotate its successor, {}", word(&successor)));
}

#[test]
fn with_json_it_is_the_apis_document() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob", "--expires-in", "never"]);
    let rotation = home.run(&["keys", "rotate", &id, "--json"]).done().json();
    let fields: Vec<&str> = rotation.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["key", "new_key_id", "old_key_id", "overlap_expires_at", "successor"]);
    assert_eq!((word(&rotation["old_key_id"]), &rotation["successor"]["predecessor_id"]), (&*id, &json!(id)));
    assert_eq!(rotation["successor"]["lineage"], json!({"root": id, "generation": 1}));
    let kept = home.run(&["keys", "show", &id, "--json"]).done().json();
    let status = home.run(&["rotation", "show", &id, "--json"]).done().json();
    assert_eq!((&status["revision"], &status["generation"]), (&kept["revision"], &json!(0)));
    assert_eq!(kept["superseded"]["successor_id"], rotation["new_key_id"]);
    assert_eq!(kept["expires_at"], rotation["overlap_expires_at"]);
    home.run_with(word(&rotation["key"]), &["keys", "verify"]).done();
}

#[test]
fn without_an_overlap_the_old_key_is_refused_at_once() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    // A script is not asked.
    let run = home.run(&["keys", "rotate", word(&key["key_id"]), "--overlap", "0d"]).done();
    assert!(run.stderr.contains("is refused from now on"), "{run:?}");
    home.run_with(word(&key["key"]), &["keys", "verify"]).ended_with("key_revoked");
    home.run_with(&run.stdout, &["keys", "verify"]).done();
}

#[test]
fn a_successor_that_nobody_was_shown_can_be_rotated_in_its_turn() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = Run::of(home.command(&["keys", "rotate", &id]).stdout(Stdio::from(full)).spawn().unwrap());
    let full = full.refused("No space left");
    let (_, command) = full.stderr.trim_end().rsplit_once("keygate ").unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    let run = home.run(&arguments).done();
    home.run_with(&run.stdout, &["keys", "verify"]).done();
}

#[test]
fn a_schedule_is_set_shown_and_taken_away() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob", "--expires-in", "never"]);
    let shown = home.run(&["rotation", "show", &id]).done().stdout;
    assert!(spaced(&shown).contains("schedule none") && !shown.contains("next rotation"), "{shown}");

    let run = home.run(&["rotation", "set", &id, "--every", "90d"]).done();
    for words in
        ["every 90 days, by hand; a warning 7 days before, an overlap of 7 days", "(in 90 days)", "last used never"]
    {
        assert!(spaced(&run.stdout).contains(words), "{words:?} is not in {run:?}");
    }
    assert_eq!(run.stderr, "");
    let all = "--every 30d --warning 2d --overlap 3d --auto --no-notify --hand-over --json";
    let set: Vec<&str> = ["rotation", "set", &id].into_iter().chain(all.split(' ')).collect();
    let set = home.run(&set).done().json();
    for (field, value) in [
        ("key_id", json!(id)),
        ("generation", json!(0)),
        ("interval_days", json!(30)),
        ("warning_days", json!(2)),
        ("overlap_days", json!(3)),
        ("auto_rotate", json!(true)),
        ("notify_users", json!(false)),
        ("hand_over", json!(true)),
        ("successor", json!(null)),
    ] {
        assert_eq!(set[field], value, "{field}");
    }
    assert_eq!(home.run(&["rotation", "show", &id, "--json"]).done().json(), set);
    let shown = home.run(&["keys", "show", &id]).done().stdout;
    for words in ["every 30 days, by itself;", "its owner is not told", "next rotation", "may claim its successor"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }

    assert_eq!(home.run(&["rotation", "clear", &id]).done().stdout, format!("{id} has no schedule\n"));
    assert_eq!(home.run(&["rotation", "clear", &id, "--json"]).done().json(), json!({"key_id": id, "rotation": null}));
    assert_eq!(home.run(&["rotation", "show", &id, "--json"]).done().json()["next_rotation"], json!(null));
}

#[test]
fn a_schedule_whose_rotations_would_wait_is_warned_of() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    let set = ["rotation", "set", &id, "--every", "30d", "--auto"];
    let run = home.run(&set).done();
    assert!(run.stderr.starts_with("warning: it waits when it is due"), "{run:?}");
    let run = home.run(&[&set[..], &["--hand-over"]].concat()).done();
    assert_eq!(run.stderr, "");
    assert_eq!(home.run(&set).done().stderr, "", "what is not said of the hand-over stays as it is");
    let run = home.run(&[&set[..], &["--no-hand-over"]].concat()).done();
    assert!(run.stderr.contains("--hand-over"), "{run:?}");
}

#[test]
fn an_overlap_is_ended_early() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let (id, old) = (word(&key["key_id"]), word(&key["key"]));
    home.run(&["rotation", "finish", id]).refused("the key was not rotated: it has no successor");
    let new = home.run(&["keys", "rotate", id]).done().stdout;
    let run = home.run(&["rotation", "finish", id]).done();
    assert!(run.stdout.starts_with(&format!("{id} has ended since ")), "{run:?}");
    home.run_with(old, &["keys", "verify"]).ended_with("key_expired");
    home.run_with(&new, &["keys", "verify"]).done();
    let again = home.run(&["rotation", "finish", id, "--json"]).done().json();
    assert_eq!(again, {
        let mut kept = home.run(&["keys", "show", id, "--json"]).done().json();
        kept.as_object_mut().unwrap().remove("limits_left");
        kept
    });
}

#[test]
fn what_is_due_is_rotated_by_a_run() {
    let home = Home::new().with("KEYGATE_SECRET", SECRET);
    let (id, old) = overdue(&home.path("keygate.redb"), true);
    let shown = home.run(&["rotation", "show", &id]).done().stdout;
    assert!(shown.contains("2026-01-31 00:00:00 UTC") && shown.contains(", overdue"), "{shown}");
    let run = home.run(&["rotation", "run", "--json"]).done();
    let expected = json!({"rotated": 1, "waiting": 0, "withdrawn": 0, "failed": 0, "told": 0, "unread": 0});
    assert_eq!(run.json(), expected, "{run:?}");
    let status = home.run(&["rotation", "show", &id, "--json"]).done().json();
    assert_eq!(status["successor"]["state"], "active");
    home.run_with(&old, &["keys", "verify"]).done();
    let run = home.run(&["rotation", "run"]).done();
    assert_eq!(
        (&*run.stdout, &*run.stderr),
        ("0 rotated, 0 waiting, 0 offers withdrawn, 0 failed, 0 notices made\n", "")
    );
}

#[test]
fn a_key_whose_new_text_nobody_would_see_waits_and_why_is_said() {
    let home = Home::new().with("KEYGATE_SECRET", SECRET);
    let (id, old) = overdue(&home.path("keygate.redb"), false);
    let run = home.run(&["rotation", "run"]).done();
    assert_eq!(run.stdout, "0 rotated, 1 waiting, 0 offers withdrawn, 0 failed, 0 notices made\n");
    assert!(run.stderr.contains("turn its hand-over on") && run.stderr.contains(&id), "{run:?}");
    home.run_with(&old, &["keys", "verify"]).done();
    home.run(&["rotation", "set", &id, "--every", "30d", "--auto", "--hand-over"]).done();
}

#[test]
fn a_server_runs_its_schedules_by_itself() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    home.run(&["rotation", "run"]).refused("the server runs the schedules of its keys by itself");
    home.run(&["rotation", "run", "--json"]).refused("each minute");
    assert_eq!(server.requests(), 0);
}

/// What was asked for twice under one name was done once, and its text is lost with the first answer.
#[test]
fn an_answer_that_has_no_text_is_told_with_what_to_do() {
    let rotated = json!({
        "old_key_id": NO_KEY, "new_key_id": NO_KEY, "key": null, "overlap_expires_at": "2026-01-08T00:00:00Z", "successor": {},
    });
    let server = Server::answering(move || Json(rotated.clone()).into_response());
    let home = Deployment::new().home(&server.url());
    home.run(&["keys", "rotate", NO_KEY])
        .refused(&format!("was lost; rotate that in its turn, with keygate keys rotate {NO_KEY}"));
}

/// Who may write and not read sets a schedule all the same.
#[test]
fn a_schedule_needs_no_more_than_its_permission() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let id = deployment.home(&server.url()).create_id(&["--user", "bob", "--no-scopes"]);
    let home = |permissions: &[&str]| {
        let key = deployment.tenant("acme", permissions, &[]);
        Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &key)
    };
    let (reader, writer) = (home(&["keys:read"]), home(&["keys:write"]));
    let set = ["rotation", "set", &id, "--every", "30d"];
    reader.run(&set).refused("may not do this: The API key's permissions do not cover keys:write");
    reader.run(&["keys", "rotate", &id]).refused("keys:write");
    writer.run(&set).done();
    writer.run(&["rotation", "show", &id]).refused("keys:read");
    reader.run(&["rotation", "show", &id]).done();
    writer.run(&["keys", "rotate", &id]).done();
}

#[test]
fn a_key_that_is_not_there_is_said_so_by_every_command() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    for args in [
        &["keys", "rotate", NO_KEY][..],
        &["keys", "rotate", NO_KEY, "--overlap", "0d", "--yes"],
        &["rotation", "set", NO_KEY, "--every", "30d"],
        &["rotation", "show", NO_KEY],
        &["rotation", "clear", NO_KEY],
        &["rotation", "finish", NO_KEY],
    ] {
        home.run(args).refused("there is no such key");
        home.run(&[args, &["--json"]].concat()).refused("there is no such key");
    }
}

#[test]
fn wrong_values_are_wrong_usage() {
    let home = Home::new();
    for overlap in ["7", "12h", "366d", "soon", "-1d"] {
        home.run(&["keys", "rotate", NO_KEY, &format!("--overlap={overlap}")]).wrong_usage("--overlap");
    }
    home.run(&["keys", "rotate"]).wrong_usage("<KEY_ID>");
    home.run(&["keys", "rotate", "mcp_dev_pasted"]).wrong_usage("KEY_ID must be a UUID");
    let wrong: [(&[&str], &str); 10] = [
        (&[], "--every"),
        (&["--every", "0d"], "--every: rotation interval_days must be 1 to 3650"),
        (&["--every", "3651d"], "--every: rotation interval_days must be 1 to 3650"),
        (&["--every", "36h"], "--every"),
        (&["--every", "7d"], "--warning: rotation warning_days must be below interval_days"),
        (&["--every", "30d", "--warning", "30d"], "--warning: "),
        (&["--every", "30d", "--overlap", "30d"], "--overlap: rotation overlap_days must be below interval_days"),
        (&["--every", "3000d", "--overlap", "366d"], "--overlap"),
        (&["--every", "30d", "--overlap", "0d", "--auto"], "--overlap: rotation overlap_days must be at least 1"),
        (&["--every", "30d", "--hand-over", "--no-hand-over"], "--no-hand-over"),
    ];
    for (args, words) in wrong {
        home.run(&[&["rotation", "set", NO_KEY], args].concat()).wrong_usage(words);
    }
    assert!(!home.path("keygate.redb").exists(), "wrong usage touches no store");
}
