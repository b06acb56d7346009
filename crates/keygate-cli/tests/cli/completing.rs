//! Help and completions: they name what there is, and nothing that is not.

use std::process::Stdio;

use crate::support::Home;

const KEYS: [&str; 13] = [
    "create",
    "list",
    "show",
    "deactivate",
    "activate",
    "revoke",
    "rotate",
    "bulk",
    "verify",
    "import",
    "export",
    "pattern",
    "delete",
];
const ROTATION: [&str; 5] = ["set", "show", "clear", "finish", "run"];
const PROJECTS: [&str; 4] = ["show", "update", "suspend", "resume"];
const USERS: [&str; 5] = ["show", "update", "suspend", "resume", "offboard"];
const ROLES: [&str; 4] = ["list", "show", "set", "remove"];
const ORGANIZATIONS: [&str; 5] = ["create", "show", "update", "suspend", "resume"];
const WEBHOOKS: [&str; 5] = ["list", "create", "delete", "renew-secret", "test"];
const NOTICES: [&str; 2] = ["list", "redrive"];
const AUDIT: [&str; 2] = ["verify", "export"];

#[test]
fn help_lists_every_command_and_promises_no_other() {
    let home = Home::new();
    let help = home.run(&["--help"]).done().stdout;
    for word in [
        "serve",
        "keys",
        "usage",
        "anomalies",
        "organizations",
        "projects",
        "users",
        "roles",
        "rotation",
        "audit",
        "webhooks",
        "notices",
        "ring",
        "doctor",
        "completions",
        "KEYGATE_SECRET",
        "KEYGATE_STORE",
        "Examples:",
        "Exit status",
    ] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let keys = home.run(&["keys", "--help"]).done().stdout;
    let organizations = home.run(&["organizations", "--help"]).done().stdout;
    let projects = home.run(&["projects", "--help"]).done().stdout;
    let users = home.run(&["users", "--help"]).done().stdout;
    let roles = home.run(&["roles", "--help"]).done().stdout;
    let rotation = home.run(&["rotation", "--help"]).done().stdout;
    let webhooks = home.run(&["webhooks", "--help"]).done().stdout;
    let notices = home.run(&["notices", "--help"]).done().stdout;
    let audit = home.run(&["audit", "--help"]).done().stdout;
    for (group, its_help, commands) in [
        ("keys", &keys, &KEYS[..]),
        ("organizations", &organizations, &ORGANIZATIONS[..]),
        ("projects", &projects, &PROJECTS[..]),
        ("users", &users, &USERS[..]),
        ("roles", &roles, &ROLES[..]),
        ("rotation", &rotation, &ROTATION[..]),
        ("webhooks", &webhooks, &WEBHOOKS[..]),
        ("notices", &notices, &NOTICES[..]),
        ("audit", &audit, &AUDIT[..]),
    ] {
        for command in commands {
            assert!(its_help.contains(&format!("\n  {command} ")), "{command} is not in {its_help}");
            let own = home.run(&[group, command, "--help"]).done().stdout;
            assert!(own.contains("Examples:") && own.contains("--json") && own.contains("--store"), "{own}");
        }
    }
    assert!(!help.contains("usage KEY") && !keys.contains("usage KEY"));
    assert!(
        [help, keys, organizations, projects, users, roles, rotation, webhooks, notices, audit]
            .iter()
            .flat_map(|help| help.lines())
            .all(|line| line.chars().count() <= 100)
    );
}

/// A secret scanner takes the line as it is, and nothing is set up for it.
#[test]
fn a_pattern_finds_keys_and_opens_no_store() {
    let home = Home::new();
    let pattern = home.run(&["keys", "pattern"]).done().stdout;
    assert_eq!(pattern, "\\bmcp_[a-z0-9]{1,16}_[0-9A-Za-z]{76}\\b\n");
    let json = home.run(&["keys", "pattern", "--json"]).done().json();
    assert_eq!(json["pattern"].as_str(), Some(pattern.trim_end()));
    assert!(!home.path("keygate.redb").exists());
    let key = home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).done().stdout;
    let body = key.trim_end().strip_prefix("mcp_dev_").unwrap();
    assert!(body.len() == 76 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
}

#[test]
fn no_command_at_all_shows_the_help_and_is_wrong_usage() {
    let home = Home::new();
    for args in [
        &[][..],
        &["keys"],
        &["organizations"],
        &["projects"],
        &["users"],
        &["roles"],
        &["rotation"],
        &["webhooks"],
        &["notices"],
        &["ring"],
    ] {
        let run = home.run(args).wrong_usage("Usage: keygate");
        assert!(run.stderr.contains("Commands:"));
    }
    assert!(!home.path("keygate.redb").exists());
}

#[test]
fn what_is_not_there_is_wrong_usage() {
    let home = Home::new();
    home.run(&["keys", "import"]).wrong_usage("import");
    home.run(&["keys", "show", crate::support::NO_KEY, "--scope", "a"]).wrong_usage("--scope");
    home.run(&["keys", "list"]).wrong_usage("--org");
    home.run(&["--secret", "x", "ring", "show"]).wrong_usage("--secret");
}

#[test]
fn every_shell_gets_its_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.run(&["completions", shell]).done().stdout;
        assert!(script.contains("deactivate"), "{shell}");
        let document = home.run(&["completions", shell, "--json"]).done().json();
        assert!(document["shell"] == shell && document["script"] == script, "{shell}");
    }
    home.run(&["completions", "tcsh"]).wrong_usage("tcsh");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    for args in [&["completions", "bash"][..], &["keys", "list", "--org", "acme"], &["--help"]] {
        let mut child = home.command(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = crate::support::Run::of(child);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
