//! The command on a Redis: the same as on a file, and what a Redis may add to it.

use std::time::{Duration, Instant};

use keygate_testkit::RedisServer;

use crate::support::{Home, NO_KEY, SECRET};

fn home(server: &RedisServer) -> Home {
    Home::new().with("KEYGATE_STORE", &server.url()).with("KEYGATE_SECRET", SECRET)
}

#[tokio::test]
async fn a_key_goes_through_its_whole_life() {
    let server = RedisServer::start().await.unwrap();
    let home = home(&server);
    let key = home.create(&["--user", "bob", "--scope", "reports:read"]);
    let (id, text) = (key["key_id"].as_str().unwrap(), key["key"].as_str().unwrap());
    home.run_with(text, &["keys", "verify", "--scope", "reports:read"]).done();
    assert_eq!(home.run(&["keys", "show", id, "--json"]).done().json()["user_id"], "bob");
    let list = home.run(&["keys", "list", "--org", "acme", "--user", "bob", "--json"]).done().json();
    assert_eq!(list["keys"][0]["key_id"], id);
    home.run(&["keys", "deactivate", id]).done();
    home.run_with(text, &["keys", "verify"]).ended_with("key_inactive");
    home.run(&["keys", "activate", id]).done();
    home.run(&["keys", "revoke", id]).done();
    home.run_with(text, &["keys", "verify"]).ended_with("key_revoked");
    home.run(&["keys", "delete", id, "--yes"]).done();
    home.run_with(text, &["keys", "verify"]).ended_with("invalid_key");
    home.run(&["ring", "show"]).done();
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0, "nothing is left beside the Redis");
}

#[tokio::test]
async fn many_keys_are_made_in_little_time() {
    let server = RedisServer::start().await.unwrap();
    let home = home(&server);
    let begun = Instant::now();
    home.create(&["--user", "load", "--count", "5000", "--output", "keys"]);
    let spent = begun.elapsed();
    assert!(spent < Duration::from_secs(20), "{spent:?}");
    let keys = std::fs::read_to_string(home.path("keys")).unwrap();
    assert_eq!(keys.lines().count(), 5000);
    home.run_with(keys.lines().last().unwrap(), &["keys", "verify"]).done();
}

#[tokio::test]
async fn a_store_that_fails_on_the_way_leaves_what_was_made_in_the_file() {
    let server = RedisServer::builder().config("maxmemory", "20mb").start().await.unwrap();
    let home = home(&server);
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "100000", "--output", "keys"];
    let run = home.run(&create).refused("of 100000 keys were made and are in keys: the store is unavailable");
    let keys = std::fs::read_to_string(home.path("keys")).unwrap();
    assert!(run.stderr.contains(&format!("error: {} of 100000", keys.lines().count())), "{run:?}");
    home.run_with(keys.lines().last().unwrap(), &["keys", "verify"]).done();
}

#[tokio::test]
async fn a_secret_is_required() {
    let server = RedisServer::start().await.unwrap();
    let home = Home::new().with("KEYGATE_STORE", &server.url());
    home.run(&["keys", "create", "--org", "acme", "--user", "bob"]).refused("KEYGATE_SECRET is required");
}

#[tokio::test]
async fn the_secret_of_another_store_does_not_fit() {
    let server = RedisServer::start().await.unwrap();
    home(&server).create(&["--user", "bob"]);
    let other = Home::new().with("KEYGATE_STORE", &server.url()).with("KEYGATE_PASSPHRASE", "correct horse battery");
    other.run(&["keys", "list", "--org", "acme"]).refused("does not fit this store");
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let server = RedisServer::start().await.unwrap();
    let home = home(&server);
    let id = home.create_id(&["--user", "bob", "--namespace", "one"]);
    home.run(&["keys", "show", &id, "--namespace", "one"]).done();
    home.run(&["keys", "show", &id, "--namespace", "two"]).refused("there is no such key");
    home.run(&["keys", "show", &id]).refused("there is no such key");
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_one_sentence_and_no_wait() {
    let mut server = RedisServer::start().await.unwrap();
    server.stop().await.unwrap();
    let home = home(&server);
    let begun = Instant::now();
    for args in [&["keys", "create", "--org", "acme", "--user", "bob", "--json"][..], &["ring", "show"]] {
        let run = home.run(args).refused("the store is unavailable");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.contains(&server.port().to_string()), "{run:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_given_up_soon() {
    let server = RedisServer::start().await.unwrap();
    let home = home(&server);
    let key = home.create(&["--user", "bob"]);
    server.freeze().unwrap();
    let begun = Instant::now();
    home.run_with(key["key"].as_str().unwrap(), &["keys", "verify", "--json"]).refused("the store is unavailable");
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.thaw().unwrap();
    home.run_with(key["key"].as_str().unwrap(), &["keys", "verify"]).done();
}

/// A command that was done is done, whatever keeps its audit from being sealed.
#[tokio::test]
async fn an_audit_that_cannot_be_sealed_changes_nothing_of_how_a_command_ends() {
    let server = RedisServer::start().await.unwrap();
    let home = home(&server);
    home.create(&["--user", "bob"]);
    let seals: Vec<String> = server.command(["KEYS", "kg:audit-seals:*"]).await.unwrap();
    assert_eq!(seals.len(), 1, "{seals:?}");
    server.command::<()>(["SET", &seals[0], "no stream"]).await.unwrap();
    let begun = Instant::now();
    home.create(&["--user", "bob"]);
    home.run(&["keys", "show", NO_KEY]).refused("no such key");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let server = RedisServer::builder().password("hunter2hunter2").start().await.unwrap();
    let home = home(&server);
    home.create(&["--user", "bob"]);
    let wrong = server.url().replace("hunter2hunter2", "guess1guess1");
    let run =
        home.run(&["keys", "list", "--org", "acme", "--store", &wrong, "--log", "trace"]).ended_with("unavailable");
    assert!(!run.stderr.contains("guess1"), "{run:?}");
}
