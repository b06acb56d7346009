//! `keygate audit`.

use serde_json::Value;

use crate::server::Deployment;
use crate::support::{Home, NO_KEY};

/// The same on a store and through a server: who did what, and whether it is as it was written.
#[test]
fn it_is_shown_on_both_desks() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    for home in [Home::new(), deployment.home(&server.url())] {
        let id = home.create_id(&["--user", "ada"]);
        home.run(&["keys", "revoke", &id, "--reason", "leaked"]).done();
        home.run(&["keys", "revoke", NO_KEY]).refused("no such key");
        let text = home.run(&["audit", "--org", "acme"]).done().stdout;
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("key.revoke") && text.contains("key.create") && text.contains(&id), "{text}");
        let page = home.run(&["audit", "--org", "acme", "--json"]).done().json();
        let told: Vec<&Value> = page["entries"].as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
        assert_eq!(told, ["outcome", "intent", "outcome", "intent"]);
        let of_system = home.run(&["audit", "--org", "system", "--action", "key.revoke", "--json"]).done().json();
        assert_eq!(of_system["entries"][0]["target"]["key_id"], NO_KEY);
        let made = home.run(&["audit", "--org", "acme", "--action", "key.create", "--limit", "1"]).done();
        assert!(made.stderr.contains("--cursor 2"), "{made:?}");
        let none = home.run(&["audit", "--org", "acme", "--by", "nobody"]).done();
        assert_eq!(none.stdout, "");
        home.run(&["audit", "--org", "acme", "--action", "key.nothing"]).wrong_usage("there is no such action");
        home.run(&["audit"]).wrong_usage("--org");
    }
}

#[test]
fn it_is_verified_on_both_desks() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    for home in [Home::new(), deployment.home(&server.url())] {
        home.create_id(&["--user", "ada"]);
        let run = home.run(&["audit", "verify", "--org", "acme"]).done();
        assert!(run.stdout.starts_with("everything is as it was written: 2 entries under "), "{run:?}");
        let found = home.run(&["audit", "verify", "--org", "acme", "--json"]).done().json();
        assert_eq!((&found["intact"], &found["entries"]), (&Value::Bool(true), &Value::from(2)));
        let head = found["head"].as_str().unwrap();
        home.create_id(&["--user", "ada"]);
        home.run(&["audit", "verify", "--org", "acme", "--head", head]).done();
        let forged = format!("2:{}", "0".repeat(64));
        let cut = home.run(&["audit", "verify", "--org", "acme", "--head", &forged]);
        assert!(cut.stdout.starts_with("truncated at 2: "), "{cut:?}");
        cut.ended_with("the audit of acme is not as it was written");
        home.run(&["audit", "verify", "--org", "acme", "--head", "2"]).wrong_usage("SEQUENCE:MAC");
    }
}

/// Whether it was done or refused: a verification, which seals what is not sealed yet, finds a seal for each.
#[test]
fn a_command_ends_with_what_it_wrote_sealed() {
    let home = Home::new();
    for seals in 1..=2 {
        home.create_id(&["--user", "ada"]);
        home.run(&["keys", "revoke", NO_KEY]).refused("no such key");
        for (org, entries) in [("acme", 2 * seals), ("system", seals)] {
            let found = home.run(&["audit", "verify", "--org", org, "--json"]).done().json();
            assert_eq!((&found["entries"], &found["seals"]), (&entries.into(), &seals.into()), "{found}");
        }
    }
    for _ in 0..2 {
        home.create_id(&["--user", "ada"]);
    }
    let found = home.run(&["audit", "verify", "--org", "acme", "--json"]).done().json();
    assert_eq!(found["seals"], 4, "{found}");
}

#[test]
fn it_is_exported_on_both_desks() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    for home in [Home::new(), deployment.home(&server.url())] {
        home.create_id(&["--user", "ada"]);
        home.create_id(&["--user", "bob"]);
        let run = home.run(&["audit", "export", "--org", "acme", "--output", "acme.ndjson"]).done();
        assert!(run.stderr.contains("4 entries of the audit of acme are in acme.ndjson"), "{run:?}");
        let text = std::fs::read_to_string(home.path("acme.ndjson")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap());
        assert_eq!(lines.collect::<Vec<_>>(), [1, 2, 3, 4]);
        let standard = home.run(&["audit", "export", "--org", "acme"]).done();
        assert_eq!(standard.stdout, text);
        home.run(&["audit", "export", "--org", "acme", "--output", "acme.ndjson"]).refused("is there already");
    }
}
