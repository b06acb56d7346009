//! Where the server tells nobody of changes, what is read is believed for the lease and no longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{coherent, eventually, is_live, lease, leased_at, namespace, pool, server, some_id, watch};
use keygate_core::coherence::Coherence;
use keygate_core::store::Store;
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, RedisServer};

const H: Duration = Duration::from_secs(1);

async fn believes_for_the_lease(store: &RedisStore) {
    coherent(store, Coherence::TimeBound(H)).await;
    let read = store.load_record(some_id()).await.unwrap();
    let kept = read.lease.expect("a lease");
    assert!(is_live(&kept));
    assert_eq!(kept.reached(), read.sent.after(H), "it has an end of its own");
    assert_eq!(read.decides_until, read.sent.after(H));
    eventually("it is believed no more", || !is_live(&kept)).await;
    assert!(!kept.has_ended());
    assert!(is_live(&lease(store).await), "what is read next is believed again");
    // Whoever waits for it waits it out, with nobody to be told.
    let kept = lease(store).await;
    assert!(store.told_everywhere().await.unwrap());
    assert!(!is_live(&kept));
}

#[tokio::test]
async fn over_a_pool() {
    let store = RedisStore::from_pool(pool(&server().await.url()), namespace()).with_lease(H).unwrap();
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn for_a_user_who_may_not_track() {
    let server = RedisServer::start().await.unwrap();
    let user = ["ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all", "-client|tracking"];
    server.command::<()>(user).await.unwrap();
    let store = leased_at(&format!("redis://limited:word@{}", server.address()), namespace(), H);
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn on_a_server_that_knows_no_resp3() {
    let server = RedisServer::builder().config("rename-command", "HELLO \"\"").start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_no_reason_to_go_without() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    let store = leased_at(&format!("redis://:wrong@{}", server.address()), namespace(), H);
    let _heard = watch(&store);
    let error = store.load_record(some_id()).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("password"), "{error}");
    assert_eq!(store.coherence(), Coherence::Unreachable);
    server.command::<()>(["CONFIG", "SET", "requirepass", "wrong"]).await.unwrap();
    coherent(&store, Coherence::Live).await;
}

#[tokio::test]
async fn a_pool_that_is_not_answered_believes_nothing_new() {
    let proxy = FaultProxy::start(server().await.address()).unwrap();
    let store = RedisStore::from_pool(pool(&proxy.url()), namespace()).with_lease(H).unwrap();
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    coherent(&store, Coherence::TimeBound(H)).await;
    let kept = lease(&store).await;
    proxy.cut();
    coherent(&store, Coherence::Unreachable).await;
    eventually("what was read is believed no more", || !is_live(&kept)).await;
    proxy.pass();
    coherent(&store, Coherence::TimeBound(H)).await;
}
