//! `keygate keys verify`.

use std::time::{Duration, Instant};

use keygate::check::Check;
use serde_json::{Value, json};

use crate::support::Home;

fn key(home: &Home, args: &[&str]) -> String {
    home.create(&[&["--user", "bob"], args].concat())["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_taken_from_standard_input_a_file_or_an_argument() {
    let home = Home::new();
    let key = key(&home, &[]);
    for input in [key.clone(), format!("{key}\n"), format!("{key}\r\n")] {
        let run = home.run_with(&input, &["keys", "verify"]).done();
        assert!(run.stdout.starts_with("valid\n") && run.stdout.contains("acme"), "{run:?}");
        assert_eq!(run.stderr, "");
    }
    home.run_with(&key, &["keys", "verify", "-"]).done();
    std::fs::write(home.path("key"), &key).unwrap();
    home.run(&["keys", "verify", "--key-file", "key"]).done();
    let argument = home.run(&["keys", "verify", &key]).done();
    assert!(argument.stderr.contains("warning:") && !argument.stderr.contains(&key), "{argument:?}");
    home.run(&["keys", "verify", "--key-file", "none"]).refused("--key-file none");
    home.run(&["keys", "verify", "--key-file", "key", "-"]).wrong_usage("--key-file");
    home.run(&["keys", "verify"]).refused("no key was given");
}

#[test]
fn one_spelling_is_valid() {
    let home = Home::new();
    let key = key(&home, &[]);
    let spellings = [
        format!(" {key}"),
        format!("{key} "),
        format!("{key}\n\n"),
        format!("{key}x"),
        key.to_uppercase(),
        "x".repeat(5000),
    ];
    for other in spellings {
        let run = home.run_with(&other, &["keys", "verify", "--json"]).ended_with("malformed_key");
        assert_eq!(run.json()["valid"], false);
        assert!(!run.stderr.contains(&key));
    }
    let last = if key.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &key[..key.len() - 1]);
    home.run_with(&forged, &["keys", "verify"]).ended_with("invalid_key");
}

#[test]
fn the_verdict_is_a_document_of_the_apis_shape() {
    let home = Home::new();
    let made = home.create(&["--user", "bob", "--scope", "reports:read"]);
    let text = made["key"].as_str().unwrap();
    let valid = home.run_with(text, &["keys", "verify", "--json"]).done().json();
    for field in ["key_id", "organization_id", "user_id", "scopes", "permissions", "environment", "expires_at"] {
        assert_eq!(valid[field], made[field], "{field}");
    }
    assert_eq!((&valid["valid"], &valid["reason"]), (&json!(true), &json!(null)));

    let run = home.run_with(text, &["keys", "verify", "--scope", "reports:write", "--json"]);
    let refused = run.ended_with("scope_not_authorized").json();
    assert_eq!((&refused["valid"], &refused["reason"]), (&json!(false), &json!("scope_not_authorized")));
    assert_eq!(refused["key_id"], made["key_id"]);
    assert!(refused["detail"].as_str().unwrap().contains("reports:write"));
    let plain = home.run_with(text, &["keys", "verify", "--scope", "reports:write"]).ended_with("scope_not_authorized");
    assert_eq!(plain.stdout, "not valid\n");
}

/// Not the first failure alone, but each, with what would mend it.
#[test]
fn an_explanation_tells_of_every_check() {
    let home = Home::new();
    let made = home.create(&["--user", "bob", "--allow-ip", "192.0.2.0/24", "--environment", "prod"]);
    let text = made["key"].as_str().unwrap();
    let explain = ["keys", "verify", "--explain", "--scope", "a:b"];
    let run = home.run_with(text, &[&explain[..], &["--json"]].concat()).ended_with("environment_mismatch");
    let verdict = run.json();
    let checks = verdict["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] == "failed").collect();
    let names: Vec<_> = failed.iter().map(|check| check["check"].as_str().unwrap()).collect();
    let expected = (Check::ALL.len(), vec!["environment", "client_address", "scopes"]);
    assert_eq!((checks.len(), names), expected, "{verdict}");
    assert!(checks.iter().all(|check| (check["verdict"] == "failed") == check["remedy"].is_string()), "{verdict}");

    let run = home.run_with(text, &explain).ended_with("environment_mismatch");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((lines[0], lines[1]), ("not valid", ""));
    assert!(lines.iter().any(|line| line.starts_with("passed") && line.contains("not before")), "{run:?}");
    assert!(lines.iter().any(|line| line.starts_with("failed") && line.contains("client address")), "{run:?}");
    assert!(run.stdout.contains("-> Use a key that was made for this environment."), "{run:?}");

    let right = ["keys", "verify", "--explain", "--client-ip", "192.0.2.1", "--environment", "prod"];
    let run = home.run_with(text, &right).done();
    assert!(run.stdout.starts_with("valid\n") && !run.stdout.contains("failed"), "{run:?}");
    let run = home.run_with("nonsense", &[&right[..], &["--json"]].concat()).ended_with("malformed_key");
    assert_eq!(run.json()["checks"][0]["verdict"], "failed");
    assert_eq!(run.json()["checks"][1]["verdict"], "not_reached");
}

#[test]
fn every_check_of_a_request_is_made() {
    let home = Home::new();
    let narrow = key(&home, &["--allow-ip", "192.0.2.0/24", "--permission", "deploy:*"]);
    home.run_with(&narrow, &["keys", "verify"]).ended_with("ip_not_allowed");
    home.run_with(&narrow, &["keys", "verify", "--client-ip", "198.51.100.1"]).ended_with("ip_not_allowed");
    home.run_with(&narrow, &["keys", "verify", "--client-ip", "192.0.2.7", "--permission", "deploy:web"]).done();
    home.run_with(&narrow, &["keys", "verify", "--client-ip", "192.0.2.7", "--permission", "admin"])
        .ended_with("permission_denied");
    let future = key(&home, &["--not-before", "2089-01-01T00:00:00Z", "--expires-in", "never"]);
    home.run_with(&future, &["keys", "verify"]).ended_with("key_not_yet_valid");
    let prod = key(&home, &["--environment", "prod"]);
    home.run_with(&prod, &["keys", "verify"]).ended_with("environment_mismatch");
    home.run_with(&prod, &["keys", "verify", "--environment", "prod"]).done();
    home.run_with(&prod, &["keys", "verify", "--client-ip", "somewhere"]).wrong_usage("--client-ip");
}

/// How much is left of each limit.
fn remaining(document: &Value) -> Vec<u64> {
    let left = document["limits_left"].as_array().unwrap_or_else(|| panic!("{document}"));
    left.iter().map(|left| left["remaining"].as_u64().unwrap()).collect()
}

#[test]
fn it_takes_what_it_is_told_to_of_the_limits_and_nothing_else() {
    let home = Home::new();
    let made = home.create(&["--user", "bob", "--limit", "day=10", "--limit", "month=100"]);
    let (id, text) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let verify = |args: &[&str]| home.run_with(text, &[&["keys", "verify", "--json"], args].concat());
    let shown = || remaining(&home.run(&["keys", "show", id, "--json"]).done().json());
    for args in [&[][..], &["--cost", "0"], &["--explain"], &["--explain", "--cost", "9"]] {
        let verdict = verify(args).done().json();
        let level = &verdict["limits_left"][0];
        assert_eq!((&level["level"], &level["window"], &level["limit"]), (&json!("key"), &json!("day"), &json!(10)));
        assert_eq!((remaining(&verdict), shown()), (vec![10, 100], vec![10, 100]), "{args:?}");
    }
    assert_eq!(remaining(&verify(&["--cost", "9"]).done().json()), [1, 91]);
    assert_eq!(shown(), [1, 91], "and all that was not used is there for others");

    let refused = verify(&["--cost", "2"]).ended_with("rate_limit_exceeded: The limit of 10 a day").json();
    assert_eq!((&refused["violated-policies"], &refused["key_id"]), (&json!(["day"]), &made["key_id"]), "{refused}");
    assert!(refused["retry_after"].as_u64().unwrap() > 0, "{refused}");
    let explained = verify(&["--explain", "--cost", "2"]).ended_with("rate_limit_exceeded").json();
    let last = explained["checks"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["check"], &last["verdict"]), (&json!("limits"), &json!("failed")), "{explained}");
    let never = verify(&["--cost", "11"]).ended_with("it is never let in").json();
    assert_eq!(never.get("retry_after"), None, "{never}");
    verify(&["--cost", "1"]).done();
    assert_eq!(shown(), [0, 90]);
    let told = home.run_with(text, &["keys", "verify"]).done().stdout;
    assert!(told.contains("0 of 10 left this day, until ") && told.contains("90 of 100 left this month"), "{told}");
    for wrong in ["-1", "1.5", "1000001", "x"] {
        home.run_with(text, &["keys", "verify", &format!("--cost={wrong}")]).wrong_usage("--cost");
    }
}

#[test]
fn a_key_ends_by_itself() {
    let home = Home::new();
    let key = key(&home, &["--expires-in", "1s"]);
    let begun = Instant::now();
    while home.run_with(&key, &["keys", "verify"]).status == Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
    home.run_with(&key, &["keys", "verify"]).ended_with("key_expired");
    let list = home.run(&["keys", "list", "--org", "acme", "--status", "expired"]).done();
    assert!(list.stdout.contains("expired"), "{list:?}");
}
