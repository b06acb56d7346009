//! A key that is pasted where none belongs is not shown again.

use crate::support::Home;

#[test]
fn no_complaint_repeats_a_key() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"])["key"].as_str().unwrap().to_owned();
    let secret = &key["mcp_dev_".len() + 22..][..20];
    let (option, equals, cut_off) = (format!("--{key}"), format!("--token={key}"), &key[..key.len() - 5]);
    for args in [
        &[key.as_str()][..],
        &[cut_off],
        &[&option],
        &["keys", &key],
        &["keys", "show", crate::support::NO_KEY, &key],
        &["keys", "create", "--org", &key, "--user", "bob"],
        &["keys", "list", "--org", "acme", "--cursor", &key],
        &["organizations", "suspend", &key],
        &["completions", &key],
        &[&key, "--json"],
    ] {
        let run = home.run(args).wrong_usage("error: there is a key where none belongs");
        assert!(!run.stderr.contains(secret) && run.stderr.lines().count() == 1, "{run:?}");
    }
    // Where the complaint is of something else, it is told.
    for (args, words) in [
        (&[equals.as_str()][..], "--token"),
        (&["keys", "show", "--token", &key], "--token"),
        (&["keys", "revoke", &key], "KEY_ID must be a UUID"),
        (&["keys", "verify", &key, "--scop", "a"], "--scop"),
        (&["keys", "verify", "--key-file", &key], "--key-file takes the name of a file"),
    ] {
        let run = home.run(args).wrong_usage(words);
        assert!(!run.stderr.contains(secret), "{run:?}");
    }
}
