//! `keygate keys create --count`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Home, Run};

fn lines(home: &Home, file: &str) -> Vec<String> {
    std::fs::read_to_string(home.path(file)).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_of_the_users_gets_a_key_in_the_file() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--scope", "a:b", "--output", "keys.txt"];
    let run = home.run(&[&create[..], &["--count", "2500"]].concat()).done();
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("2500 keys for load-1 to load-2500 of acme were made and are in keys.txt"), "{run:?}");
    assert!(!run.stderr.contains('\r') && !run.stderr.contains('━'), "no bar but on a terminal: {run:?}");
    let mode = home.path("keys.txt").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let keys = lines(&home, "keys.txt");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 2500);
    for (place, user) in [(0, "load-1"), (1000, "load-1001"), (2499, "load-2500")] {
        let verdict = home.run_with(&keys[place], &["keys", "verify", "--scope", "a:b", "--json"]).done().json();
        assert_eq!(verdict["user_id"], user);
    }
    let list = home.run(&["keys", "list", "--org", "acme", "--all", "--json"]).done().json();
    assert_eq!((list["keys"].as_array().unwrap().len(), &list["next_cursor"]), (2500, &json!(null)));
    home.run(&[&create[..], &["--count", "1"]].concat()).refused("is there already");
}

#[test]
fn a_count_of_one_is_numbered_like_any_other() {
    let home = Home::new();
    let made = home.create(&["--user", "load", "--count", "1", "--output", "one"]);
    assert_eq!(made, json!({ "created": 1, "output": "one" }));
    let verdict = home.run_with(&lines(&home, "one")[0], &["keys", "verify", "--json"]).done().json();
    assert_eq!(verdict["user_id"], "load-1");
}

#[test]
fn a_dash_is_standard_output() {
    let home = Home::new();
    let run = home.run(&["keys", "create", "--org", "acme", "--user", "load", "--count", "3", "--output", "-"]).done();
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with("mcp_dev_")).count(), 3);
    assert_eq!(run.stdout.lines().count(), 3);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let home = Home::new();
    let create = ["keys", "create", "--org", "acme", "--user", "load"];
    home.run(&[&create[..], &["--count", "2"]].concat()).wrong_usage("--output");
    home.run(&[&create[..], &["--count", "0", "--output", "f"]].concat()).wrong_usage("--count");
    home.run(&[&create[..], &["--count", "many", "--output", "f"]].concat()).wrong_usage("--count");
    let long = "u".repeat(126);
    home.run(&["keys", "create", "--org", "acme", "--user", &long, "--count", "10", "--output", "f"])
        .wrong_usage("user id");
    assert!(!home.path("f").exists() && !home.path("keygate.redb").exists());
}

#[test]
fn the_slow_tier_can_be_made_in_numbers_too() {
    let home = Home::new();
    home.create(&["--user", "load", "--count", "6", "--output", "slow", "--tier", "high"]);
    assert_eq!(lines(&home, "slow").len(), 6);
    home.run_with(&lines(&home, "slow")[5], &["keys", "verify"]).done();
}

#[test]
fn a_refusal_on_the_way_says_how_many_were_made() {
    let home = Home::new();
    for _ in 0..10 {
        home.create(&["--user", "load-3"]);
    }
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "5", "--output", "keys"];
    home.run(&create).refused("4 of 5 keys were made and are in keys: the user already has 10 keys");
    assert_eq!(lines(&home, "keys").len(), 4);
}

#[test]
fn keys_that_cannot_be_written_are_revoked_again() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "20", "--output", "-"];
    let run = Run::of(home.command(&create).stdout(full).spawn().unwrap());
    run.refused("0 of 20 keys were made: standard output cannot be written");
    let active = home.run(&["keys", "list", "--org", "acme", "--status", "active", "--json"]).done().json();
    assert_eq!(active["keys"], json!([]));
}

#[test]
fn an_interruption_leaves_what_was_made_in_the_file() {
    for signal in ["INT", "TERM"] {
        let home = Home::new();
        let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "1000000", "--output", "keys"];
        let child = home.command(&create).spawn().unwrap();
        let begun = Instant::now();
        while home.path("keys").metadata().map_or(0, |file| file.len()) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(5));
        }
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let run = Run::of(child).refused("of 1000000 keys were made and are in keys: it was interrupted");
        let written = lines(&home, "keys");
        assert!(run.stderr.contains(&format!("error: {} of", written.len())), "{} lines, {run:?}", written.len());
        home.run_with(written.last().unwrap(), &["keys", "verify"]).done();
        let list = home.run(&["keys", "list", "--org", "acme", "--all", "--json"]).done().json();
        assert_eq!(list["keys"].as_array().unwrap().len(), written.len(), "every key that was made is in the file");
    }
}
