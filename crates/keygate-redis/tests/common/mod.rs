//! What the tests of the Redis store share: servers that live as long as the test process, and stores in them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::KeyRecord;
use keygate_core::store::{Listing, Store};
use keygate_redis::{Namespace, Pool, RedisSettings, RedisStore};
use keygate_testkit::{RedisCluster, RedisSentinel, RedisServer, sample};
use tokio::sync::OnceCell;

/// A namespace that nobody else uses.
pub(crate) fn namespace() -> Namespace {
    let random = u64::from_be_bytes(sample::random());
    Namespace::new(format!("t{random:016x}")).unwrap()
}

/// One server for all tests of the process.
pub(crate) async fn server() -> &'static RedisServer {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER.get_or_init(|| async { RedisServer::start().await.unwrap() }).await
}

/// One Cluster for all tests of the process.
pub(crate) async fn cluster() -> &'static RedisCluster {
    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| async { RedisCluster::start().await.unwrap() }).await
}

/// One set of Sentinels for all tests of the process.
pub(crate) async fn sentinel() -> &'static RedisSentinel {
    static SENTINEL: OnceCell<RedisSentinel> = OnceCell::const_new();
    SENTINEL.get_or_init(|| async { RedisSentinel::start().await.unwrap() }).await
}

/// A store at this address, in this namespace.
pub(crate) fn store_at(url: &str, namespace: Namespace) -> RedisStore {
    RedisStore::connect(url.parse::<RedisSettings>().unwrap().with_namespace(namespace))
}

/// A pool of eight connections to this address.
pub(crate) fn pool(url: &str) -> Pool {
    let config = deadpool_redis::Config::from_url(url);
    config.builder().unwrap().max_size(8).runtime(deadpool_redis::Runtime::Tokio1).build().unwrap()
}

/// What the organization's slot and the keys' slots say, and that they agree: every key listed is there, every one there
/// is listed, ends are those of the records, and nothing is pending.
pub(crate) async fn assert_whole(
    server: &RedisServer,
    store: &RedisStore,
    organization: &OrganizationId,
    ids: &[KeyId],
) -> Vec<KeyRecord> {
    let layout = store.layout();
    let pending: u64 = server.command(["ZCARD", &layout.pending(organization)]).await.unwrap();
    let flights: u64 = server.command(["HLEN", &layout.flight(organization)]).await.unwrap();
    assert_eq!((pending, flights), (0, 0), "something is pending still");
    let listing = Listing::Organization(organization.clone());
    let listed: Vec<Vec<u8>> = server.command(["ZRANGE", &layout.keys(organization), "0", "-1"]).await.unwrap();
    let records = store.list(&listing, None, 10_000).await.unwrap().records;
    assert_eq!(listed.len(), records.len(), "keys are listed that are not there");
    for id in ids {
        let there = store.record(*id).await.unwrap();
        assert_eq!(records.iter().find(|record| record.key.id == *id), there.as_ref(), "key {id}");
    }
    let ended: Vec<(Vec<u8>, f64)> =
        server.command(["ZRANGE", &layout.ended(organization), "0", "-1", "WITHSCORES"]).await.unwrap();
    let mut expected: Vec<(Vec<u8>, f64)> = records
        .iter()
        .filter_map(|record| {
            Some((record.key.id.as_bytes().to_vec(), record.key.counts_until()?.timestamp_millis() as f64))
        })
        .collect();
    expected.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    assert_eq!(ended, expected, "ends are not those of the records");
    for user in records.iter().map(|record| &record.key.user).collect::<BTreeSet<_>>() {
        let counting = |record: &&KeyRecord| record.key.counts_until().is_none_or(|end| end > sample::now());
        let of_user = records.iter().filter(|record| record.key.user == *user).filter(counting).count() as u64;
        let used = store.quota_use(organization, user).await.unwrap();
        assert_eq!(used.user, of_user, "of user {user}");
        assert_eq!(used.organization, records.iter().filter(counting).count() as u64);
    }
    records
}

/// Waits until everything that was begun in an organization is ended, which is soon after its reservation.
pub(crate) async fn reaped(server: &RedisServer, store: &RedisStore, organization: &OrganizationId) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        store.reap(organization).await.unwrap();
        let pending: u64 = server.command(["ZCARD", &store.layout().pending(organization)]).await.unwrap();
        if pending == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "something stays pending");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
