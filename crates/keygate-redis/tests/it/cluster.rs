//! In a Cluster whoever watches a store is told of changes by every primary, and one primary is nothing to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::coherence::{Change, Coherence};
use keygate_core::record::{KeyStatus, OrganizationRecord, ProjectRecord};
use keygate_core::store::Store;
use keygate_redis::RedisStore;
use keygate_testkit::{RedisCluster, sample};

use crate::support::{
    self, cluster, coherent, create, eventually, is_live, lease_of, leased_at, namespace, owner_of, records_on_all,
    some_id, store_at, watch,
};

const H: Duration = Duration::from_secs(1);
/// Longer than any test, so that what happens is not the end of a lease.
const LONG: Duration = Duration::from_secs(60);

/// Begins to watch a store, and waits until all primaries tell it of changes.
async fn watched(store: &RedisStore) -> Arc<support::Heard> {
    let heard = watch(store);
    store.load_record(some_id()).await.unwrap();
    coherent(store, Coherence::Live).await;
    heard
}

#[tokio::test]
async fn every_kind_of_write_is_told_by_every_primary() {
    let cluster = cluster().await;
    let namespace = namespace();
    let store = leased_at(&cluster.url(), namespace.clone(), LONG).with_max_staleness(2 * LONG).unwrap();
    let heard = watched(&store).await;
    let writer = store_at(&cluster.url(), namespace);
    let mut owners = BTreeSet::new();
    for _ in 0..24 {
        let record = create(&writer).await;
        let (id, organization) = (record.key.id, record.key.organization.clone());
        owners.insert(owner_of(cluster, &store.layout().record(id)).await);
        let told = |change: Change| {
            let heard = &heard;
            async move {
                eventually(&format!("{change:?} is told"), || heard.has(&change)).await;
                heard.forget();
            }
        };
        told(Change::Key(id)).await;
        writer.replace(&sample::described(&record, "changed"), record.key.revision).await.unwrap();
        told(Change::Key(id)).await;
        let revoked = writer.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
        told(Change::Revoked(id)).await;
        writer.delete(&organization, id, revoked.record.key.revision).await.unwrap();
        told(Change::Key(id)).await;
        writer.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
        told(Change::Organization(organization.clone())).await;
        let project = ProjectRecord::new(organization.clone(), sample::project("website"));
        writer.put_project(&project, None).await.unwrap();
        told(Change::Project(organization, project.id)).await;
    }
    assert_eq!(owners.len(), 3, "the keys were not spread over all primaries");
    assert_eq!(store.coherence(), Coherence::Live);
}

#[tokio::test]
async fn a_load_is_one_get_at_the_primary_that_has_it_under_that_primarys_lease() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = leased_at(&cluster.url(), namespace(), LONG).with_max_staleness(2 * LONG).unwrap();
    let _heard = watched(&store).await;
    let records = records_on_all(&cluster, &store).await;
    let mut leases = Vec::new();
    for (at, record) in records.iter().enumerate() {
        for node in cluster.nodes() {
            node.reset_command_stats().await.unwrap();
        }
        let read = store.load_record(record.key.id).await.unwrap();
        assert_eq!(read.value.as_ref(), Some(record));
        assert_eq!(read.decides_until, read.sent.after(LONG));
        leases.push(read.lease.expect("a lease"));
        let parents = store.load_parents(&record.key.organization, Some(&sample::project("website"))).await.unwrap();
        assert!(is_live(&parents.lease.expect("a lease")));
        let mut sum: BTreeMap<String, u64> = BTreeMap::new();
        for (node, server) in cluster.nodes().iter().enumerate() {
            let mut stats = server.command_stats().await.unwrap();
            stats.retain(|command, _| !command.starts_with("config") && command != "info");
            assert!(node == at || !stats.contains_key("get"), "it was read at another: {stats:?}");
            stats.into_iter().for_each(|(command, calls)| *sum.entry(command).or_default() += calls);
        }
        assert_eq!(sum, BTreeMap::from([("get".to_owned(), 1), ("mget".to_owned(), 1)]));
    }
    assert!(leases.iter().all(is_live));
    assert!(!Arc::ptr_eq(&leases[0], &leases[1]) && !Arc::ptr_eq(&leases[1], &leases[2]));
}

#[tokio::test]
async fn a_healthy_fleet_has_heard_when_it_is_said_and_is_not_waited_out() {
    let cluster = cluster().await;
    let (namespace, long) = (namespace(), Duration::from_secs(4));
    let at = || leased_at(&cluster.url(), namespace.clone(), long).with_max_staleness(2 * long).unwrap();
    let fleet = [at(), at(), at()];
    let mut watchers = Vec::new();
    for store in &fleet {
        watchers.push(watched(store).await);
    }
    let command_line = at();
    for (writer, primaries) in [(&fleet[0], 3), (&command_line, 1)] {
        for record in records_on_all(cluster, writer).await.into_iter().take(primaries) {
            writer
                .set_status(&record.key.organization, record.key.id, &sample::status(KeyStatus::Revoked))
                .await
                .unwrap();
            let began = Instant::now();
            assert!(writer.told_everywhere().await.unwrap());
            assert!(began.elapsed() < long, "it took {:?}", began.elapsed());
            for heard in &watchers {
                assert!(heard.has(&Change::Revoked(record.key.id)), "one has not heard");
            }
        }
    }
    for store in &fleet {
        assert_eq!(store.coherence(), Coherence::Live);
    }
}

#[tokio::test]
async fn where_nobody_believes_nobody_is_waited_for() {
    let store = store_at(&cluster().await.url(), namespace());
    store.load_record(some_id()).await.unwrap();
    let began = Instant::now();
    assert!(store.told_everywhere().await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
}

/// How many connections the nodes tell of changes.
async fn tracked(cluster: &RedisCluster) -> u64 {
    let mut tracked = 0;
    for node in cluster.nodes() {
        tracked += node.info("clients").await.unwrap()["tracking_clients"].parse::<u64>().unwrap();
    }
    tracked
}

async fn tracked_becomes(cluster: &RedisCluster, expected: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while tracked(cluster).await != expected {
        assert!(Instant::now() < deadline, "{} are tracked, not {expected}", tracked(cluster).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_nobody_watches_is_not_told_and_sends_no_heartbeats() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = leased_at(&cluster.url(), namespace(), Duration::from_millis(200));
    assert!(store.load_record(some_id()).await.unwrap().lease.is_none());
    assert_eq!(store.coherence(), Coherence::None);
    for node in cluster.nodes() {
        let stats = node.command_stats().await.unwrap();
        for command in ["hello", "client|tracking", "eval", "evalsha"] {
            assert!(!stats.contains_key(command), "{command} was sent");
        }
    }
    // Until somebody does.
    let heard = watched(&store).await;
    assert!(is_live(&lease_of(&store, some_id()).await));
    assert_eq!(tracked(&cluster).await, 3, "one line to each primary");
    // And not any more when they are gone.
    drop(heard);
    tracked_becomes(&cluster, 0).await;
    assert!(store.load_record(some_id()).await.unwrap().lease.is_none());
    assert_eq!(store.coherence(), Coherence::None);
}

#[tokio::test]
async fn a_store_that_is_dropped_ends_its_leases_and_its_connections() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = leased_at(&cluster.url(), namespace(), H);
    let _heard = watched(&store).await;
    let mut leases = Vec::new();
    for record in records_on_all(&cluster, &store).await {
        leases.push(lease_of(&store, record.key.id).await);
    }
    drop(store);
    eventually("all have ended", || leases.iter().all(|lease| lease.has_ended())).await;
    tracked_becomes(&cluster, 0).await;
}

#[tokio::test]
async fn dropped_loads_leave_nothing_stuck() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = leased_at(&cluster.url(), namespace(), Duration::from_secs(5));
    let _heard = watch(&store);
    for round in 0..100 {
        let _ = tokio::time::timeout(Duration::from_micros(17 * round), store.load_record(some_id())).await;
        let told = store.told_everywhere();
        let _ = tokio::time::timeout(Duration::from_micros(17 * round), told).await;
    }
    coherent(&store, Coherence::Live).await;
    assert!(is_live(&lease_of(&store, some_id()).await));
    tracked_becomes(&cluster, 3).await;
}

#[test]
fn a_runtime_that_shuts_down_ends_the_leases_and_the_next_one_goes_on() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let first = runtime();
    let cluster = first.block_on(RedisCluster::start()).unwrap();
    let store = leased_at(&cluster.url(), namespace(), LONG).with_max_staleness(2 * LONG).unwrap();
    let (_heard, before) = first.block_on(async {
        let heard = watched(&store).await;
        (heard, lease_of(&store, some_id()).await)
    });
    assert!(is_live(&before));
    first.shutdown_timeout(Duration::from_secs(10));
    assert!(before.has_ended(), "nobody is left to say that the connection is lost");
    runtime().block_on(async {
        // The connection for commands is lost with the runtime too, and a call learns it.
        let _ = store.load_record(some_id()).await;
        coherent(&store, Coherence::Live).await;
        assert!(is_live(&lease_of(&store, some_id()).await));
    });
}

async fn user_on_all(cluster: &RedisCluster, denied: &str) -> String {
    for node in cluster.nodes() {
        let user = ["ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all", denied];
        node.command::<()>(user).await.unwrap();
    }
    cluster.url().replace("://", "://limited:word@")
}

#[tokio::test]
async fn where_primaries_may_not_tell_what_is_read_is_believed_for_the_lease() {
    let cluster = RedisCluster::start().await.unwrap();
    let url = user_on_all(&cluster, "-client|tracking").await;
    let store = leased_at(&url, namespace(), H);
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    coherent(&store, Coherence::TimeBound(H)).await;
    let read = store.load_record(some_id()).await.unwrap();
    assert_eq!(read.lease.expect("a lease").reached(), read.sent.after(H));
    let kept = lease_of(&store, some_id()).await;
    assert!(store.told_everywhere().await.unwrap());
    assert!(!is_live(&kept), "it is waited out");
}

#[tokio::test]
async fn a_primary_that_may_not_be_asked_what_it_has_is_read_every_time() {
    let cluster = RedisCluster::start().await.unwrap();
    let url = user_on_all(&cluster, "-cluster|nodes").await;
    let store = leased_at(&url, namespace(), H);
    let _heard = watch(&store);
    let record = create(&store).await;
    for _ in 0..20 {
        let read = store.load_record(record.key.id).await.unwrap();
        assert!(read.lease.is_none());
        assert_eq!(read.value.as_ref(), Some(&record));
    }
    assert_ne!(store.coherence(), Coherence::Live);
}
