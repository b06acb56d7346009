//! What an examination finds of servers as they are in life.

use std::time::{Duration, Instant};

use keygate_core::actor::Operator;
use keygate_core::coherence::Coherence;
use keygate_core::manager::{ApiKeyManager, NewKey, examine_deployment};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::{Depth, Finding, Store, Verdict};
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, RedisCluster, RedisSentinel, RedisServer};

use crate::support::{self, coherent, create, lease, leased_at, namespace, pool, store_at, watch, watch_for};

async fn examined(store: &RedisStore) -> Vec<Finding> {
    store.examine(Depth::Quick).await
}

#[track_caller]
fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
    assert_eq!(found.len(), 1, "{check} in {findings:?}");
    found[0]
}

#[track_caller]
fn is(findings: &[Finding], check: &str, verdict: Verdict, words: &str) {
    let finding = of(findings, check);
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.observed.contains(words), "{words:?} is not in {finding:?}");
    assert!(verdict == Verdict::Ok || finding.advice.as_ref().is_some_and(|advice| !advice.is_empty()), "{finding:?}");
}

#[tokio::test]
async fn a_server_that_is_as_it_should_be_has_no_failure_and_nothing_is_left_in_it() {
    let server = RedisServer::builder().append_only().start().await.unwrap();
    let findings = examined(&store_at(&server.url(), namespace())).await;
    is(&findings, "store", Verdict::Ok, &server.port().to_string());
    is(&findings, "writes", Verdict::Ok, "");
    is(&findings, "tracking", Verdict::Ok, "a change was told");
    is(&findings, "persistence", Verdict::Ok, "append-only");
    is(&findings, "eviction", Verdict::Ok, "noeviction");
    is(&findings, "memory", Verdict::Ok, "MiB");
    is(&findings, "replicas", Verdict::Ok, "none");
    is(&findings, "clock", Verdict::Ok, "apart");
    is(&findings, "staleness", Verdict::Ok, "5000 ms");
    is(&findings, "instances", Verdict::Ok, "none is registered");
    assert!(
        of(&findings, "version").observed.starts_with("Redis ")
            || of(&findings, "version").observed.starts_with("Valkey ")
    );
    assert!(findings.iter().all(|finding| finding.verdict < Verdict::Failure), "{findings:?}");
    assert_eq!(server.command::<u64>(["DBSIZE"]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_evicts_is_a_failure() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = RedisServer::builder().config("maxmemory-policy", policy).start().await.unwrap();
        is(&examined(&store_at(&server.url(), namespace())).await, "eviction", Verdict::Failure, policy);
    }
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_a_warning_and_so_is_one_with_snapshots_alone() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    is(&examined(&store).await, "persistence", Verdict::Warning, "nothing is written");
    server.command::<()>(["CONFIG", "SET", "save", "3600 1"]).await.unwrap();
    is(&examined(&store).await, "persistence", Verdict::Warning, "3600 1");
    server.command::<()>(["CONFIG", "SET", "appendonly", "yes"]).await.unwrap();
    server.command::<()>(["CONFIG", "SET", "appendfsync", "no"]).await.unwrap();
    is(&examined(&store).await, "persistence", Verdict::Warning, "appendfsync no");
    server.command::<()>(["CONFIG", "SET", "appendfsync", "everysec"]).await.unwrap();
    is(&examined(&store).await, "persistence", Verdict::Ok, "every second");
}

#[tokio::test]
async fn a_full_server_is_a_failure_of_memory_and_of_writes() {
    let server = RedisServer::start().await.unwrap();
    server.command::<()>(["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let findings = examined(&store_at(&server.url(), namespace())).await;
    is(&findings, "memory", Verdict::Failure, "maxmemory");
    is(&findings, "writes", Verdict::Failure, "OOM");
    is(&findings, "tracking", Verdict::Unknown, "nothing could be written");
}

#[tokio::test]
async fn a_replica_that_falls_behind_is_named_and_one_that_is_asked_is_a_failure() {
    let primary = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let store = store_at(&primary.url(), namespace());
    let is_behind = |fields: &std::collections::BTreeMap<String, String>, least: u64| {
        let line = fields.get("slave0").cloned().unwrap_or_default();
        let lag = line.rsplit("lag=").next().and_then(|lag| lag.parse::<u64>().ok());
        line.contains("state=online") && lag.is_some_and(|lag| lag >= least)
    };
    wait(&primary, |fields| is_behind(fields, 0)).await;
    is(&examined(&store).await, "replicas", Verdict::Ok, "1 of 1 in time");
    is(&examined(&store_at(&replica.url(), namespace())).await, "replicas", Verdict::Failure, "a replica");
    replica.freeze().unwrap();
    wait(&primary, |fields| is_behind(fields, 5)).await;
    is(&examined(&store).await, "replicas", Verdict::Warning, &replica.port().to_string());
    replica.thaw().unwrap();
}

async fn wait(server: &RedisServer, is_so: impl Fn(&std::collections::BTreeMap<String, String>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so(&server.info("replication").await.unwrap()) {
        assert!(Instant::now() < deadline, "it does not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_the_user_may_not_ask_is_unknown_and_said_so() {
    let server = RedisServer::start().await.unwrap();
    let rules = ["ACL", "SETUSER", "bob", "on", ">hunter2hunter2", "~*", "+@all", "-config", "-client"];
    server.command::<()>(rules).await.unwrap();
    let url = format!("redis://bob:hunter2hunter2@{}", server.address());
    let findings = examined(&store_at(&url, namespace())).await;
    is(&findings, "tracking", Verdict::Unknown, "may not CLIENT TRACKING");
    is(&findings, "persistence", Verdict::Unknown, "may not CONFIG GET");
    is(&findings, "eviction", Verdict::Ok, "noeviction");
    is(&findings, "writes", Verdict::Ok, "");
    assert!(of(&findings, "persistence").advice.as_ref().unwrap().contains("+config|get"));
    assert!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");

    server.command::<()>(["ACL", "SETUSER", "bob", "-info", "-time", "-zrangebyscore"]).await.unwrap();
    let findings = examined(&store_at(&url, namespace())).await;
    for check in ["version", "persistence", "eviction", "memory", "replicas", "clock", "staleness", "instances"] {
        is(&findings, check, Verdict::Unknown, "may not");
    }
    is(&findings, "store", Verdict::Ok, "answers in");
    server.command::<()>(["ACL", "SETUSER", "bob", "-eval", "-evalsha"]).await.unwrap();
    is(&examined(&store_at(&url, namespace())).await, "writes", Verdict::Failure, "NOPERM");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_a_failure_and_not_shown() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    for url in [format!("redis://:canarywrong@{}", server.address()), format!("redis://{}", server.address())] {
        let findings = examined(&store_at(&url, namespace())).await;
        is(&findings, "store", Verdict::Failure, "");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(!format!("{findings:?}").contains("canarywrong"), "{findings:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_swallows_what_is_said_unasked_is_found_out() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let store = store_at(&proxy.url(), namespace());
    is(&examined(&store).await, "tracking", Verdict::Ok, "told");
    proxy.swallow_pushes();
    is(&examined(&store).await, "tracking", Verdict::Failure, "told nothing");
    proxy.pass();
    is(&examined(&store).await, "tracking", Verdict::Ok, "told");
}

#[tokio::test]
async fn a_server_without_tracking_and_a_pool_are_bound_by_time() {
    let server = RedisServer::builder().config("rename-command", "CLIENT \"\"").start().await.unwrap();
    is(&examined(&store_at(&server.url(), namespace())).await, "tracking", Verdict::Warning, "does not track");
    let server = RedisServer::start().await.unwrap();
    let findings = examined(&RedisStore::from_pool(pool(&server.url()), namespace())).await;
    is(&findings, "tracking", Verdict::Warning, "pool");
    is(&findings, "writes", Verdict::Ok, "");
    is(&findings, "store", Verdict::Ok, "answers in");
}

#[tokio::test]
async fn a_store_that_is_not_there_or_does_not_answer_is_one_failure_in_little_time() {
    let mut server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    server.freeze().unwrap();
    let began = Instant::now();
    let findings = examined(&store).await;
    is(&findings, "store", Verdict::Failure, "");
    assert!(of(&findings, "store").advice.as_ref().unwrap().contains("KEYGATE_STORE"));
    server.thaw().unwrap();
    server.stop().await.unwrap();
    let pooled = RedisStore::from_pool(pool(&server.url()), namespace());
    for store in [&store, &pooled] {
        let findings = examined(store).await;
        is(&findings, "store", Verdict::Failure, "does not serve");
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_store_is_a_warning() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let store = store_at(&proxy.url(), namespace());
    proxy.delay(Duration::from_millis(150));
    let findings = examined(&store).await;
    is(&findings, "store", Verdict::Warning, "heartbeats");
    is(&findings, "tracking", Verdict::Ok, "told");
}

#[tokio::test]
async fn instances_are_counted_with_their_bounds_and_those_of_other_settings_are_told() {
    let server = RedisServer::start().await.unwrap();
    let namespace = namespace();
    let served = leased_at(&server.url(), namespace.clone(), Duration::from_millis(800));
    let _watcher = watch_for(&served, Duration::from_millis(200));
    lease(&served).await;
    coherent(&served, Coherence::Live).await;
    let findings = examined(&store_at(&server.url(), namespace.clone())).await;
    is(&findings, "instances", Verdict::Ok, "1 is registered");
    is(&findings, "instances", Verdict::Ok, "1000 ms");
    is(&findings, "staleness", Verdict::Ok, "5000 ms");
    // One that would believe for longer than the deployment allows keeps nothing.
    let long = leased_at(&server.url(), namespace.clone(), Duration::from_secs(6));
    is(&examined(&long).await, "staleness", Verdict::Failure, "6000 ms");
    let other = store_at(&server.url(), namespace.clone()).with_max_staleness(Duration::from_secs(9)).unwrap();
    is(&examined(&other).await, "staleness", Verdict::Warning, "9000 ms");
    // One over a pool cannot be told.
    let pooled = RedisStore::from_pool(pool(&server.url()), namespace.clone());
    let _watcher = watch(&pooled);
    let _ = pooled.load_record(support::some_id()).await.unwrap();
    support::eventually("it is registered", || matches!(pooled.coherence(), Coherence::TimeBound(_))).await;
    is(&examined(&store_at(&server.url(), namespace)).await, "instances", Verdict::Warning, "1 cannot be told");
}

fn secret(byte: u8) -> MasterSecret {
    MasterSecret::from_bytes(std::array::from_fn(|at| byte.wrapping_add(at as u8))).unwrap()
}

#[tokio::test]
async fn an_emptied_store_and_secrets_of_another_are_failures() {
    let server = RedisServer::start().await.unwrap();
    let namespace = namespace();
    let ring = SecretRing::new(&secret(1));
    let store = store_at(&server.url(), namespace.clone());
    let manager = ApiKeyManager::builder(store, ring.clone()).cache_capacity(0).build().unwrap();
    let operator = Operator::named("doctor".parse().unwrap());
    is(&manager.examine(&operator, Depth::Quick).await, "deployment", Verdict::Failure, "never set up");
    let new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
    manager.create(&operator.clone().into(), new).await.unwrap();
    let findings = manager.examine(&operator, Depth::Deep).await;
    is(&findings, "deployment", Verdict::Ok, "set up on");
    is(&findings, "secrets", Verdict::Ok, &ring.current_id().to_string());
    is(&findings, "retired_secrets", Verdict::Ok, "usable keys by the ring entry they need");

    let other = store_at(&server.url(), namespace);
    let wrong = examine_deployment(&other, Some(&SecretRing::new(&secret(2))), Depth::Deep).await;
    is(&wrong, "secrets", Verdict::Failure, "do not fit");
    is(&wrong, "retired_secrets", Verdict::Failure, &ring.current_id().to_string());

    server.command::<()>(["FLUSHALL"]).await.unwrap();
    is(&manager.examine(&operator, Depth::Quick).await, "deployment", Verdict::Failure, "emptied or replaced");
    is(&examine_deployment(&other, Some(&ring), Depth::Quick).await, "deployment", Verdict::Failure, "emptied");
    assert_eq!(server.command::<u64>(["DBSIZE"]).await.unwrap(), 0, "nothing is set up by looking");
}

#[tokio::test]
async fn sentinels_are_asked_one_by_one() {
    let mut group = RedisSentinel::builder().sentinels(3, 2).start().await.unwrap();
    let store = store_at(&group.url(), namespace());
    let findings = examined(&store).await;
    is(&findings, "sentinels", Verdict::Ok, "3 of 3");
    is(&findings, "store", Verdict::Ok, &group.servers()[0].port().to_string());
    is(&findings, "replicas", Verdict::Warning, "need none");
    is(&findings, "tracking", Verdict::Ok, "told");
    group.servers()[0].command::<()>(["CONFIG", "SET", "min-replicas-to-write", "1"]).await.unwrap();
    is(&examined(&store).await, "replicas", Verdict::Ok, "each write needs");
    group.sentinels_mut()[2].stop().await.unwrap();
    let gone = group.sentinels()[2].port().to_string();
    let findings = examined(&store).await;
    is(&findings, "sentinels", Verdict::Warning, &gone);
    group.sentinels_mut()[1].stop().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // The last one takes a while to know that it is alone.
    loop {
        let findings = examined(&store).await;
        let sentinels = of(&findings, "sentinels");
        if sentinels.verdict == Verdict::Failure {
            assert!(sentinels.observed.contains("no failover is possible"), "{sentinels:?}");
            break;
        }
        assert!(Instant::now() < deadline, "{sentinels:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    group.sentinels_mut()[0].stop().await.unwrap();
    let findings = examined(&store).await;
    is(&findings, "sentinels", Verdict::Failure, "none of 3");
    is(&findings, "store", Verdict::Failure, "");
}

#[tokio::test]
async fn a_cluster_is_whole_until_a_slot_or_a_primary_is_missing() {
    let mut cluster = RedisCluster::builder().config("cluster-require-full-coverage", "no").start().await.unwrap();
    let namespace = namespace();
    let served = leased_at(&cluster.url(), namespace.clone(), Duration::from_secs(1));
    let _watcher = watch(&served);
    create(&served).await;
    coherent(&served, Coherence::Live).await;
    let store = store_at(&cluster.url(), namespace);
    let findings = examined(&store).await;
    is(&findings, "cluster", Verdict::Ok, "3 primaries");
    is(&findings, "cluster_addresses", Verdict::Ok, "3 of 3");
    is(&findings, "writes", Verdict::Ok, "each of 3 primaries");
    is(&findings, "tracking", Verdict::Ok, "told");
    is(&findings, "replicas", Verdict::Warning, "none");
    is(&findings, "eviction", Verdict::Ok, "each of 3 primaries: noeviction");
    is(&findings, "instances", Verdict::Ok, "1 is registered");
    assert!(findings.iter().all(|finding| finding.verdict < Verdict::Failure), "{findings:?}");
    // One primary alone evicts.
    let evicting = &cluster.nodes()[1];
    evicting.command::<()>(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let findings = examined(&store).await;
    is(&findings, "eviction", Verdict::Failure, &evicting.port().to_string());
    // Taken for a server of its own, a node is named as what it is.
    is(
        &examined(&store_at(&evicting.url(), support::namespace())).await,
        "cluster",
        Verdict::Failure,
        "a node of a Cluster",
    );
    for node in cluster.nodes() {
        node.command::<()>(["CLUSTER", "DELSLOTS", "100"]).await.unwrap();
    }
    is(&examined(&store).await, "cluster", Verdict::Failure, "slot 100");
    cluster.nodes_mut()[2].kill();
    let began = Instant::now();
    let findings = examined(&store).await;
    is(&findings, "cluster", Verdict::Failure, &cluster.nodes()[2].port().to_string());
    is(&findings, "cluster_addresses", Verdict::Warning, "2 of 3");
    is(&findings, "store", Verdict::Failure, &cluster.nodes()[2].port().to_string());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}
