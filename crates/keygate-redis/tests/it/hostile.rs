//! Circumstances that would let a revoked key be believed, each seen to do so once.

use std::time::{Duration, Instant};

use keygate_core::key::Bucket;
use keygate_core::store::Store;
use keygate_testkit::{FaultProxy, RedisSentinel, RedisServer};

use crate::support::{is_live, lease, leased_at, namespace, some_id, watch};

const H: Duration = Duration::from_secs(1);

/// A host that died takes its Sentinel with it: the usual companion of a failover.
#[tokio::test]
async fn a_sentinel_that_does_not_answer_keeps_the_others_word_from_nobody() {
    let sentinel = RedisSentinel::builder().sentinels(3, 2).start().await.unwrap();
    let store = leased_at(&sentinel.url(), namespace(), H);
    let _watcher = watch(&store);
    let before = lease(&store).await;
    let old = &sentinel.servers()[sentinel.primary().await.unwrap()];
    sentinel.sentinels()[2].freeze().unwrap();
    let master = sentinel.url().rsplit('/').next().unwrap().to_owned();
    let asked = &sentinel.sentinels()[0];
    let patience = Instant::now() + Duration::from_secs(60);
    while asked.command::<String>(["SENTINEL", "FAILOVER", &master]).await.is_err() {
        assert!(Instant::now() < patience, "no failover begins");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while !before.has_ended() {
        // By its demotion the old primary would end it too, seconds later. Then this says nothing, and fails.
        let role = old.info("replication").await.unwrap()["role"].clone();
        assert!(before.has_ended() || role == "master", "the old primary was believed until it was demoted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sentinel.sentinels()[2].thaw().unwrap();
}

/// It may take writes still, and is told of nothing.
#[tokio::test]
async fn a_primary_of_an_older_configuration_is_not_fallen_back_to() {
    let (newer, older) = (RedisSentinel::start().await.unwrap(), RedisSentinel::start().await.unwrap());
    newer.failover().await.unwrap();
    for server in newer.servers() {
        server.freeze().unwrap();
    }
    let hosts = |url: String| url.trim_start_matches("redis+sentinel://").split('/').next().unwrap().to_owned();
    let url = format!("redis+sentinel://{},{}/mymaster", hosts(newer.url()), hosts(older.url()));
    let store = leased_at(&url, namespace(), H);
    let _watcher = watch(&store);
    let until = Instant::now() + 5 * H;
    while Instant::now() < until {
        assert!(store.load_record(some_id()).await.is_err(), "the older one has answered");
    }
    for server in newer.servers() {
        server.thaw().unwrap();
    }
}

/// All scores of the registry are then too low, as those of a promoted replica whose clock is ahead.
#[tokio::test]
async fn a_servers_clock_that_was_set_forwards_confirms_nothing_too_early() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let namespace = namespace();
    let cut_off = leased_at(&proxy.url(), namespace.clone(), 3 * H);
    let _watcher = watch(&cut_off);
    let believed = lease(&cut_off).await;
    proxy.swallow();
    let asking = leased_at(&server.url(), namespace, 3 * H);
    let name = asking.layout().instances_until(Bucket::of(0));
    let rows: Vec<(Vec<u8>, f64)> = server.command(["ZRANGE", &name, "0", "-1", "WITHSCORES"]).await.unwrap();
    assert!(!rows.is_empty());
    for (id, score) in rows {
        let mut step = keygate_redis::deadpool_redis::redis::cmd("ZADD");
        step.arg(&name).arg(score - 10_000.0).arg(id);
        server.query::<i64>(step).await.unwrap();
    }
    assert!(asking.told_everywhere().await.unwrap());
    assert!(!is_live(&believed), "it was said that nobody believes, and somebody does");
}
