//! `keygate keys bulk`, on a store and through a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::server::{Deployment, answering_after};
use crate::support::{Home, NO_KEY, Run};

const BULK: [&str; 2] = ["keys", "bulk"];

fn bulk(home: &Home, operation: &str, more: &[&str]) -> Run {
    home.run(&[&BULK[..], &[operation, "--org", "acme"], more].concat())
}

fn shown(home: &Home, id: &str) -> Value {
    home.run(&["keys", "show", id, "--json"]).done().json()
}

fn statuses(home: &Home, ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| shown(home, id)["status"].clone()).collect()
}

/// On a store and through a server.
fn on_both_desks(test: fn(&Home)) {
    test(&Home::new());
    let deployment = Deployment::new();
    let server = deployment.serve();
    test(&deployment.home(&server.url()));
}

#[test]
fn the_same_is_done_to_keys_that_are_named() {
    on_both_desks(|home| {
        let ids: Vec<String> = ["ada", "bob", "eve"].map(|user| home.create_id(&["--user", user])).to_vec();
        let run = bulk(home, "deactivate", &[&ids[0], &ids[1], &ids[0], "--reason", "odd"]).done();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "note: 2 keys of acme deactivated, 0 failed\n"));
        assert_eq!(statuses(home, &ids), ["inactive", "inactive", "active"]);

        // What fails stops none of the others.
        let run = bulk(home, "activate", &[NO_KEY, &ids[0]]).ended_with("1 of 2 keys failed");
        assert!(run.stderr.contains(&format!("\n{NO_KEY}: not_found: ")) || run.stderr.starts_with(NO_KEY), "{run:?}");
        assert!(run.stderr.contains("1 keys of acme activated, 1 failed"), "{run:?}");
        assert_eq!(statuses(home, &ids), ["active", "inactive", "active"]);

        fs::write(home.path("ids"), format!("{}\n\n{}\n", ids[1], ids[2])).unwrap();
        let run = bulk(home, "revoke", &["--from", "ids", "--reason", "leaked", "--json"]).done();
        assert_eq!(run.json(), json!({ "successful": [ids[1], ids[2]], "failed": [] }));
        let all = [&BULK[..], &["revoke", "--org", "acme", "--from", "-", "--json"]].concat();
        let run = home.run_with(&format!("{NO_KEY}\n{}", ids[0]), &all).ended_with("1 of 2 keys failed");
        let document = run.json();
        assert_eq!((&document["successful"], &document["failed"][0]["key_id"]), (&json!([ids[0]]), &json!(NO_KEY)));
        assert_eq!(document["failed"][0]["reason"], "not_found");
        assert!(document["failed"][0]["detail"].is_string(), "{document}");
        assert_eq!(statuses(home, &ids), ["revoked", "revoked", "revoked"]);
    });
}

#[test]
fn another_organizations_key_is_not_found() {
    on_both_desks(|home| {
        let other = home.run(&["keys", "create", "--org", "umbrella", "--user", "bob", "--json"]).done().json();
        let id = other["key_id"].as_str().unwrap();
        let run = bulk(home, "revoke", &[id]).ended_with("1 of 1 keys failed");
        assert!(run.stderr.contains("not_found"), "{run:?}");
        assert_eq!(shown(home, id)["status"], "active");
    });
}

#[test]
fn a_filter_says_which_keys() {
    on_both_desks(|home| {
        let (bob, ada) = (home.create_id(&["--user", "bob"]), home.create_id(&["--user", "ada", "--tag", "x"]));
        let ids = [bob.clone(), ada.clone()];
        let run = bulk(home, "revoke", &["--user", "bob", "--dry-run"]).done();
        assert!(run.stderr.contains("1 keys of acme would be revoked, 0 would fail"), "{run:?}");
        assert_eq!(statuses(home, &ids), ["active", "active"]);
        bulk(home, "deactivate", &["--tag", "x", "--status", "active"]).done();
        assert_eq!(statuses(home, &ids), ["active", "inactive"]);
        bulk(home, "deactivate", &["--expiring-within", "2d"]).done();
        bulk(home, "deactivate", &["--environment", "prod"]).done();
        bulk(home, "deactivate", &["--project", "web"]).done();
        bulk(home, "deactivate", &["--unused-for", "1s"]).done();
        assert_eq!(statuses(home, &ids), ["active", "inactive"]);
        let run = bulk(home, "deactivate", &["--all", "--json"]).done();
        assert_eq!(run.json(), json!({ "successful": [ada, bob], "failed": [] }));
    });
}

#[test]
fn what_keys_may_do_and_their_limits_are_changed() {
    on_both_desks(|home| {
        let id = home.create_id(&["--user", "bob", "--permission", "a:b"]);
        bulk(home, "update-permissions", &[&id, "--permission", "deploy:*", "--permission", "x:y"]).done();
        bulk(home, "update-scopes", &["--user", "bob", "--scope", "reports:read"]).done();
        let run = bulk(home, "update-limits", &["--all", "--limit", "minute=60", "--burst", "5"]).done();
        assert!(run.stderr.contains("1 keys of acme changed, 0 failed"), "{run:?}");
        let key = shown(home, &id);
        assert_eq!(key["permissions"], json!(["deploy:*", "x:y"]));
        assert_eq!(key["scopes"], json!(["reports:read"]));
        assert_eq!((&key["limits"]["per_minute"], &key["limits"]["burst"]), (&json!(60), &json!(5)));
        assert_eq!(key["limits"]["per_hour"], json!(null));
        bulk(home, "update-permissions", &[&id, "--no-permissions"]).done();
        bulk(home, "update-scopes", &[&id, "--no-scopes"]).done();
        bulk(home, "update-limits", &[&id, "--limit", "none"]).done();
        let key = shown(home, &id);
        assert_eq!((&key["permissions"], &key["scopes"]), (&json!([]), &json!([])));
        assert_eq!(key["limits"]["per_minute"], json!(null));
    });
}

/// More than one page of a rotation has.
const MANY: usize = 205;

#[test]
fn the_new_keys_of_a_rotation_are_in_the_file() {
    on_both_desks(|home| {
        home.create(&["--user", "load", "--count", &MANY.to_string(), "--output", "old"]);
        let dry = bulk(home, "rotate", &["--all", "--dry-run"]).done();
        assert!(dry.stderr.contains(&format!("{MANY} keys of acme would be rotated")), "{dry:?}");
        let run = bulk(home, "rotate", &["--all", "--overlap", "0d", "--output", "new"]).done();
        assert_eq!(run.stdout, "");
        let said = format!("{MANY} keys of acme rotated, 0 failed; the new keys are in new, readable by you alone");
        assert!(run.stderr.contains(&said), "{run:?}");
        assert_eq!(home.path("new").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let lines = |file: &str| -> Vec<String> {
            fs::read_to_string(home.path(file)).unwrap().lines().map(str::to_owned).collect()
        };
        assert_eq!(lines("new").len(), MANY);
        for place in [0, 100, MANY - 1] {
            home.run_with(&lines("new")[place], &["keys", "verify"]).done();
            home.run_with(&lines("old")[place], &["keys", "verify"]).ended_with("key_revoked");
        }
        bulk(home, "rotate", &["--all", "--output", "new"]).refused("is there already");
    });
}

#[test]
fn a_document_shows_the_new_keys_unless_they_are_in_a_file() {
    on_both_desks(|home| {
        let id = home.create_id(&["--user", "bob"]);
        let document = bulk(home, "rotate", &[&id, "--overlap", "2d", "--json"]).done().json();
        let rotated = &document["rotated"][0];
        assert_eq!((&document["successful"], &rotated["old_key_id"]), (&json!([id]), &json!(id)));
        home.run_with(rotated["key"].as_str().unwrap(), &["keys", "verify"]).done();
        let next = rotated["new_key_id"].as_str().unwrap();
        let document =
            bulk(home, "rotate", &[next, &id, "--output", "keys", "--json"]).ended_with("1 of 2 keys failed");
        let document = document.json();
        assert_eq!(
            (&document["rotated"][0]["old_key_id"], &document["rotated"][0]["key"]),
            (&json!(next), &json!(null))
        );
        assert_eq!(document["failed"][0]["reason"], "key_superseded");
        let text = fs::read_to_string(home.path("keys")).unwrap();
        home.run_with(text.trim_end(), &["keys", "verify"]).done();
        // Nothing was rotated, and there is no file.
        bulk(home, "rotate", &[&id, "--output", "none"]).ended_with("1 of 1 keys failed");
        assert!(!home.path("none").exists());
    });
}

#[test]
fn new_keys_that_cannot_be_written_are_told_by_their_ids() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    for more in [&["--output", "-"][..], &["--json"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let key = home.create_id(&["--user", "bob"]);
        let args = [&BULK[..], &["rotate", "--org", "acme", &key], more].concat();
        let run = Run::of(home.command(&args).stdout(full).spawn().unwrap());
        let run = run.ended_with("1 keys were rotated whose successors could not be written");
        let successor = home.run(&["rotation", "show", &key, "--json"]).done().json();
        let successor = successor["successor"]["key_id"].as_str().unwrap();
        assert!(run.stderr.contains(&format!("{key}: its successor {successor} was not written")), "{run:?}");
    }
    assert_eq!(shown(&home, &id)["status"], "active");
}

/// Whatever page is under way is done and told of, and what is left goes on from there.
#[test]
fn an_interruption_tells_where_to_go_on_and_loses_no_new_key() {
    let home = Home::new();
    home.create(&["--user", "load", "--count", "1000", "--output", "old"]);
    let rotate = ["rotate", "--org", "acme", "--all", "--overlap", "0d", "--output"];
    let child = home.command(&[&BULK[..], &rotate, &["new", "--json"]].concat()).spawn().unwrap();
    let begun = Instant::now();
    while home.path("new").metadata().map_or(0, |file| file.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let run = Run::of(child).ended_with(": it was interrupted; --cursor ");
    let document = run.json();
    let cursor = document["next_cursor"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("--cursor {cursor} and another --output goes on from there")), "{run:?}");
    let lines = |file: &str| fs::read_to_string(home.path(file)).unwrap().lines().count();
    let done = document["successful"].as_array().unwrap().len();
    assert_eq!((lines("new"), document["rotated"].as_array().unwrap().len()), (done, done));
    assert!((1..1_000).contains(&done), "{done}");

    home.run(&[&BULK[..], &rotate, &["rest", "--cursor", cursor]].concat()).done();
    assert_eq!(lines("rest"), 1_000 - done, "each key was rotated once");
    let list = home.run(&["keys", "list", "--org", "acme", "--status", "active", "--all", "--json"]).done().json();
    assert_eq!(list["keys"].as_array().unwrap().len(), 1_000);
    for file in ["new", "rest"] {
        let text = fs::read_to_string(home.path(file)).unwrap();
        home.run_with(text.lines().next_back().unwrap(), &["keys", "verify"]).done();
    }
}

/// Texts that are only shown at the end would go with the command, so without a file there is one page of them.
#[test]
fn more_keys_than_a_page_are_rotated_into_a_file() {
    let home = Home::new();
    home.create(&["--user", "load", "--count", "101", "--output", "old"]);
    let list = home.run(&["keys", "list", "--org", "acme", "--all", "--json"]).done().json();
    let ids: Vec<&str> = list["keys"].as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap()).collect();
    fs::write(home.path("ids"), ids.join("\n")).unwrap();
    let run = bulk(&home, "rotate", &["--from", "ids", "--json"]);
    assert_eq!((run.status, run.stderr.contains("more than 100 keys at once")), (Some(2), true), "{run:?}");
    let run = bulk(&home, "rotate", &["--all", "--json"]).ended_with("there are more than 100 keys");
    let document = run.json();
    assert_eq!(document["rotated"].as_array().unwrap().len(), 100);
    let (cursor, made_before) = (document["next_cursor"].as_str().unwrap(), document["made_before"].as_str().unwrap());
    assert!(run.stderr.contains(&format!("--cursor {cursor}")) && run.stderr.contains("--made-before "), "{run:?}");
    // What is left goes on, and the same command leaves the new keys alone.
    let rest = bulk(&home, "rotate", &["--all", "--json", "--cursor", cursor, "--made-before", made_before]).done();
    assert_eq!(rest.json()["rotated"].as_array().unwrap().len(), 1);
    let again = bulk(&home, "rotate", &["--all", "--made-before", made_before, "--output", "none", "--json"]);
    let again = again.ended_with("101 of 101 keys failed; with --made-before ").json();
    assert_eq!(again["failed"][0]["reason"], "key_superseded");
    assert!(!home.path("none").exists());
}

/// The exit status is the verdict, also where nobody reads the words.
#[test]
fn a_failure_is_one_where_nobody_reads_the_output() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let args = [&BULK[..], &["revoke", "--org", "acme", NO_KEY, "--json"]].concat();
    let run = Run::of(home.command(&args).stdout(writer).spawn().unwrap());
    assert_eq!((run.status, run.stderr.contains("1 of 1 keys failed")), (Some(1), true), "{run:?}");
}

/// A server answers the first page, and not the second.
#[test]
fn a_page_that_fails_tells_where_to_go_on() {
    fn refuse() -> axum::response::Response {
        let problem = json!({ "title": "Forbidden", "detail": "not now", "reason": "permission_denied" });
        (StatusCode::FORBIDDEN, Json(problem)).into_response()
    }
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    home.create(&["--user", "load", "--count", &MANY.to_string(), "--output", "old"]);
    let failing = crate::server::Server::of(answering_after(1, deployment.router(), refuse));
    let cut_off = deployment.home(&failing.url());
    let run = bulk(&cut_off, "rotate", &["--all", "--overlap", "0d", "--output", "new", "--json"]);
    let run = run.ended_with("may not do this: not now; --cursor ");
    assert!(run.stderr.contains(" and another --output goes on from there"), "{run:?}");
    let document = run.json();
    let cursor = document["next_cursor"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("--cursor {cursor} and")), "{run:?}");
    let lines = |home: &Home| fs::read_to_string(home.path("new")).unwrap().lines().count();
    assert_eq!((document["successful"].as_array().unwrap().len(), lines(&cut_off)), (100, 100));
    bulk(&home, "rotate", &["--all", "--overlap", "0d", "--output", "new", "--cursor", cursor]).done();
    assert_eq!(lines(&home), MANY - 100);

    // Of keys that are named it says before which it stopped; and where nothing was done, only why.
    let list = home.run(&["keys", "list", "--org", "acme", "--status", "active", "--all", "--json"]).done().json();
    let keys: Vec<&str> = list["keys"].as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap()).collect();
    fs::write(cut_off.path("ids"), keys.join("\n")).unwrap();
    let failing = crate::server::Server::of(answering_after(1, deployment.router(), refuse));
    let cut_off = cut_off.with("KEYGATE_SERVER", &failing.url());
    let run = bulk(&cut_off, "rotate", &["--from", "ids", "--output", "next"]);
    run.ended_with(&format!(
        "not now; what comes before {} is done, and the same command and another --output",
        keys[100]
    ));
    let failing = crate::server::Server::of(answering_after(0, deployment.router(), refuse));
    let cut_off = cut_off.with("KEYGATE_SERVER", &failing.url());
    bulk(&cut_off, "rotate", &["--all", "--output", "last"]).refused("may not do this: not now");
    assert!(!cut_off.path("last").exists());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    let wrong: [(&str, &[&str], &str); 22] = [
        ("stop", &[NO_KEY], "stop"),
        ("revoke", &["nonsense"], "KEY_ID"),
        ("revoke", &[], "no key is named"),
        ("revoke", &[&id, "--user", "bob"], "goes without KEY_ID"),
        ("revoke", &[&id, "--environment", "prod"], "goes without KEY_ID"),
        ("revoke", &[&id, "--all"], "--all goes without KEY_ID"),
        ("revoke", &["--from", "ids", "--all"], "--all goes without --from"),
        ("revoke", &[&id, "--cursor", NO_KEY], "--cursor goes without KEY_ID"),
        ("revoke", &[&id, "--from", "ids"], "--from"),
        ("revoke", &["--all", "--user", "bob"], "--all"),
        ("revoke", &["--cursor", NO_KEY], "no key is named"),
        ("revoke", &["--expiring-within", "12h"], "--expiring-within"),
        ("revoke", &[&id, "--overlap", "1d"], "--overlap is not of this operation"),
        ("revoke", &[&id, "--output", "f"], "--output is not of this operation"),
        ("rotate", &[&id], "--output"),
        ("rotate", &[&id, "--output", "f", "--reason", "x"], "--reason is not of this operation"),
        ("rotate", &[&id, "--output", "f", "--overlap", "366d"], "--overlap"),
        ("update-scopes", &[&id], "--scope"),
        ("update-scopes", &[&id, "--permission", "a:b"], "--permission is not of this operation"),
        ("update-permissions", &[&id], "--permission"),
        ("update-limits", &[&id], "--limit"),
        ("update-limits", &[&id, "--burst", "5"], "--burst needs --limit minute=N"),
    ];
    for (operation, more, words) in wrong {
        bulk(&home, operation, more).wrong_usage(words);
    }
    home.run(&["keys", "bulk", "revoke", &id]).wrong_usage("--org");
    bulk(&home, "revoke", &["--from", "nowhere"]).refused("--from nowhere: ");
    fs::write(home.path("ids"), "\n").unwrap();
    bulk(&home, "revoke", &["--from", "ids"]).refused("--from ids names no key");
    fs::write(home.path("ids"), format!("{id}\nmcp_dev_secret\n")).unwrap();
    let run = bulk(&home, "revoke", &["--from", "ids"]).refused("--from ids: line 2 is not a key's id");
    assert!(!run.stderr.contains("secret"), "{run:?}");
    assert!(!home.path("f").exists());
    assert_eq!(shown(&home, &id)["status"], "active");
}

/// The ids are read a line at a time and sent a thousand at a time.
#[test]
fn any_number_of_ids_is_taken() {
    on_both_desks(|home| {
        let (first, last) = (home.create_id(&["--user", "bob"]), home.create_id(&["--user", "bob"]));
        let absent = (0..2_500).map(|nth| format!("01933b0e-8f1c-7c3a-9d55-{nth:012x}"));
        let ids: Vec<String> = [first.clone()].into_iter().chain(absent).chain([last.clone()]).collect();
        fs::write(home.path("ids"), ids.join("\n")).unwrap();
        let run = bulk(home, "revoke", &["--from", "ids", "--json"]).ended_with("2500 of 2502 keys failed");
        assert_eq!(run.json()["successful"], json!([first, last]));
    });
}

/// A script is not asked; somebody at a terminal is, before what is final and where a filter chooses.
#[test]
#[cfg(target_os = "linux")]
fn somebody_at_a_terminal_is_asked() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    let program = env!("CARGO_BIN_EXE_keygate");
    let asked = |answer: &str, arguments: &str| {
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &format!("{program} keys bulk {arguments}"), "/dev/null"]);
        script.current_dir(home.path("")).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = script.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, said) = asked("n\n", &format!("revoke --org acme {id}"));
    assert!(status == Some(1) && said.contains("Revoke 1 keys of acme? This is final. [y/N]"), "{said}");
    let (status, said) = asked("n\n", &format!("rotate --org acme {id} --overlap 0d --output f"));
    assert!(status == Some(1) && said.contains("Replace and revoke 1 keys of acme? This is final."), "{said}");
    let (status, said) = asked("n\n", "deactivate --org acme --user bob");
    assert!(status == Some(1) && said.contains("Deactivate every key of acme that the filter admits?"), "{said}");
    assert_eq!(shown(&home, &id)["status"], "active");
    let (status, said) = asked("", &format!("deactivate --org acme {id}"));
    assert!(status == Some(0) && !said.contains("[y/N]"), "{said}");
    let (status, said) = asked("y\n", "revoke --org acme --all");
    assert!(status == Some(0) && said.contains("Revoke every key of acme? This is final."), "{said}");
    assert_eq!(shown(&home, &id)["status"], "revoked");
}
