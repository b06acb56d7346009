//! Primaries that are lost: what was read of them is not believed for longer than the lease, and the others go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::coherence::{Change, Coherence, Lease};
use keygate_core::record::KeyStatus;
use keygate_core::store::Store;
use keygate_testkit::{RedisCluster, sample};

use crate::support::clusters::{Scene, scene, scene_in};
use crate::support::{coherent, eventually, is_live, lease_of, owner_of, records_on_all, some_id};

const H: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(500);

/// The primary that is lost has these, and the others those.
async fn leases(scene: &Scene, lost: usize) -> (Arc<Lease>, Vec<Arc<Lease>>) {
    let mut leases = vec![];
    for record in records_on_all(&scene.cluster, &scene.writer()).await {
        leases.push(lease_of(&scene.store, record.key.id).await);
    }
    assert!(leases.iter().all(is_live));
    (leases.remove(lost), leases)
}

#[tokio::test]
async fn a_primary_that_is_killed_and_restarted_disturbs_no_other() {
    let cluster = RedisCluster::builder().config("cluster-require-full-coverage", "no").start().await.unwrap();
    let mut scene = scene_in(cluster, H).await;
    let (lost, others) = leases(&scene, 1).await;
    let killed = Instant::now();
    scene.cluster.nodes_mut()[1].kill();
    eventually("its lease is live no more", || !is_live(&lost)).await;
    assert!(killed.elapsed() < H + MARGIN, "it was believed for {:?}", killed.elapsed());
    coherent(&scene.store, Coherence::Lapsed).await;
    // Long enough for the others to call it failed.
    while killed.elapsed() < Duration::from_secs(5) {
        assert!(others.iter().all(is_live), "another was disturbed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.cluster.nodes_mut()[1].restart_empty().await.unwrap();
    coherent(&scene.store, Coherence::Live).await;
    assert!(others.iter().all(is_live) && !is_live(&lost));
    eventually("it is told that a primary is reached anew", || scene.heard.reached() >= 1).await;
    // It tells again.
    let records = records_on_all(&scene.cluster, &scene.writer()).await;
    for record in &records {
        assert!(is_live(&lease_of(&scene.store, record.key.id).await));
    }
    eventually("all are told", || records.iter().all(|record| scene.heard.has(&Change::Key(record.key.id)))).await;
}

#[tokio::test]
async fn a_primary_that_stands_still_ends_its_lease_and_no_other() {
    let cluster = RedisCluster::builder().config("cluster-require-full-coverage", "no").start().await.unwrap();
    let scene = scene_in(cluster, H).await;
    let (lost, others) = leases(&scene, 2).await;
    scene.cluster.nodes()[2].freeze().unwrap();
    let frozen = Instant::now();
    eventually("its lease is live no more", || !is_live(&lost)).await;
    assert!(frozen.elapsed() < H + MARGIN, "it was believed for {:?}", frozen.elapsed());
    assert!(others.iter().all(is_live));
    scene.cluster.nodes()[2].thaw().unwrap();
    coherent(&scene.store, Coherence::Live).await;
    assert!(others.iter().all(is_live));
}

#[tokio::test]
async fn a_replica_that_takes_over_is_followed_and_the_leases_of_the_others_go_on() {
    let mut scene = scene_in(RedisCluster::builder().replicas(1).start().await.unwrap(), H).await;
    let (lost, others) = leases(&scene, 0).await;
    let record = records_on_all(&scene.cluster, &scene.writer()).await.remove(0);
    scene.cluster.nodes_mut()[0].kill();
    let killed = Instant::now();
    eventually("its lease is live no more", || !is_live(&lost)).await;
    assert!(killed.elapsed() < H + MARGIN, "it was believed for {:?}", killed.elapsed());
    scene.cluster.wait_until_ok().await.unwrap();
    coherent(&scene.store, Coherence::Live).await;
    // All say that the Cluster is down until the replica has taken over; nobody was lost but the one.
    assert!(others.iter().all(is_live) && !is_live(&lost));
    eventually("it is told that a primary is reached anew", || scene.heard.reached() >= 1).await;
    let (id, organization) = (record.key.id, &record.key.organization);
    assert!(is_live(&lease_of(&scene.store, id).await));
    scene.heard.forget();
    scene.writer().set_status(organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    eventually("the new primary tells", || scene.heard.has(&Change::Revoked(id))).await;
    // The old one comes back as a replica.
    scene.cluster.nodes_mut()[0].restart_empty().await.unwrap();
    let read = scene.store.load_record(id).await.unwrap().value.unwrap();
    assert_eq!(read.key.status.status, KeyStatus::Revoked);
    coherent(&scene.store, Coherence::Live).await;
    assert!(scene.writer().told_everywhere().await.unwrap());
}

#[tokio::test]
async fn a_planned_failover_loses_no_word() {
    let scene = scene_in(RedisCluster::builder().replicas(1).start().await.unwrap(), H).await;
    let (lost, others) = leases(&scene, 0).await;
    let record = records_on_all(&scene.cluster, &scene.writer()).await.remove(0);
    let name = scene.store.layout().record(record.key.id);
    let deadline = Instant::now() + Duration::from_secs(40);
    while owner_of(&scene.cluster, &name).await != 3 {
        assert!(Instant::now() < deadline, "the replica does not take over");
        // It may be refused while the last election is not long ago, and then has to be asked again.
        let _ = scene.cluster.nodes()[3].command::<()>(["CLUSTER", "FAILOVER"]).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eventually("what was read at the old primary is believed no more", || lost.has_ended()).await;
    coherent(&scene.store, Coherence::Live).await;
    assert!(others.iter().all(is_live));
    let id = record.key.id;
    assert!(is_live(&lease_of(&scene.store, id).await));
    scene.heard.forget();
    let revoked = sample::status(KeyStatus::Revoked);
    scene.writer().set_status(&record.key.organization, id, &revoked).await.unwrap();
    eventually("the new primary tells", || scene.heard.has(&Change::Revoked(id))).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_is_not_believed_and_comes_back_by_itself() {
    let mut scene = scene(H).await;
    let (_, others) = leases(&scene, 0).await;
    scene.cluster.nodes_mut()[0].kill();
    // By default no primary serves anything when one is lost.
    coherent(&scene.store, Coherence::Unreachable).await;
    assert!(!others.iter().any(is_live));
    let began = Instant::now();
    assert!(scene.store.load_record(some_id()).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    scene.cluster.nodes_mut()[0].restart_empty().await.unwrap();
    coherent(&scene.store, Coherence::Live).await;
    assert!(others.iter().all(is_live), "their connections were good all the time");
}
