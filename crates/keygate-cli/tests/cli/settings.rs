//! Flags and variables: which wins, what is wrong with them, and what happens to the store file.

use std::os::unix::fs::PermissionsExt;

use keygate::embedded::EmbeddedStore;

use crate::support::{Home, NO_KEY, SECRET};

const CREATE: [&str; 6] = ["keys", "create", "--org", "acme", "--user", "bob"];

#[test]
fn a_flag_beats_its_variable() {
    let home = Home::new().with("KEYGATE_STORE", "file:variable.redb").with("KEYGATE_ENVIRONMENT", "staging");
    assert!(home.run(&CREATE).done().stdout.starts_with("mcp_staging_"));
    assert!(home.path("variable.redb").exists());
    let flags = ["--store", "file:flag.redb", "--environment", "prod"];
    assert!(home.run(&[&flags[..], &CREATE].concat()).done().stdout.starts_with("mcp_prod_"), "before the command");
    assert!(home.run(&[&CREATE[..], &flags].concat()).done().stdout.starts_with("mcp_prod_"), "and behind it");
    assert!(home.path("flag.redb").exists());
    let shared = Home::new().with("ENVIRONMENT", "test");
    assert!(shared.run(&CREATE).done().stdout.starts_with("mcp_test_"));
}

#[test]
fn a_wrong_variable_is_refused_and_a_wrong_flag_is_wrong_usage() {
    for (name, value) in [
        ("KEYGATE_STORE", "mysql://db"),
        ("KEYGATE_STORE", "file:"),
        ("KEYGATE_ENVIRONMENT", "Prod"),
        ("KEYGATE_NAMESPACE", "a b"),
        ("KEYGATE_SECRET", "hunter2"),
        ("KEYGATE_PASSPHRASE", "too short"),
        ("KEYGATE_RETIRED_SECRETS", "hunter2"),
        ("KEYGATE_LOG", "=="),
    ] {
        let run = Home::new().with(name, value).run(&CREATE).refused(name);
        assert!(!run.stderr.contains("hunter2") && run.stderr.lines().count() <= 2, "{run:?}");
    }
    let home = Home::new();
    for (flag, value) in
        [("--store", "mysql://:hunter2@db"), ("--environment", "Prod"), ("--namespace", "a b"), ("--log", "==")]
    {
        let run = home.run(&[&CREATE[..], &[flag, value]].concat()).wrong_usage(flag);
        assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("KEYGATE_STORE"), "{run:?}");
    }
    home.run(&[&CREATE[..], &["--store", ""]].concat()).wrong_usage("--store");
}

#[test]
fn a_command_that_is_to_go_through_a_server_does_not_work_on_a_store_instead() {
    let home = Home::new().with("KEYGATE_SERVER", "https://keys.example.org");
    for args in [
        &CREATE[..],
        &["keys", "list", "--org", "acme"],
        &["keys", "revoke", NO_KEY],
        &["keys", "verify", "-"],
        &["organizations", "create", "acme"],
    ] {
        let run = home.run(args).refused("KEYGATE_ADMIN_KEY is not set");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    home.run(&["ring", "show", "--json"]).refused("KEYGATE_SERVER is set");
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
    home.run(&["completions", "bash"]).done();
    Home::new().with("KEYGATE_SERVER", "").run(&CREATE).done();
}

#[test]
fn only_creation_makes_a_store() {
    let home = Home::new();
    for args in [
        &["keys", "list", "--org", "acme"][..],
        &["keys", "show", NO_KEY],
        &["keys", "revoke", NO_KEY],
        &["organizations", "show", "acme"],
        &["organizations", "suspend", "acme"],
        &["organizations", "resume", "acme"],
        &["ring", "show"],
    ] {
        home.run(args).refused("there is no store at ./keygate.redb");
    }
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
    home.run(&[&CREATE[..], &["--store", "file:no/such/keys.redb"]].concat()).refused("no/such");
}

#[test]
fn a_store_file_is_its_owners_alone() {
    let home = Home::new();
    home.run(&CREATE).done();
    for file in ["keygate.redb", "keygate.redb.secret"] {
        assert_eq!(home.path(file).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_secret_that_does_not_fit_the_store_is_told_apart_from_a_wrong_key() {
    let home = Home::new();
    let key = home.run(&CREATE).done().stdout;
    let output = home.command(&["keys", "list", "--org", "acme"]).env("KEYGATE_SECRET", SECRET).spawn().unwrap();
    crate::support::Run::of(output).refused("the configured secret does not fit this store");
    std::fs::rename(home.path("keygate.redb.secret"), home.path("kept")).unwrap();
    home.run_with(&key, &["keys", "verify"]).refused("keygate.redb.secret back");
    let found = home.command(&["keys", "list", "--org", "acme"]).env("KEYGATE_SECRET_FILE", "kept").spawn().unwrap();
    crate::support::Run::of(found).done();
}

#[test]
fn a_passphrase_stands_for_the_secret() {
    let home = Home::new().with("KEYGATE_PASSPHRASE", "correct horse battery staple");
    let key = home.run(&CREATE).done().stdout;
    assert!(!home.path("keygate.redb.secret").exists());
    home.run_with(&key, &["keys", "verify"]).done();
    let wrong = home.command(&["ring", "show"]).env("KEYGATE_PASSPHRASE", "incorrect horse battery").spawn().unwrap();
    crate::support::Run::of(wrong).refused("does not fit this store");
}

#[test]
fn a_store_that_somebody_else_has_open_names_them() {
    let home = Home::new();
    home.run(&CREATE).done();
    let held = EmbeddedStore::open(home.path("keygate.redb")).unwrap();
    let run = home.run(&["keys", "list", "--org", "acme"]).refused("KEYGATE_STORE");
    assert!(run.stderr.contains(&format!("process {}", std::process::id())), "{run:?}");
    drop(held);
    home.run(&["keys", "list", "--org", "acme"]).done();
}

#[test]
fn a_file_of_something_else_is_no_store() {
    let home = Home::new();
    std::fs::write(home.path("keygate.redb"), "dear diary").unwrap();
    home.run(&CREATE).refused("not a keygate store file");
}

#[test]
fn the_log_is_on_standard_error_and_quiet_unless_asked() {
    let home = Home::new();
    let quiet = home.run(&CREATE).done();
    assert!(!quiet.stderr.contains("keygate::admin"));
    let loud = home.run(&[&CREATE[..], &["--log", "info", "--json"]].concat()).done();
    assert!(loud.stderr.contains("keygate::admin: key created"), "{loud:?}");
    assert!(!loud.stderr.contains(loud.json()["key"].as_str().unwrap()));
    assert!(!loud.stderr.contains('\u{1b}'), "no colours but on a terminal");
}
