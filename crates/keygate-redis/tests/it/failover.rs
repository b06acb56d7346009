//! Primaries that change: behind Sentinels and in a Cluster.

use std::time::{Duration, Instant};

use keygate_core::coherence::{Change, Coherence};
use keygate_core::key::Bucket;
use keygate_core::record::{KeyRecord, KeyStatus, Quota};
use keygate_core::store::{Store, StoreError};
use keygate_redis::{Layout, RedisStore};
use keygate_testkit::{RedisCluster, RedisSentinel, sample};

use crate::support::{coherent, eventually, is_live, lease, leased_at, namespace, store_at, watch};

const AMPLE: Quota = Quota { per_organization: 100_000, per_user: 100_000 };

async fn create(store: &RedisStore) -> Result<KeyRecord, StoreError> {
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    assert_eq!(store.create(&organization, AMPLE, vec![record.clone()]).await?, [Ok(())]);
    assert_eq!(store.record(record.key.id).await?, Some(record.clone()));
    Ok(record)
}

async fn created_soon(store: &RedisStore) -> KeyRecord {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let began = Instant::now();
        match create(store).await {
            Ok(record) => return record,
            Err(error) => assert!(Instant::now() < deadline, "it does not recover: {error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "one call took {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn behind_sentinels_a_store_follows_the_primary() {
    let sentinel = RedisSentinel::start().await.unwrap();
    let store = store_at(&sentinel.url(), namespace());
    let before = create(&store).await.unwrap();
    for server in sentinel.servers() {
        while server.command::<u64>(["EXISTS", &store.layout().record(before.key.id)]).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let new = &sentinel.servers()[sentinel.failover().await.unwrap()];
    // Sentinel promotes the new primary some seconds before it demotes the old one, which takes writes until then;
    // they are lost. `min-replicas-to-write 1` shortens that.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let name = store.layout().record(created_soon(&store).await.key.id);
        if new.command::<u64>(["EXISTS", &name]).await.unwrap() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the store still writes to the old primary");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(store.record(before.key.id).await.unwrap(), Some(before));
}

#[tokio::test]
async fn behind_sentinels_a_store_outlives_the_death_of_the_primary() {
    let mut sentinel = RedisSentinel::start().await.unwrap();
    let store = store_at(&sentinel.url(), namespace());
    create(&store).await.unwrap();
    let primary = sentinel.primary().await.unwrap();
    let address = sentinel.servers()[primary].address();
    sentinel.servers_mut()[primary].kill();
    assert!(create(&store).await.is_err());
    sentinel.wait_for_other_than(address).await.unwrap();
    created_soon(&store).await;
}

#[tokio::test]
async fn behind_sentinels_the_lease_ends_when_another_primary_is_named() {
    let sentinel = RedisSentinel::builder().sentinels(3, 2).start().await.unwrap();
    let namespace = namespace();
    let store = leased_at(&sentinel.url(), namespace.clone(), Duration::from_secs(2));
    let heard = watch(&store);
    let before = lease(&store).await;
    assert!(is_live(&before));
    let old = &sentinel.servers()[sentinel.primary().await.unwrap()];
    // The old primary lives, and takes heartbeats until it is told, seconds later.
    let new = sentinel.failover().await.unwrap();
    eventually("the lease has ended", || before.has_ended()).await;
    assert_eq!(old.info("replication").await.unwrap()["role"], "master", "it ended for another reason");
    coherent(&store, Coherence::Live).await;
    eventually("it is told that the store is reached anew", || heard.reached() >= 1).await;
    // It is the new primary that tells, although other Sentinels may name the old one still.
    let record = create(&store_at(&sentinel.servers()[new].url(), namespace.clone())).await.unwrap();
    eventually("a change is told", || heard.has(&Change::Key(record.key.id))).await;
    assert!(is_live(&lease(&store).await));
}

#[tokio::test]
async fn behind_sentinels_that_do_not_answer_the_lease_goes_on() {
    let mut sentinel = RedisSentinel::start().await.unwrap();
    let store = leased_at(&sentinel.url(), namespace(), Duration::from_millis(500));
    let _heard = watch(&store);
    let before = lease(&store).await;
    sentinel.sentinels()[0].freeze().unwrap();
    let reached = before.reached();
    eventually("it is extended", || before.reached() > reached.after(Duration::from_millis(1500))).await;
    sentinel.sentinels_mut()[0].kill();
    let reached = before.reached();
    eventually("it is extended", || before.reached() > reached.after(Duration::from_millis(1500))).await;
    assert!(is_live(&before));
}

#[tokio::test]
async fn in_a_cluster_a_slot_may_move_under_way() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = store_at(&cluster.url(), namespace());
    let organization = sample::organization();
    let records: Vec<_> = (0..20).map(|_| sample::record(&organization, &sample::user("bob"))).collect();
    store.create(&organization, AMPLE, records.clone()).await.unwrap();
    let name = store.layout().record(records[0].key.id);
    let slot = cluster.slot_of(&name).await.unwrap();
    let owner = cluster.slot_owner(slot).await.unwrap();
    let target = (owner + 1) % 3;
    cluster.begin_slot_move(slot, target).await.unwrap();
    assert_eq!(store.record(records[0].key.id).await.unwrap().as_ref(), Some(&records[0]));
    cluster.finish_slot_move(slot, target).await.unwrap();
    assert_eq!(store.record(records[0].key.id).await.unwrap().as_ref(), Some(&records[0]));
    let written =
        store.set_status(&organization, records[0].key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert_eq!(store.record(records[0].key.id).await.unwrap(), Some(written.record));
    let usage = store.ring_usage().await.unwrap();
    assert_eq!(usage.values().sum::<u64>(), 19);
}

/// A key and an organization on different primaries.
async fn apart(cluster: &RedisCluster, store: &RedisStore) -> (KeyRecord, usize) {
    loop {
        let organization = sample::organization();
        let record = sample::record(&organization, &sample::user("bob"));
        let slot = |name: String| async move { cluster.slot_of(&name).await.unwrap() };
        let of_key = cluster.slot_owner(slot(store.layout().record(record.key.id)).await).await.unwrap();
        let of_organization = cluster.slot_owner(slot(store.layout().keys(&organization)).await).await.unwrap();
        let bucket: Bucket = Layout::organization_bucket(&organization);
        assert!(store.layout().keys(&organization).contains(&bucket.to_string()));
        if of_key != of_organization {
            return (record, of_organization);
        }
    }
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_the_organizations_primary() {
    let cluster = RedisCluster::builder().config("cluster-require-full-coverage", "no").start().await.unwrap();
    let store = store_at(&cluster.url(), namespace());
    let (record, primary) = apart(&cluster, &store).await;
    let organization = record.key.organization.clone();
    let one = Quota { per_organization: 1, per_user: 1 };
    store.create(&organization, one, vec![record.clone()]).await.unwrap();
    cluster.nodes()[primary].freeze().unwrap();
    let began = Instant::now();
    let revoked = store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "it took {:?}", began.elapsed());
    assert_eq!(store.record(record.key.id).await.unwrap(), Some(revoked.record));
    cluster.nodes()[primary].thaw().unwrap();
    cluster.wait_until_ok().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    let next = sample::record(&organization, &sample::user("bob"));
    loop {
        match store.create(&organization, one, vec![next.clone()]).await {
            Ok(outcomes) => break assert_eq!(outcomes, [Ok(())], "the place of the revoked key was not given back"),
            Err(error) => assert!(Instant::now() < deadline, "it does not recover: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
