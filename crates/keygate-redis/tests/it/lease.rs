//! Nobody who is cut off believes for longer than the lease, and all believe again by themselves afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::coherence::{Change, Coherence};
use keygate_core::record::{KeyStatus, Quota};
use keygate_core::store::{Store, StoreError};
use keygate_redis::{Namespace, RedisStore};
use keygate_testkit::{FaultProxy, RedisServer, sample};

use crate::support::{self, Heard, coherent, eventually, is_live, lease, leased_at, namespace, server, some_id, watch};

const H: Duration = Duration::from_secs(1);
const AMPLE: Quota = Quota { per_organization: 1000, per_user: 1000 };

struct Scene {
    proxy: FaultProxy,
    store: RedisStore,
    heard: Arc<Heard>,
    namespace: Namespace,
}

async fn scene() -> Scene {
    let proxy = FaultProxy::start(server().await.address()).unwrap();
    let namespace = namespace();
    let store = leased_at(&proxy.url(), namespace.clone(), H);
    let heard = watch(&store);
    Scene { proxy, store, heard, namespace }
}

/// Breaks the way to the server, and mends it; the store is asked nothing meanwhile.
async fn breaks_and_mends(scene: &Scene, break_it: impl FnOnce(), mend_it: impl FnOnce()) {
    let before = lease(&scene.store).await;
    assert!(is_live(&before));
    assert_eq!(scene.heard.reached(), 0);
    break_it();
    let broken = Instant::now();
    eventually("the lease is live no more", || !is_live(&before)).await;
    let lasted = broken.elapsed();
    assert!(lasted < H + Duration::from_millis(500), "it was believed for {lasted:?}");
    eventually("it has ended for good", || before.has_ended()).await;
    coherent(&scene.store, Coherence::Unreachable).await;
    mend_it();
    coherent(&scene.store, Coherence::Live).await;
    assert!(!is_live(&before), "what was read before is believed again");
    eventually("it is told that the store is reached anew", || scene.heard.reached() >= 1).await;
    // Told over the new connection.
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let writer = support::store_at(&server().await.url(), scene.namespace.clone());
    writer.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    eventually("a change is told", || scene.heard.has(&Change::Key(record.key.id))).await;
    assert!(is_live(&lease(&scene.store).await));
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_its_lease() {
    let scene = scene().await;
    breaks_and_mends(&scene, || scene.proxy.cut(), || scene.proxy.pass()).await;
}

#[tokio::test]
async fn a_half_open_connection_ends_its_lease() {
    let scene = scene().await;
    breaks_and_mends(&scene, || scene.proxy.swallow(), || scene.proxy.pass()).await;
}

#[tokio::test]
async fn a_connection_whose_answers_are_lost_ends_its_lease() {
    let scene = scene().await;
    breaks_and_mends(&scene, || scene.proxy.swallow_replies(), || scene.proxy.pass()).await;
}

#[tokio::test]
async fn a_server_that_stands_still_ends_the_lease() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let _heard = watch(&store);
    let before = lease(&store).await;
    server.freeze().unwrap();
    let frozen = Instant::now();
    eventually("the lease is live no more", || !is_live(&before)).await;
    assert!(frozen.elapsed() < H + Duration::from_millis(500), "it was believed for {:?}", frozen.elapsed());
    coherent(&store, Coherence::Unreachable).await;
    server.thaw().unwrap();
    coherent(&store, Coherence::Live).await;
    assert!(!is_live(&before));
}

#[tokio::test]
async fn a_server_that_restarts_ends_the_lease() {
    let mut server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let heard = watch(&store);
    let before = lease(&store).await;
    server.kill();
    eventually("the lease has ended", || before.has_ended()).await;
    server.restart_empty().await.unwrap();
    coherent(&store, Coherence::Live).await;
    eventually("it is told that the store is reached anew", || heard.reached() == 1).await;
}

#[tokio::test]
async fn an_answer_slower_than_the_lease_decides_nothing() {
    let scene = scene().await;
    assert!(is_live(&lease(&scene.store).await));
    scene.proxy.swallow_replies();
    let began = Instant::now();
    let slow = scene.store.load_record(some_id()).await;
    assert!(matches!(slow, Err(StoreError::Unavailable(_))), "{slow:?}");
    assert!(began.elapsed() < H + Duration::from_secs(1), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_revoked_meanwhile_is_not_believed_again() {
    let scene = scene().await;
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    scene.store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    let before = scene.store.load_record(record.key.id).await.unwrap();
    scene.proxy.swallow();
    let writer = leased_at(&server().await.url(), scene.namespace.clone(), H);
    writer.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert!(writer.told_everywhere().await.unwrap());
    assert!(!is_live(&before.lease.unwrap()), "it was waited for, and believes still");
    scene.proxy.pass();
    coherent(&scene.store, Coherence::Live).await;
    let after = scene.store.load_record(record.key.id).await.unwrap();
    assert_eq!(after.value.unwrap().key.status.status, KeyStatus::Revoked);
}

#[tokio::test]
async fn a_primary_that_may_be_cut_off_is_not_believed() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), Duration::from_millis(400));
    let _heard = watch(&store);
    let before = lease(&store).await;
    server.command::<()>(["CONFIG", "SET", "min-replicas-to-write", "1"]).await.unwrap();
    coherent(&store, Coherence::Unreachable).await;
    assert!(!is_live(&before));
    let refused = store.load_record(some_id()).await.unwrap_err();
    assert!(refused.to_string().contains("replicas"), "{refused}");
    store.record(some_id()).await.unwrap();
    server.command::<()>(["CONFIG", "SET", "min-replicas-to-write", "0"]).await.unwrap();
    coherent(&store, Coherence::Live).await;
    // The connection was good all the time, and what was read over it holds.
    assert!(is_live(&before));
}

#[tokio::test]
async fn a_full_server_lets_the_lease_lapse_and_is_read() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), Duration::from_millis(400));
    let _heard = watch(&store);
    assert!(is_live(&lease(&store).await));
    server.command::<()>(["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    coherent(&store, Coherence::Lapsed).await;
    assert!(!is_live(&lease(&store).await));
    server.command::<()>(["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    coherent(&store, Coherence::Live).await;
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_ends_the_lease() {
    let other = RedisServer::start().await.unwrap();
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let _heard = watch(&store);
    let before = lease(&store).await;
    let port = other.port().to_string();
    server.command::<()>(["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    eventually("the lease has ended", || before.has_ended()).await;
    coherent(&store, Coherence::Unreachable).await;
    server.command::<()>(["REPLICAOF", "NO", "ONE"]).await.unwrap();
    coherent(&store, Coherence::Live).await;
}

#[test]
fn a_runtime_that_shuts_down_ends_the_lease_and_the_next_one_goes_on() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let first = runtime();
    let server = first.block_on(RedisServer::start()).unwrap();
    let store = Arc::new(leased_at(&server.url(), namespace(), Duration::from_secs(60)));
    let store = Arc::new(Arc::into_inner(store).unwrap().with_max_staleness(Duration::from_secs(120)).unwrap());
    // Outside of a runtime.
    let _heard = watch(&store);
    let before = first.block_on(lease(&store));
    assert!(is_live(&before));
    first.shutdown_timeout(Duration::from_secs(10));
    assert!(before.has_ended(), "nobody is left to say that the connection is lost");
    runtime().block_on(async {
        assert!(is_live(&lease(&store).await));
        coherent(&store, Coherence::Live).await;
    });
}

#[tokio::test]
async fn a_store_that_is_dropped_ends_its_lease_and_its_connection() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let _heard = watch(&store);
    let before = lease(&store).await;
    drop(store);
    assert!(before.has_ended());
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.info("clients").await.unwrap()["tracking_clients"] != "0" {
        assert!(Instant::now() < deadline, "the connection outlives the store");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
