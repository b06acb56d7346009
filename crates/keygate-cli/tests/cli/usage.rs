//! `keygate usage`.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::server::{Deployment, Server};
use crate::support::{Home, NO_KEY};

/// A night of bob's, which the golden outputs are of.
fn night() -> Value {
    let numbers = [3, 0, 12, 14, 9, 20, 21, 8, 7, 5, 2, 1, 0, 0, 0, 0, 1, 4, 9, 18, 30, 28, 25, 11];
    let start = |hour: usize| format!("2026-03-{:02}T{:02}:00:00Z", 14 + (11 + hour) / 24, (11 + hour) % 24);
    let steps = numbers.iter().enumerate().map(|(hour, requests)| json!({"start": start(hour), "requests": requests}));
    json!({
        "organization_id": "acme", "user_id": "bob", "from": start(0), "to": start(24), "granularity": "hour",
        "requests": 228, "series": steps.collect::<Vec<_>>(), "addresses": [], "last_used": null, "last_error": null,
        "breakdown": {
            "from": "2026-03-14T00:00:00Z", "to": "2026-03-16T00:00:00Z", "requests": 228, "errors": 0,
            "by_outcome": [], "by_status": [], "by_endpoint": [], "by_location": [],
        },
        "total": {"requests": 228, "errors": 0, "by_outcome": [], "by_status": []},
    })
}

#[test]
fn it_is_shown_to_the_letter() {
    let server = Server::answering(|| Json(night()).into_response());
    let deployment = Deployment::new();
    let home = deployment.home(&server.url());
    let usage = |args: &[&str]| home.run(&[&["usage", "--org", "acme", "--user", "bob"], args].concat()).done().stdout;
    assert_eq!(usage(&["--width", "40"]), include_str!("../golden/usage/night_40.txt"));
    assert_eq!(usage(&["--width", "160"]), include_str!("../golden/usage/night_160.txt"));
    let table = include_str!("../golden/usage/night_ascii_table.txt");
    assert_eq!(usage(&["--ascii", "--table"]), table, "the chart is 80 wide where no terminal is");
    let document: Value = serde_json::from_str(&usage(&["--json"])).unwrap();
    assert_eq!(document, night());
    let csv = usage(&["--csv"]);
    assert!(csv.starts_with("start,requests\n2026-03-14T11:00:00Z,3\n") && csv.lines().count() == 25, "{csv}");
}

#[test]
fn what_was_counted_is_told_on_a_store_and_by_an_organization() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    let key = home.create_id(&["--user", "ada", "--name", "nightly report"]);
    deployment.count("acme", &key, 1_234);
    let text = home.run(&["usage", &key]).done().stdout;
    for words in [
        "nightly report",
        &key,
        "1,234 requests by day",
        "none of these was an error",
        "GET /reports",
        "100.0 %",
        "192.0.2.1",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours but on a terminal");
    let text = home.run(&["usage", "--org", "acme"]).done().stdout;
    assert!(text.contains("MOST USED IN") && text.contains(&key), "{text}");
    let today = home.run(&["usage", &key, "--last", "1h", "--csv"]).done();
    assert_eq!((today.stdout.lines().count(), today.stderr.as_str()), (2, ""));
    assert!(today.stdout.ends_with(",1234\n"), "{today:?}");
    let document = home.run(&["usage", &key, "--json"]).done();
    assert_eq!((&document.json()["requests"], document.stderr.as_str()), (&json!(1_234), ""));
}

#[test]
fn a_key_that_nobody_used_has_no_chart() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let id = key["key_id"].as_str().unwrap();
    let text = home.run(&["usage", id]).done().stdout;
    assert!(text.contains("never") && text.contains("no requests by day, ") && !text.contains('│'), "{text}");
    let document = home.run(&["usage", id, "--json"]).done().json();
    assert_eq!(document["series"].as_array().unwrap().len(), 30);
    home.run(&["usage", NO_KEY]).refused("there is no such key");
    let text = key["key"].as_str().unwrap();
    let pasted = home.run(&["usage", text]).wrong_usage("KEY_ID must be a UUID");
    assert!(!pasted.stderr.contains(&text[20..]), "{pasted:?}");
    let pasted = home.run(&["usage", "--org", text]).wrong_usage("");
    assert!(!pasted.stderr.contains(&text[20..]), "{pasted:?}");
}

#[test]
fn what_is_not_kept_is_told() {
    let home = Home::new();
    let id = home.create_id(&["--user", "bob"]);
    let run = home.run(&["usage", &id, "--by", "hour", "--from", "2020-01-01", "--csv"]).done();
    assert!(run.stderr.starts_with("note: hours are kept for 8 days, so the series begins at "), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 1 + 8 * 24);
    let run = home.run(&["usage", &id, "--from", "2020-01-01", "--to", "2020-02-01"]).done();
    assert_eq!(run.stderr, "note: nothing is kept of that time: days are kept for 400 days\n");
    assert!(run.stdout.ends_with("nothing is kept of that time\n"), "{run:?}");
}

#[test]
fn flags_that_contradict_each_other_are_wrong_usage() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    for (args, words) in [
        (&["usage"][..], "required"),
        (&["usage", NO_KEY, "--org", "acme"], "cannot be used with"),
        (&["usage", "--org", "acme", "--csv", "--json"], "--csv and --json"),
        (&["--json", "usage", "--org", "acme", "--csv"], "--csv and --json"),
        (&["usage", "--org", "acme", "--last", "1d", "--from", "2026-01-01"], "cannot be used with"),
        (&["usage", "--org", "acme", "--by", "week"], "hour, day, month"),
        (&["usage", "--org", "acme", "--to", "tomorrow"], "must be a day such as"),
    ] {
        home.run(args).wrong_usage(words);
    }
    home.run(&["usage", "--org", "acme", "--from", "2026-01-02", "--to", "2026-01-01"])
        .refused("from must be before to");
}

#[test]
fn an_admin_key_may_see_usage_and_not_the_key() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let operator = deployment.home(&server.url());
    let id = operator.create_id(&["--user", "bob", "--name", "nightly report"]);
    let home = |permissions: &[&str]| {
        let key = deployment.tenant("acme", permissions, &[]);
        Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &key)
    };
    let text = home(&["usage:read"]).run(&["usage", &id]).done().stdout;
    assert!(text.contains(&id) && !text.contains("nightly report"), "{text}");
    let text = home(&["usage:read", "keys:read"]).run(&["usage", &id]).done().stdout;
    assert!(text.contains("nightly report"), "{text}");
    home(&["keys:read"])
        .run(&["usage", &id])
        .refused("may not do this: The API key's permissions do not cover usage:read");
    home(&["usage:read"]).run(&["usage", "--org", "globex"]).refused("there is no such organization or project");
}
