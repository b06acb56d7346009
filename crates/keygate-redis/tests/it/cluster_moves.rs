//! Slots that move: what was read before is not believed for longer than is promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use keygate_core::coherence::{Change, Coherence};
use keygate_core::key::Bucket;
use keygate_core::record::{KeyStatus, OrganizationRecord};
use keygate_core::store::Store;
use keygate_testkit::{RedisCluster, sample};

use crate::support::clusters::scene;
use crate::support::{
    coherent, create, eventually, is_live, lease_of, leased_at, namespace, owner_of, some_id, store_at, watch,
};

const H: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(500);
/// Longer than any test, so that what happens is not the end of a lease.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_key_that_moved_is_told_of_by_its_new_primary() {
    let scene = scene(LONG).await;
    let record = create(&scene.writer()).await;
    let id = record.key.id;
    let (slot, target) = scene.route(&scene.store.layout().record(id)).await;
    let before = lease_of(&scene.store, id).await;
    assert!(is_live(&before));
    scene.heard.forget();
    scene.cluster.begin_slot_move(slot, target).await.unwrap();
    scene.cluster.finish_slot_move(slot, target).await.unwrap();
    eventually("it is told as it goes", || scene.heard.has(&Change::Key(id))).await;
    // A load at the old place says that it is there no more, and the primaries are asked at once though leases are long.
    assert_eq!(scene.store.load_record(id).await.unwrap().value, Some(record.clone()));
    eventually("what was read at the old primary is believed no more", || before.has_ended()).await;
    coherent(&scene.store, Coherence::Live).await;
    let after = lease_of(&scene.store, id).await;
    assert!(is_live(&after));
    scene.heard.forget();
    let revoked = sample::status(KeyStatus::Revoked);
    scene.writer().set_status(&record.key.organization, id, &revoked).await.unwrap();
    eventually("it is told", || scene.heard.has(&Change::Revoked(id))).await;
    assert_eq!(scene.heard.reached(), 0, "no primary was lost");
}

/// Nothing tells of an entry that is not there when its slot goes.
#[tokio::test]
async fn what_was_absent_when_its_slot_moved_is_not_believed_to_be() {
    let scene = scene(H).await;
    let organization = sample::organization();
    let (slot, target) = scene.route(&scene.store.layout().organization(&organization)).await;
    let before = scene.absent_parents(&organization).await;
    assert!(is_live(&before));
    scene.cluster.begin_slot_move(slot, target).await.unwrap();
    scene.cluster.finish_slot_move(slot, target).await.unwrap();
    scene.writer().put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    let written = Instant::now();
    eventually("it is believed no more", || !is_live(&before)).await;
    assert!(written.elapsed() < H + MARGIN, "it was believed for {:?}", written.elapsed());
    eventually("never again", || before.has_ended()).await;
    coherent(&scene.store, Coherence::Live).await;
}

#[tokio::test]
async fn what_is_written_at_the_other_end_of_a_move_is_waited_for() {
    let scene = scene(Duration::from_secs(8)).await;
    let organization = sample::organization();
    let (slot, target) = scene.route(&scene.store.layout().organization(&organization)).await;
    let before = scene.absent_parents(&organization).await;
    scene.cluster.begin_slot_move(slot, target).await.unwrap();
    // Its owner does not have it, so it is made where the slot is to go.
    let writer = scene.writer();
    writer.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    assert!(is_live(&before), "the test is too slow to say anything");
    assert!(writer.told_everywhere().await.unwrap());
    assert!(!is_live(&before), "everywhere was told, and one here believes that it is absent");
    scene.cluster.finish_slot_move(slot, target).await.unwrap();
    let read = scene.store.load_parents(&organization, None).await.unwrap();
    assert!(read.value.organization.is_some());
}

#[tokio::test]
async fn what_is_on_the_way_decides_one_request_and_is_not_kept() {
    let scene = scene(H).await;
    let id = some_id();
    let (slot, target) = scene.route(&scene.store.layout().record(id)).await;
    assert!(is_live(&lease_of(&scene.store, id).await));
    scene.cluster.begin_slot_move(slot, target).await.unwrap();
    for _ in 0..50 {
        let read = scene.store.load_record(id).await.unwrap();
        assert_eq!(read.value, None);
        assert!(read.lease.is_none(), "nobody would be told where it is made");
        assert_eq!(read.decides_until, read.sent.after(H));
    }
    scene.cluster.finish_slot_move(slot, target).await.unwrap();
    coherent(&scene.store, Coherence::Live).await;
    assert!(is_live(&lease_of(&scene.store, id).await));
}

/// Waits until every node knows what the newest configuration is: one that takes a slot before loses it again.
async fn agreed(cluster: &RedisCluster) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut said = std::collections::BTreeSet::new();
        for node in cluster.nodes() {
            let nodes: String = node.command(["CLUSTER", "NODES"]).await.unwrap();
            let mut rows: Vec<Vec<&str>> = nodes.lines().map(|line| line.split(' ').collect()).collect();
            rows.sort();
            let claim = |row: &Vec<&str>| [&[row[0], row[6]][..], &row[8..]].concat().join(" ");
            said.insert(rows.iter().map(claim).collect::<Vec<_>>());
        }
        if said.len() == 1 {
            return;
        }
        assert!(Instant::now() < deadline, "the nodes do not agree: {said:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// While slots move all the time, instances do not agree about who has what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_disagrees_about_who_has_what_has_heard_when_it_is_said() {
    let scene = Arc::new(scene(H).await);
    let mut fleet = vec![];
    for _ in 0..3 {
        let store = leased_at(&scene.cluster.url(), scene.namespace.clone(), H).with_max_staleness(2 * H).unwrap();
        let heard = watch(&store);
        fleet.push((store, heard));
    }
    // Among them the slots of the registries that are used now.
    let layout = scene.store.layout();
    let mut slots = vec![];
    for (store, _) in &fleet {
        store.load_record(some_id()).await.unwrap();
        coherent(store, Coherence::Live).await;
    }
    for number in 0..6 {
        slots.push(scene.cluster.slot_of(&layout.instances_until(Bucket::of(number))).await.unwrap());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mover = tokio::spawn({
        let (scene, is_over) = (Arc::clone(&scene), Arc::clone(&is_over));
        async move {
            let mut moves = 0;
            while !is_over.load(Ordering::Relaxed) {
                for slot in &slots {
                    let target = (scene.cluster.slot_owner(*slot).await.unwrap() + 1) % 3;
                    scene.cluster.begin_slot_move(*slot, target).await.unwrap();
                    scene.cluster.finish_slot_move(*slot, target).await.unwrap();
                    agreed(&scene.cluster).await;
                    moves += 1;
                }
            }
            moves
        }
    });
    let (mut said, mut kept) = (0, 0);
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let organization = sample::organization();
        let mut held = vec![];
        for (store, heard) in &fleet {
            if let Ok(read) = store.load_parents(&organization, None).await
                && let Some(lease) = read.lease
            {
                held.push((lease, heard));
            }
        }
        let writer = scene.writer();
        if writer.put_organization(&OrganizationRecord::new(organization.clone()), None).await.is_err() {
            continue;
        }
        kept += held.len();
        if writer.told_everywhere().await.is_ok_and(|is_told| is_told) {
            said += 1;
            for (lease, heard) in held {
                let has_heard = heard.has(&Change::Organization(organization.clone()));
                assert!(has_heard || !is_live(&lease), "one believes still what was so before");
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let moves = mover.await.unwrap();
    assert!(said > 3 && kept > 3 && moves > 3, "{said} were said of {kept} kept during {moves} moves");
    for (store, _) in &fleet {
        coherent(store, Coherence::Live).await;
    }
}

/// The connection for commands comes to a standstill when a slot moves under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_on_after_a_slot_moved_under_load() {
    let cluster = RedisCluster::start().await.unwrap();
    let store = store_at(&cluster.url(), namespace());
    let record = create(&store).await;
    let name = store.layout().record(record.key.id);
    let slot = cluster.slot_of(&name).await.unwrap();
    for _ in 0..10 {
        let target = (owner_of(&cluster, &name).await + 1) % 3;
        let moving = async {
            cluster.begin_slot_move(slot, target).await.unwrap();
            cluster.finish_slot_move(slot, target).await.unwrap();
            agreed(&cluster).await;
        };
        let load = async {
            let mut is_well = true;
            for _ in 0..5 {
                let answers = join_all((0..300).map(|_| store.record(record.key.id))).await;
                is_well &= answers.iter().all(Result::is_ok);
            }
            is_well
        };
        let (_, is_well) = join(moving, load).await;
        if !is_well {
            break;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.record(record.key.id).await {
        assert!(Instant::now() < deadline, "it does not recover: {error}");
    }
    for answer in join_all((0..100).map(|_| store.record(record.key.id))).await {
        assert_eq!(answer.unwrap(), Some(record.clone()));
    }
}
