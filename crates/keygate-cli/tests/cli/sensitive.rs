//! Fields that are kept encrypted, on the command line.

use serde_json::json;

use crate::support::{Home, NO_KEY};

const CREATE: [&str; 6] = ["keys", "create", "--org", "acme", "--user", "bob"];
const CANARY: &str = "DE02 1203 0000";

#[test]
fn they_are_taken_from_flags_and_files_and_opened_by_one_command() {
    let home = Home::new();
    let flag = format!("account={CANARY}");
    let made =
        home.run_with(r#"{"pin":4711}"#, &[&CREATE[..], &["--sensitive", &flag, "--sensitive-file", "-"]].concat());
    assert!(!made.stderr.contains(CANARY) && made.stderr.contains("account, pin"), "{made:?}");
    let id = home.create_id(&["--user", "bob", "--sensitive", &flag, "--sensitive", "x=a=b"]);
    let opened = home.run(&["keys", "sensitive", &id, "--json"]).done().json();
    assert_eq!(opened, json!({"key_id": id, "sensitive": {"account": CANARY, "x": "a=b"}}));
    let one = home.run(&["keys", "sensitive", &id, "--field", "x"]).done();
    assert!(one.stdout.contains("a=b") && !one.stdout.contains(CANARY), "{one:?}");
    let shown = home.run(&["keys", "show", &id]).done();
    assert!(shown.stdout.contains("account, x") && !shown.stdout.contains(CANARY), "{shown:?}");
    for (args, told) in [(&["--field", "y"][..], "no sensitive field y"), (&[], "no sensitive fields")] {
        let id = if args.is_empty() { home.create_id(&["--user", "eve"]) } else { id.clone() };
        let none = home.run(&[&["keys", "sensitive", &id], args].concat()).done();
        assert!(none.stdout.is_empty() && none.stderr.contains(told), "{none:?}");
    }
    home.run(&["keys", "sensitive", NO_KEY]).refused("there is no such key");
}

#[test]
fn what_is_wrong_is_told_without_what_was_to_be_kept() {
    let home = Home::new();
    for flag in [CANARY.to_owned(), format!("a b={CANARY}"), format!("a={}", CANARY.repeat(400))] {
        let refused = home.run(&[&CREATE[..], &["--sensitive", &flag]].concat()).wrong_usage("--sensitive");
        assert!(!refused.stderr.contains(CANARY), "{refused:?}");
    }
    home.run(&[&CREATE[..], &["--sensitive", "a=1", "--sensitive", "a=2"]].concat()).wrong_usage("once");
    for input in [format!("[\"{CANARY}\"]"), format!("{{\"a\":\"{CANARY}"), format!("\"{}\"", "x".repeat(70_000))] {
        let refused = home.run_with(&input, &[&CREATE[..], &["--sensitive-file", "-"]].concat()).refused("-");
        assert!(!refused.stderr.contains(CANARY), "{refused:?}");
    }
    home.run(&[&CREATE[..], &["--sensitive-file", "absent.json"]].concat()).refused("absent.json cannot be read");
}
