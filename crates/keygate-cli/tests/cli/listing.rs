//! `keygate keys list`, `keys show` and `ring show`.

use serde_json::{Value, json};

use crate::support::{Home, NO_KEY};

fn users(list: &Value) -> Vec<&str> {
    list["keys"].as_array().unwrap().iter().map(|key| key["user_id"].as_str().unwrap()).collect()
}

fn list(home: &Home, args: &[&str]) -> Value {
    home.run(&[&["keys", "list", "--org", "acme", "--json"], args].concat()).done().json()
}

#[test]
fn each_filter_finds_its_keys() {
    let home = Home::new();
    home.create(&["--user", "ann", "--project", "web", "--tag", "t=1", "--expires-in", "never"]);
    let bob = home.create_id(&["--user", "bob", "--environment", "prod", "--expires-in", "30d"]);
    let cid = home.create_id(&["--user", "cid", "--expires-in", "5d"]);
    home.run(&["keys", "create", "--org", "other", "--user", "dan"]).done();
    home.run(&["keys", "revoke", &bob, "--yes"]).done();
    home.run(&["keys", "deactivate", &cid]).done();

    assert_eq!(users(&list(&home, &[])), ["cid", "bob", "ann"], "newest first, one organization's");
    let filters: [(&[&str], &[&str]); 9] = [
        (&["--user", "ann"], &["ann"]),
        (&["--project", "web"], &["ann"]),
        (&["--tag", "t=1"], &["ann"]),
        (&["--tag", "t=2"], &[]),
        (&["--status", "active"], &["ann"]),
        (&["--status", "revoked"], &["bob"]),
        (&["--status", "inactive"], &["cid"]),
        (&["--environment", "prod"], &["bob"]),
        (&["--expiring-within", "7d"], &["cid"]),
    ];
    for (args, found) in filters {
        assert_eq!(users(&list(&home, args)), found, "{args:?}");
    }
    let variable =
        home.command(&["keys", "list", "--org", "acme", "--json"]).env("KEYGATE_ENVIRONMENT", "prod").output();
    let variable: Value = serde_json::from_slice(&variable.unwrap().stdout).unwrap();
    assert_eq!(users(&variable).len(), 3, "the environment of new keys is no filter");
}

#[test]
fn a_cursor_goes_on_where_a_list_ended() {
    let home = Home::new();
    home.create(&["--user", "load", "--count", "5", "--output", "keys"]);
    let first = list(&home, &["--limit", "2"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = list(&home, &["--cursor", cursor, "--all"]);
    assert_eq!((users(&first).len(), users(&rest).len(), &rest["next_cursor"]), (2, 3, &json!(null)));
    assert!(users(&first).iter().all(|user| !users(&rest).contains(user)));

    let table = home.run(&["keys", "list", "--org", "acme", "--limit", "2"]).done();
    assert_eq!(table.stdout.lines().count(), 3);
    assert!(table.stderr.contains(&format!("--cursor {cursor}")), "{table:?}");
}

#[test]
fn a_strict_filter_fills_its_page_from_as_many_pages_as_it_takes() {
    let home = Home::new();
    home.create(&["--user", "wanted"]);
    home.create(&["--user", "load", "--count", "6000", "--tag", "load", "--output", "keys"]);
    home.create(&["--user", "wanted", "--tag", "other"]);
    let found = list(&home, &["--environment", "dev", "--user", "wanted"]);
    assert_eq!(users(&found).len(), 2);
    let found = list(&home, &["--tag", "other", "--limit", "3"]);
    assert_eq!((users(&found), &found["next_cursor"]), (vec!["wanted"], &json!(null)));
    assert_eq!(users(&list(&home, &["--tag", "load", "--limit", "2500"])).len(), 2500);
}

#[test]
fn the_table_has_a_row_for_each_key_with_its_columns_in_line() {
    let home = Home::new();
    let name = "Jürgens Schlüssel 鍵";
    let id = home.create_id(&["--user", "bob", "--name", name]);
    home.create(&["--user", "maximilian.mustermann", "--expires-in", "never"]);
    let table = home.run(&["keys", "list", "--org", "acme"]).done().stdout;
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3);
    for word in ["KEY ID", "STATUS", "USER", "EXPIRES", "NAME", "ENV", "PROJECT"] {
        assert!(rows[0].contains(word), "{table}");
    }
    assert!(rows[1].contains("never"));
    let place = rows[0].find("EXPIRES").unwrap();
    assert_eq!(rows[1].find("never"), Some(place), "{table}");
    assert!(rows[2].starts_with(&id) && rows[2].contains(name));
    assert!(!table.contains('\u{1b}'), "no colours but on a terminal");
}

#[test]
fn an_organization_without_keys_has_an_empty_list() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let run = home.run(&["keys", "list", "--org", "nobody"]).done();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "note: no key matches\n"));
    let document = home.run(&["keys", "list", "--org", "nobody", "--json"]).done().json();
    assert_eq!(document, json!({ "keys": [], "unreadable_key_ids": [], "next_cursor": null }));
}

#[test]
fn wrong_filters_are_wrong_usage() {
    let home = Home::new();
    for args in [
        ["--status", "sleeping"],
        ["--limit", "0"],
        ["--cursor", "abc"],
        ["--expiring-within", "soon"],
        ["--expiring-within", "999999999y"],
        ["--unused-for", "soon"],
        ["--environment", "Prod"],
        ["--tag", "a b"],
    ] {
        home.run(&[&["keys", "list", "--org", "acme"], &args[..]].concat()).wrong_usage(args[0]);
    }
    home.run(&["keys", "list", "--org", "acme", "--all", "--limit", "5"]).wrong_usage("--limit");
}

#[test]
fn a_key_is_shown_without_what_it_is_verified_by() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let id = key["key_id"].as_str().unwrap();
    let mut shown = home.run(&["keys", "show", id, "--json"]).done().json();
    let left = shown.as_object_mut().unwrap().remove("limits_left").unwrap();
    let windows: Vec<_> = left.as_array().unwrap().iter().map(|left| left["window"].as_str().unwrap()).collect();
    assert_eq!(windows, ["minute", "hour", "day", "burst"]);
    shown["key"] = key["key"].clone();
    assert_eq!(shown, key, "what is shown is what was made, but for the key itself");
    let lines = home.run(&["keys", "show", id]).done().stdout;
    assert!(lines.contains(id) && !lines.contains(key["key"].as_str().unwrap()));
    home.run(&["keys", "show", NO_KEY]).refused("there is no such key");
}

#[test]
fn a_key_pasted_for_its_id_is_not_repeated() {
    let home = Home::new();
    let key = home.create(&["--user", "bob"]);
    let key = key["key"].as_str().unwrap();
    for command in ["show", "deactivate", "activate", "revoke", "delete"] {
        let run = home.run(&["keys", command, key]).wrong_usage("KEY_ID must be a UUID");
        assert!(!run.stderr.contains(&key[20..]), "{run:?}");
    }
    home.run(&["keys", "show", "01933B0E-8f1c-7c3a-9d55-0a1b2c3d4e5f"]).wrong_usage("KEY_ID");
}

#[test]
fn the_ring_counts_the_keys_that_need_each_entry() {
    let home = Home::new();
    home.create(&["--user", "bob"]);
    let revoked = home.create_id(&["--user", "bob"]);
    home.run(&["keys", "revoke", &revoked, "--yes"]).done();
    let usage = home.run(&["ring", "show", "--json"]).done().json();
    let entries = usage["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["usable_keys"]), (1, &json!(1)));
    let table = home.run(&["ring", "show"]).done().stdout;
    assert!(table.contains(entries[0]["entry"].as_str().unwrap()), "{table}");
}
