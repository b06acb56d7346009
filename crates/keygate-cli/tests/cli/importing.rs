//! Keys that were made elsewhere are taken in, on a store and through a server, and all keys are given out.

use std::fs;

use serde_json::{Value, json};

use crate::server::{Deployment, IMPORTED};
use crate::support::Home;

fn text(nth: usize) -> String {
    format!("sk_live_{nth:024}")
}

fn line(text: &str) -> String {
    // A user each, as one may have few keys.
    let user = format!("user-{}", &text[text.len().saturating_sub(4)..]);
    json!({"raw": text, "user_id": user, "scopes": []}).to_string()
}

fn file(home: &Home, name: &str, lines: &[String]) {
    fs::write(home.path(name), lines.join("\n")).unwrap();
}

/// What both desks do alike.
fn imports(home: &Home) {
    let mut lines: Vec<String> = (0..1_500).map(|nth| line(&text(nth))).collect();
    file(home, "keys.ndjson", &lines);
    let import = |more: &[&str]| {
        let all = [&["keys", "import", "--org", "acme", "keys.ndjson"], more].concat();
        home.run(&all)
    };
    // A key, so that there is a store for a dry run to look at.
    home.create(&["--user", "ada"]);
    let dry = import(&["--dry-run"]).done();
    assert!(dry.stderr.contains("1500 keys of acme would be made, 0 there already, 0 refused"), "{dry:?}");
    let made = import(&[]).done();
    assert!(made.stderr.contains("1500 keys of acme made, 0 there already, 0 refused"), "{made:?}");

    // Run again with more, and with lines that cannot be, beyond the first batch.
    lines.extend([line("sk_test"), line(&text(1_500)), "nonsense".to_owned()]);
    file(home, "keys.ndjson", &lines);
    let again = import(&[]).ended_with("2 of 1503 lines were refused");
    assert!(again.stderr.contains("1 keys of acme made, 1500 there already, 2 refused"), "{again:?}");
    assert!(again.stderr.contains("line 1501: raw must have 16 to 512 bytes, not 7"), "{again:?}");
    assert!(again.stderr.contains("line 1503: line must be a JSON object"), "{again:?}");
    assert!(!again.stderr.contains("sk_test"), "{again:?}");
    let report = import(&["--json"]);
    assert_eq!(report.status, Some(1));
    let counts = report.json();
    assert_eq!((&counts["created"], &counts["exists"], &counts["refused"]), (&json!(0), &json!(1_501), &json!(2)));
    assert_eq!(counts["failed"][0]["line"], 1_501);

    let piped = home.run_with(&line(&text(1_501)), &["keys", "import", "--org", "acme", "-"]).done();
    assert!(piped.stderr.contains("1 keys of acme made"), "{piped:?}");
    home.run(&["keys", "import", "--org", "acme", "nowhere"]).refused("nowhere cannot be read");
    home.run(&["keys", "import", "--org", "system", "keys.ndjson"]).refused("reserved");

    home.run(&["keys", "export", "--org", "acme", "--output", "acme.ndjson"]).done();
    let exported = fs::read_to_string(home.path("acme.ndjson")).unwrap();
    assert_eq!(home.run(&["keys", "export", "--org", "acme"]).done().stdout, exported);
    let keys: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(keys.len(), 1_503);
    assert!(!exported.contains("sk_live"));
    home.run(&["keys", "export", "--org", "acme", "--output", "acme.ndjson"]).refused("is there already");
}

#[test]
fn keys_are_imported_and_exported_on_a_store() {
    let home = Home::new().with("KEYGATE_IMPORT_PATTERNS", IMPORTED);
    imports(&home);
    // One of them is used: by its old text.
    let valid = home.run_with(&text(7), &["keys", "verify", "-", "--json"]).done().json();
    assert_eq!((&valid["valid"], &valid["user_id"]), (&json!(true), &json!("user-0007")), "{valid}");
}

#[test]
fn keys_are_imported_and_exported_through_a_server() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    imports(&deployment.home(&server.url()));
    // A text of the form that is declared here goes to the server, and no other does.
    let home = deployment.home(&server.url());
    let requests = server.requests();
    for pasted in [&*text(7), "hunter2", "a whole\tline of something else"] {
        let run = home.run_with(pasted, &["keys", "verify", "-", "--json"]).ended_with("malformed_key");
        assert!(
            run.stderr.starts_with("note: nothing was sent to the server: ") && !run.stderr.contains(pasted),
            "{run:?}"
        );
        assert!(run.stderr.contains("--import-patterns"), "{run:?}");
        assert_eq!((&run.json()["valid"], &run.json()["reason"]), (&json!(false), &json!("malformed_key")));
    }
    assert_eq!(server.requests(), requests);
    let named = home.run_with(&text(7), &["keys", "verify", "-", "--import-patterns", IMPORTED]).done();
    assert_eq!(named.stderr, "");
    let home = home.with("KEYGATE_IMPORT_PATTERNS", IMPORTED);
    let valid = home.run_with(&text(7), &["keys", "verify", "-", "--json"]).done().json();
    assert_eq!((&valid["valid"], &valid["user_id"]), (&json!(true), &json!("user-0007")), "{valid}");
    // Importing is the operator's alone.
    let tenant = deployment.tenant("acme", &["**"], &["**"]);
    let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &tenant);
    file(&home, "keys.ndjson", &[line(&text(9_000))]);
    home.run(&["keys", "import", "--org", "acme", "keys.ndjson"]).refused("may not do this");
}

#[test]
fn without_a_pattern_nothing_is_imported() {
    let home = Home::new();
    file(&home, "keys.ndjson", &[line(&text(1))]);
    home.run(&["keys", "import", "--org", "acme", "keys.ndjson"]).refused("KEYGATE_IMPORT_PATTERNS");
    let wrong = home.run(&["keys", "import", "--org", "acme", "keys.ndjson", "--import-patterns", "legacy=sk_("]);
    wrong.wrong_usage("--import-patterns cannot be used: import pattern legacy");
}
