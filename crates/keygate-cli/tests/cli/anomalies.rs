//! `keygate anomalies`.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::server::{Deployment, Server};
use crate::support::{Home, NO_KEY};

/// Two findings of two keys of acme's.
fn page() -> Value {
    let finding = |key: &str, rule: &str, at: &str, detail: &str| {
        json!({
            "id": "00112233445566778899aabbccddeeff", "rule": rule, "key_id": key, "organization_id": "acme", "at": at,
            "observed": 9.0, "expected": 1.0, "sample_size": 30, "detail": detail,
        })
    };
    let spread = "Used from 9 networks within an hour, 9 of them new; 1 was the most of an hour in the last weeks.";
    let volume = "5210 requests in this hour, where 40 are usual at this time.";
    json!({
        "findings": [
            finding(NO_KEY, "address_spread", "2026-03-14T11:12:13.456Z", spread),
            finding("01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e60", "volume", "2026-03-13T00:00:00Z", volume),
        ],
        "next_cursor": "1773446400000.00112233445566778899aabbccddeeff",
    })
}

#[test]
fn it_is_shown_to_the_letter() {
    let server = Server::answering(|| Json(page()).into_response());
    let home = Deployment::new().home(&server.url());
    let run = home.run(&["anomalies", "--org", "acme", "--limit", "2"]).done();
    assert_eq!(run.stdout, include_str!("../golden/anomalies/organization.txt"));
    let cursor = "1773446400000.00112233445566778899aabbccddeeff";
    assert_eq!(run.stderr, format!("note: there may be more: --cursor {cursor} goes on from here\n"));
    let run = home.run(&["anomalies", NO_KEY, "--cursor", cursor]).done();
    assert_eq!(run.stdout, include_str!("../golden/anomalies/key.txt"));
    let run = home.run(&["anomalies", NO_KEY, "--json"]).done();
    assert_eq!((run.json(), run.stderr.as_str()), (page(), ""));
}

#[test]
fn findings_are_told_of_a_key_and_of_an_organization() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    let (key, other) = (home.create_id(&["--user", "ada"]), home.create_id(&["--user", "bob"]));
    for (key, scope, hours) in [(&key, "a:b", 3), (&other, "c:d", 2), (&key, "e:f", 1)] {
        deployment.find("acme", key, scope, hours);
    }
    let text = home.run(&["anomalies", &key]).done().stdout;
    let places = [text.find("scope e:f").unwrap(), text.find("scope a:b").unwrap()];
    assert!(places[0] < places[1] && !text.contains("c:d") && !text.contains('\u{1b}'), "{text}");
    let text = home.run(&["anomalies", "--org", "acme"]).done().stdout;
    assert!(text.lines().count() == 4 && text.contains(&other), "{text}");
    let first = home.run(&["anomalies", "--org", "acme", "--limit", "2", "--json"]).done().json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = home.run(&["anomalies", "--org", "acme", "--limit", "2", "--cursor", cursor, "--json"]).done().json();
    let scopes = |page: &Value| -> Vec<String> {
        let findings = page["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["value"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((scopes(&first), scopes(&second)), (vec!["e:f".into(), "c:d".into()], vec!["a:b".into()]));
    assert_eq!(second["next_cursor"], json!(null));
}

#[test]
fn where_nothing_was_found_it_says_so() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let id = key["key_id"].as_str().unwrap();
    for args in [&["anomalies", id][..], &["anomalies", "--org", "acme"], &["anomalies", "--org", "nobody"]] {
        let run = home.run(args).done();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "note: nothing unusual was found\n"));
        let run = home.run(&[args, &["--json"]].concat()).done();
        assert_eq!(run.json(), json!({"findings": [], "next_cursor": null}));
    }
    home.run(&["anomalies", NO_KEY]).refused("there is no such key");
    let text = key["key"].as_str().unwrap();
    for args in [&["anomalies", text][..], &["anomalies", "--org", text]] {
        let pasted = home.run(args).wrong_usage("");
        assert!(!pasted.stderr.contains(&text[20..]), "{pasted:?}");
    }
}

#[test]
fn flags_that_contradict_each_other_are_wrong_usage() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    for (args, words) in [
        (&["anomalies"][..], "required"),
        (&["anomalies", NO_KEY, "--org", "acme"], "cannot be used with"),
        (&["anomalies", "--org", "acme", "--limit", "0"], "1..=1000"),
        (&["anomalies", "--org", "acme", "--limit", "1001"], "1..=1000"),
        (&["anomalies", "--org", "acme", "--cursor", "1"], "must be the next_cursor of an earlier list"),
    ] {
        home.run(args).wrong_usage(words);
    }
}

#[test]
fn an_admin_key_needs_the_permission_to_see_usage() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = |permissions: &[&str]| {
        let key = deployment.tenant("acme", permissions, &[]);
        Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &key)
    };
    home(&["usage:read"]).run(&["anomalies", "--org", "acme"]).done();
    home(&["keys:read"])
        .run(&["anomalies", "--org", "acme"])
        .refused("may not do this: The API key's permissions do not cover usage:read");
    home(&["usage:read"]).run(&["anomalies", "--org", "globex"]).refused("there is no such organization or project");
}
