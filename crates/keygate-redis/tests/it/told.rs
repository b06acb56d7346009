//! Whoever watches a store is told of every change, and asks for no more than before.

use std::collections::BTreeMap;
use std::time::Duration;

use keygate_core::coherence::{Change, Coherence};
use keygate_core::key::KeyId;
use keygate_core::record::{KeyStatus, OrganizationRecord, ProjectRecord, Quota, RolesRecord, UserRecord};
use keygate_core::store::Store;
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, RedisServer, sample};

use crate::support::{
    self, Heard, coherent, eventually, is_live, lease, leased_at, namespace, server, store_at, watch, watch_for,
};

const AMPLE: Quota = Quota { per_organization: 1000, per_user: 1000 };
/// Longer than any test, so that what happens is not the end of a lease.
const LONG: Duration = Duration::from_secs(60);

async fn told(heard: &Heard, change: Change) {
    eventually(&format!("{change:?} is told"), || heard.has(&change)).await;
    heard.forget();
}

async fn every_write_is_told(writer: &RedisStore, heard: &Heard) {
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let id = record.key.id;
    writer.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    told(heard, Change::Key(id)).await;
    let next = sample::described(&record, "changed");
    writer.replace(&next, record.key.revision).await.unwrap();
    told(heard, Change::Key(id)).await;
    writer.set_status(&organization, id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    told(heard, Change::Key(id)).await;
    // A second time says it again: the first may have been forgotten.
    for _ in 0..2 {
        let written = writer.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
        eventually("the change of the key is told", || heard.has(&Change::Key(id))).await;
        told(heard, Change::Revoked(id)).await;
        assert_eq!(written.record.key.status.status, KeyStatus::Revoked);
    }
    let revision = writer.record(id).await.unwrap().unwrap().key.revision;
    writer.delete(&organization, id, revision).await.unwrap();
    told(heard, Change::Key(id)).await;
    writer.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    told(heard, Change::Organization(organization.clone())).await;
    let project = ProjectRecord::new(organization.clone(), sample::project("website"));
    writer.put_project(&project, None).await.unwrap();
    told(heard, Change::Project(organization.clone(), project.id)).await;
    let user = UserRecord::new(organization.clone(), sample::user("bob"));
    writer.put_user(&user, None).await.unwrap();
    told(heard, Change::User(organization.clone(), user.id)).await;
    // Roles are read with their organization.
    writer.put_roles(&RolesRecord::new(organization.clone()), None).await.unwrap();
    told(heard, Change::Organization(organization)).await;
}

#[tokio::test]
async fn every_kind_of_write_is_told_to_its_own_instance_and_to_others() {
    let server = server().await;
    let namespace = namespace();
    let store = store_at(&server.url(), namespace.clone());
    let heard = watch(&store);
    lease(&store).await;
    every_write_is_told(&store, &heard).await;
    every_write_is_told(&store_at(&server.url(), namespace.clone()), &heard).await;
    // Somebody who watches writes over RESP3.
    let other = store_at(&server.url(), namespace);
    let _others = watch(&other);
    every_write_is_told(&other, &heard).await;
}

#[tokio::test]
async fn a_batch_is_told_key_by_key() {
    let server = server().await;
    let namespace = namespace();
    let store = store_at(&server.url(), namespace.clone());
    let heard = watch(&store);
    lease(&store).await;
    let organization = sample::organization();
    let records: Vec<_> = (0..700).map(|_| sample::record(&organization, &sample::user("bob"))).collect();
    let ids: Vec<KeyId> = records.iter().map(|record| record.key.id).collect();
    store_at(&server.url(), namespace).create(&organization, AMPLE, records).await.unwrap();
    eventually("all are told", || ids.iter().all(|id| heard.has(&Change::Key(*id)))).await;
}

#[tokio::test]
async fn that_a_key_is_revoked_stands_for_an_hour_and_nothing_else_of_it_does() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let name = store.layout().revoked(record.key.id);
    store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    let exists = || server.command::<u64>(["EXISTS", &name]);
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Active)).await.unwrap();
    assert_eq!(exists().await.unwrap(), 0);
    let change = sample::status(KeyStatus::Revoked);
    let revoke = || store.set_status(&organization, record.key.id, &change);
    let revoked = revoke().await.unwrap().record;
    let left = server.command::<i64>(["PTTL", &name]).await.unwrap();
    assert!((3_000_000..=3_600_000).contains(&left), "it stands for {left} ms");
    server.command::<()>(["DEL", &name]).await.unwrap();
    assert_eq!(revoke().await.unwrap().record, revoked);
    assert_eq!(exists().await.unwrap(), 1);
}

#[tokio::test]
async fn a_load_is_one_get_under_a_live_lease() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), LONG).with_max_staleness(2 * LONG).unwrap();
    let organization = sample::organization();
    let _heard = watch(&store);
    let record = sample::record(&organization, &sample::user("bob"));
    store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    assert_eq!(store.coherence(), Coherence::Live, "the first heartbeat comes with the connection");
    server.reset_command_stats().await.unwrap();
    let read = store.load_record(record.key.id).await.unwrap();
    assert_eq!(read.value, Some(record));
    assert!(is_live(&read.lease.unwrap()));
    assert_eq!(read.decides_until, read.sent.after(LONG));
    let parents = store.load_parents(&organization, Some(&sample::project("website"))).await.unwrap();
    assert!(is_live(&parents.lease.unwrap()));
    let mut stats = server.command_stats().await.unwrap();
    stats.retain(|command, _| !command.starts_with("config") && command != "info");
    assert_eq!(stats, BTreeMap::from([("get".to_owned(), 1), ("mget".to_owned(), 1)]));
}

#[tokio::test]
async fn a_store_that_nobody_watches_is_not_told_and_sends_no_heartbeats() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), Duration::from_millis(200));
    let read = store.load_record(support::some_id()).await.unwrap();
    assert!(read.lease.is_none());
    assert_eq!(store.coherence(), Coherence::None);
    let stats = server.command_stats().await.unwrap();
    for command in ["hello", "client|tracking", "eval", "evalsha"] {
        assert!(!stats.contains_key(command), "{command} was sent");
    }
    // Until somebody does.
    let heard = watch(&store);
    assert!(is_live(&lease(&store).await));
    coherent(&store, Coherence::Live).await;
    // And not any more when they are gone.
    drop(heard);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while server.info("clients").await.unwrap()["tracking_clients"] != "0" {
        assert!(std::time::Instant::now() < deadline, "it is tracked for nobody");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.load_record(support::some_id()).await.unwrap().lease.is_none());
}

#[tokio::test]
async fn a_flushed_server_ends_what_was_believed() {
    for flush in ["FLUSHALL", "FLUSHDB"] {
        let server = RedisServer::start().await.unwrap();
        let store = leased_at(&server.url(), namespace(), Duration::from_secs(5));
        let _heard = watch(&store);
        let before = lease(&store).await;
        assert!(is_live(&before));
        server.command::<()>([flush]).await.unwrap();
        eventually("the lease has ended", || before.has_ended()).await;
        // The same connection goes on: the next heartbeat is not waited for long.
        coherent(&store, Coherence::Live).await;
        assert!(is_live(&lease(&store).await));
    }
}

#[tokio::test]
async fn one_who_believes_for_longer_is_registered_before_it_believes() {
    let server = server().await;
    let store = leased_at(&server.url(), namespace(), Duration::from_secs(4));
    let _heard = watch(&store);
    let before = lease(&store).await;
    assert!(is_live(&before));
    let _longer = watch_for(&store, Duration::from_millis(500));
    assert!(before.has_ended(), "nobody who waits knows that it believes for longer");
    coherent(&store, Coherence::Live).await;
    let after = lease(&store).await;
    let _as_long = watch_for(&store, Duration::from_millis(500));
    assert!(is_live(&after));
}

#[tokio::test]
async fn dropped_loads_leave_nothing_stuck() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).unwrap();
    let store = leased_at(&proxy.url(), namespace(), Duration::from_secs(5));
    let _heard = watch(&store);
    for round in 0..200 {
        let _ = tokio::time::timeout(Duration::from_micros(7 * round), store.load_record(support::some_id())).await;
        let told = store.told_everywhere();
        let _ = tokio::time::timeout(Duration::from_micros(7 * round), told).await;
    }
    coherent(&store, Coherence::Live).await;
    assert!(is_live(&lease(&store).await));
    assert_eq!(proxy.counts().connections, 1);
}
