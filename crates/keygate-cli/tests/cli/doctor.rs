//! `keygate doctor`: what it finds, how it says so, and how it ends.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use keygate::embedded::EmbeddedStore;
use keygate_testkit::RedisServer;
use serde_json::Value;

use crate::support::{Home, Run, SECRET};

/// Another master secret.
const OTHER_SECRET: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// The finding of this name in the document.
#[track_caller]
fn finding<'a>(document: &'a Value, check: &str) -> &'a Value {
    let findings = document["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check} is not in {document}"))
}

#[track_caller]
fn is(document: &Value, check: &str, verdict: &str) {
    assert_eq!(finding(document, check)["verdict"], verdict, "{document}");
}

fn on(server: &RedisServer) -> Home {
    Home::new().with("KEYGATE_STORE", &server.url()).with("KEYGATE_SECRET", SECRET)
}

#[test]
fn a_store_in_a_file_is_healthy() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let before = std::fs::read(home.path("keygate.redb.secret")).unwrap();
    let run = home.run(&["doctor", "--json"]).done();
    let document = run.json();
    assert_eq!((&document["healthy"], run.stderr.as_str()), (&Value::Bool(true), ""));
    for check in
        ["settings", "store", "holder", "file_permissions", "secret_file", "integrity", "deployment", "secrets"]
    {
        is(&document, check, "ok");
    }
    assert!(document["findings"].as_array().unwrap().iter().all(|finding| {
        let fields: Vec<&String> = finding.as_object().unwrap().keys().collect();
        fields == ["advice", "check", "observed", "verdict"]
    }));
    is(&home.run(&["doctor", "--deep", "--json"]).done().json(), "retired_secrets", "ok");
    assert_eq!(std::fs::read(home.path("keygate.redb.secret")).unwrap(), before);

    let text = home.run(&["doctor"]).done().stdout;
    assert!(text.contains("file_permissions") && text.contains("\nhealthy: "), "{text}");
    assert!(!text.contains('\u{1b}'), "colours belong on terminals");
    assert!(!text.contains(String::from_utf8(before).unwrap().trim()), "the secret is shown");
}

#[test]
fn what_others_may_read_or_write_is_told() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let open = |file: &str, mode| {
        std::fs::set_permissions(home.path(file), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open("keygate.redb", 0o640);
    is(&home.run(&["doctor", "--json"]).done().json(), "file_permissions", "warning");
    open("keygate.redb.secret", 0o644);
    let run = home.run(&["doctor", "--json"]).ended_with("secret_file");
    is(&run.json(), "secret_file", "failure");
    assert_eq!(run.json()["healthy"], false);
    assert!(finding(&run.json(), "secret_file")["advice"].as_str().unwrap().contains("chmod 600"));
    // A file that somebody named may be behind other walls.
    let named =
        Run::of(home.command(&["doctor", "--json"]).env("KEYGATE_SECRET_FILE", "keygate.redb.secret").spawn().unwrap());
    is(&named.done().json(), "secret_file", "warning");
}

#[test]
fn looking_at_a_store_that_is_not_there_makes_none() {
    let home = Home::new();
    let run = home.run(&["doctor", "--json"]).ended_with("store");
    is(&run.json(), "store", "failure");
    assert!(finding(&run.json(), "store")["observed"].as_str().unwrap().contains("there is no store"));
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
}

#[test]
fn a_store_that_a_service_holds_is_looked_at_from_outside() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let held = EmbeddedStore::open(home.path("keygate.redb")).unwrap();
    let document = home.run(&["doctor", "--json"]).done().json();
    is(&document, "holder", "unknown");
    is(&document, "file_permissions", "ok");
    let holder = finding(&document, "holder")["observed"].as_str().unwrap().to_owned();
    assert!(holder.contains(&format!("held by process {}", std::process::id())), "{holder}");
    drop(held);
    is(&home.run(&["doctor", "--json"]).done().json(), "holder", "ok");
}

#[test]
fn a_secret_that_is_missing_or_wrong_and_a_file_that_is_none_are_failures() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let wrong = home.command(&["doctor", "--json"]).env("KEYGATE_SECRET", SECRET).spawn().unwrap();
    let run = Run::of(wrong).ended_with("secrets");
    is(&run.json(), "secrets", "failure");
    assert!(!run.stdout.contains(SECRET), "{run:?}");
    let wrong = home.command(&["doctor", "--json"]).env("KEYGATE_PASSPHRASE", "correct horse battery").spawn().unwrap();
    is(&Run::of(wrong).ended_with("secrets").json(), "secrets", "failure");
    std::fs::remove_file(home.path("keygate.redb.secret")).unwrap();
    is(&home.run(&["doctor", "--json"]).ended_with("secrets").json(), "secrets", "failure");
    assert!(!home.path("keygate.redb.secret").exists(), "a secret is made by looking");
    std::fs::write(home.path("keygate.redb"), "no store").unwrap();
    is(&home.run(&["doctor", "--json"]).ended_with("store").json(), "store", "failure");
}

/// What has sealed an audit is needed for as long as that is kept, whatever became of the keys.
#[test]
fn a_secret_that_an_audit_needs_is_told() {
    let home = Home::new().with("KEYGATE_SECRET", SECRET);
    let id = home.create_id(&["--user", "bob"]);
    home.run(&["keys", "revoke", &id]).done();
    let with = |retired: &str| {
        let mut command = home.command(&["doctor", "--deep", "--json"]);
        command.env("KEYGATE_SECRET", OTHER_SECRET).env("KEYGATE_RETIRED_SECRETS", retired);
        Run::of(command.spawn().unwrap())
    };
    let document = with(SECRET).done().json();
    is(&document, "audit", "ok");
    is(&document, "retired_secrets", "ok");
    assert_eq!(finding(&document, "retired_secrets")["advice"], Value::Null, "{document}");
    let mut command = home.command(&["keys", "list", "--org", "acme"]);
    command.env("KEYGATE_SECRET", OTHER_SECRET).env("KEYGATE_RETIRED_SECRETS", SECRET);
    Run::of(command.spawn().unwrap()).done();
    let document = with("").ended_with("audit").json();
    is(&document, "audit", "failure");
    is(&document, "retired_secrets", "ok");
}

#[test]
fn settings_that_cannot_be_used_are_a_finding_and_wrong_flags_wrong_usage() {
    let home = Home::new().with("KEYGATE_LEASE_MS", "7");
    let run = home.run(&["doctor", "--json"]).ended_with("settings");
    is(&run.json(), "settings", "failure");
    assert!(finding(&run.json(), "settings")["observed"].as_str().unwrap().contains("KEYGATE_LEASE_MS"));
    Home::new().run(&["doctor", "--store", "mysql://db"]).wrong_usage("--store");
    let stale = Home::new().with("KEYGATE_STORE", "memory:").with("KEYGATE_STALE_IF_ERROR_MS", "2000");
    let document = stale.run(&["doctor", "--json"]).done().json();
    is(&document, "settings", "warning");
    is(&document, "persistence", "warning");
}

#[tokio::test]
async fn a_redis_is_looked_over_and_left_as_it_was() {
    let server = RedisServer::builder().append_only().start().await.unwrap();
    let home = on(&server);
    let run = home.run(&["doctor", "--json"]).ended_with("deployment");
    is(&run.json(), "deployment", "failure");
    assert_eq!(server.command::<u64>(["DBSIZE"]).await.unwrap(), 0, "a deployment is set up by looking");
    home.create(&["--user", "bob"]);
    let run = home.run(&["doctor", "--json"]).done();
    for check in ["store", "writes", "tracking", "persistence", "eviction", "deployment", "secrets", "instances"] {
        is(&run.json(), check, "ok");
    }
    assert!(!run.stdout.contains(SECRET), "{run:?}");
    server.command::<()>(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let run = home.run(&["doctor"]).ended_with("the deployment is not well: see eviction");
    assert!(run.stdout.contains("-> set maxmemory-policy noeviction"), "{run:?}");
    assert!(run.stdout.contains("\nnot healthy: 1 failure"), "{run:?}");
    let unkeyed = Home::new().with("KEYGATE_STORE", &server.url());
    is(&unkeyed.run(&["doctor", "--json"]).ended_with("secrets").json(), "secrets", "failure");
}

#[tokio::test]
async fn a_redis_that_is_not_there_or_does_not_answer_is_told_in_little_time() {
    let mut server = RedisServer::start().await.unwrap();
    let home = on(&server);
    home.create(&["--user", "bob"]);
    server.freeze().unwrap();
    let began = Instant::now();
    is(&home.run(&["doctor", "--json"]).ended_with("store").json(), "store", "failure");
    server.thaw().unwrap();
    server.stop().await.unwrap();
    let run = home.run(&["doctor", "--json"]).ended_with("store");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let document = run.json();
    assert_eq!(document["healthy"], false);
    is(&document, "store", "failure");
    let advice = finding(&document, "store")["advice"].as_str().unwrap();
    assert!(advice.contains("KEYGATE_STORE"), "{advice}");
    is(&document, "deployment", "unknown");
    assert!(home.run(&["doctor"]).ended_with("store").stdout.contains("KEYGATE_STORE"));
    // A passphrase needs what the store keeps.
    let sworn = Home::new().with("KEYGATE_STORE", &server.url()).with("KEYGATE_PASSPHRASE", "correct horse battery");
    is(&sworn.run(&["doctor", "--json"]).ended_with("store").json(), "deployment", "unknown");
}
