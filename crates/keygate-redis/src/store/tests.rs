//! The steps of a change, one by one, in orders that a network can bring about.

use futures_util::FutureExt;
use keygate_core::record::{KeyRecord, KeyStatus, Quota, Revision};
use keygate_core::store::{QuotaUse, Store};
use keygate_testkit::{RedisServer, sample};

use super::settle::{Settled, Sight, State};
use super::*;
use crate::pending::{Change, Owner, Pending};
use crate::scripts;

const AMPLE: Quota = Quota { per_organization: 1000, per_user: 1000 };

struct Scene {
    server: RedisServer,
    store: RedisStore,
    key: KeyRecord,
}

impl Scene {
    async fn new() -> Self {
        let server = RedisServer::start().await.unwrap();
        let store = RedisStore::connect(server.url().parse().unwrap());
        let organization = sample::organization();
        let key = sample::record(&organization, &sample::user("bob"));
        store.create(&organization, AMPLE, vec![key.clone()]).await.unwrap();
        Self { server, store, key }
    }

    fn organization(&self) -> &OrganizationId {
        &self.key.key.organization
    }

    async fn intend(&self, change: Change) -> Pending {
        let pending = Pending::new(self.key.key.id, change, Owner::of(&self.key.key)).unwrap();
        self.store.intend(self.organization(), &pending).await.unwrap();
        pending
    }

    async fn settle(&self, pending: &Pending, state: State) -> Settled {
        self.store.settle(self.organization(), &[Sight { pending, state }]).await.unwrap()[0]
    }

    async fn used(&self) -> u64 {
        let QuotaUse { organization, user } =
            self.store.quota_use(self.organization(), &self.key.key.user).await.unwrap();
        assert_eq!(organization, user);
        user
    }

    async fn listed(&self) -> u64 {
        self.server.command(["ZCARD", &self.store.layout.keys(self.organization())]).await.unwrap()
    }

    async fn in_flight(&self) -> u64 {
        let pending: u64 =
            self.server.command(["ZCARD", &self.store.layout.pending(self.organization())]).await.unwrap();
        let flights: u64 = self.server.command(["HLEN", &self.store.layout.flight(self.organization())]).await.unwrap();
        assert_eq!(pending.min(1), flights, "one flight for the one key while anything about it is pending");
        pending
    }
}

fn seen(record: &KeyRecord, revision: u64, ends: &str) -> State {
    State::Present { owner: Owner::of(&record.key), revision: Revision(revision), ends: ends.into() }
}

#[tokio::test]
async fn a_late_settlement_of_an_older_revision_changes_nothing() {
    let scene = Scene::new().await;
    let early = scene.intend(Change::Update).await;
    let late = scene.intend(Change::Update).await;
    assert_eq!(scene.in_flight().await, 2);
    assert_eq!(scene.settle(&late, seen(&scene.key, 256, "0")).await, Settled::Done);
    assert_eq!(scene.used().await, 0);
    assert_eq!(scene.settle(&early, seen(&scene.key, 255, "")).await, Settled::Done);
    assert_eq!(scene.used().await, 0, "the older revision was put over the newer");
    assert_eq!(scene.in_flight().await, 0);
}

#[tokio::test]
async fn a_settlement_of_a_change_that_was_reaped_does_nothing() {
    let scene = Scene::new().await;
    let pending = scene.intend(Change::Update).await;
    assert_eq!(scene.settle(&pending, seen(&scene.key, 1, "")).await, Settled::Done);
    assert_eq!(scene.settle(&pending, seen(&scene.key, 9, "0")).await, Settled::Gone);
    assert_eq!((scene.used().await, scene.listed().await), (1, 1));
}

#[tokio::test]
async fn a_change_whose_pending_entry_was_lost_settles_from_the_record() {
    let scene = Scene::new().await;
    let pending = scene.intend(Change::Update).await;
    let change = sample::status(KeyStatus::Revoked);
    let revoked = scene.store.write_status(scene.organization(), scene.key.key.id, &change, None).await.unwrap();
    for lost in [scene.store.layout.pending(scene.organization()), scene.store.layout.flight(scene.organization())] {
        scene.server.command::<()>(["DEL", &lost]).await.unwrap();
    }
    scene.store.settle_one(scene.organization(), &pending, State::of(Some(&revoked))).await.unwrap();
    assert_eq!((scene.used().await, scene.in_flight().await), (0, 0));
}

#[tokio::test]
async fn a_late_sight_of_a_deleted_key_does_not_list_it_again() {
    let scene = Scene::new().await;
    let early = scene.intend(Change::Update).await;
    let deletion = scene.intend(Change::Delete(scene.key.key.revision)).await;
    assert_eq!(scene.settle(&deletion, State::Absent).await, Settled::Done);
    assert_eq!(scene.settle(&early, seen(&scene.key, 1, "")).await, Settled::Done);
    assert_eq!((scene.listed().await, scene.in_flight().await), (0, 0));
}

#[tokio::test]
async fn a_deleted_id_is_not_taken_while_a_sight_of_its_old_life_may_come() {
    let scene = Scene::new().await;
    let early = scene.intend(Change::Update).await;
    scene.store.delete(scene.organization(), scene.key.key.id, scene.key.key.revision).await.unwrap();
    let again = || scene.store.create(scene.organization(), AMPLE, vec![scene.key.clone()]);
    assert_eq!(again().await.unwrap(), [Err(CreateRefusal::Exists)]);
    scene.settle(&early, seen(&scene.key, 1, "")).await;
    assert_eq!(scene.listed().await, 0);
    assert_eq!(again().await.unwrap(), [Ok(())]);
    assert_eq!((scene.listed().await, scene.in_flight().await), (1, 0));
}

#[tokio::test]
async fn a_fence_refuses_the_write_it_was_set_against_and_no_other() {
    let scene = Scene::new().await;
    let record = sample::record(scene.organization(), &scene.key.key.user);
    let layout = &scene.store.layout;
    let keys = || vec![layout.record(record.key.id), layout.fence(record.key.id)];
    let (dead, alive) = ([1_u8; 8], [2_u8; 8]);
    let fence = scripts::FENCE.call(keys()).arg(scene.organization().as_str()).arg(&dead).arg(60_000);
    assert_eq!(scene.store.link.run(&fence).await.unwrap(), redis::Value::Nil);
    let forever = u64::MAX >> 12;
    let create = |nonce: [u8; 8], deadline: u64| {
        scripts::CREATE.call(keys()).arg(record.encode().unwrap()).arg(&nonce).arg(deadline)
    };
    let word = async |nonce, deadline| {
        let (word, _): (String, Vec<u8>) =
            redis::from_redis_value(scene.store.link.run(&create(nonce, deadline)).await.unwrap()).unwrap();
        word
    };
    assert_eq!(word(dead, forever).await, "fenced");
    assert_eq!(word(alive, 1).await, "late");
    assert_eq!(scene.store.record(record.key.id).await.unwrap(), None);
    assert_eq!(word(alive, forever).await, "written");
    let left: i64 = scene.server.command(["PTTL", &layout.fence(record.key.id)]).await.unwrap();
    assert!((1..=60_000).contains(&left), "a fence falls by itself, in {left} ms");
    // What is there is read, not fenced.
    let seen: Vec<u8> = redis::from_redis_value(scene.store.link.run(&fence).await.unwrap()).unwrap();
    assert_eq!(seen, record.encode().unwrap());
}

#[tokio::test]
async fn a_late_change_of_a_record_is_refused() {
    let scene = Scene::new().await;
    let change = sample::status(KeyStatus::Inactive);
    let late = scene.store.write_status(scene.organization(), scene.key.key.id, &change, Some(1)).await;
    assert!(matches!(late, Err(WriteRefusal::Store(StoreError::Unavailable(_)))), "{late:?}");
    assert_eq!(scene.store.record(scene.key.key.id).await.unwrap().as_ref(), Some(&scene.key));
}

/// A Cluster's client sends a command again when the connection breaks before the answer.
#[tokio::test]
async fn a_write_that_is_run_twice_is_no_conflict_with_itself() {
    let scene = Scene::new().await;
    let next = sample::described(&scene.key, "changed");
    let replace = scripts::REPLACE
        .call(vec![scene.store.layout.record(next.key.id)])
        .arg(scene.organization().as_str())
        .arg(&scene.key.key.revision.0.to_be_bytes())
        .arg(next.encode().unwrap())
        .arg("");
    for _ in 0..2 {
        let (word, _): (String, Vec<u8>) =
            redis::from_redis_value(scene.store.link.run(&replace).await.unwrap()).unwrap();
        assert_eq!(word, "written");
    }
    assert_eq!(scene.store.record(next.key.id).await.unwrap(), Some(next));
    let first = OrganizationRecord::new(scene.organization().clone());
    let second = OrganizationRecord { revision: first.revision.next(), max_keys: Some(5), ..first.clone() };
    for (record, expected) in [(&first, None), (&second, Some(first.revision))] {
        for _ in 0..2 {
            scene.store.put_organization(record, expected).await.unwrap();
        }
    }
    let late = scene.store.put_organization(&first, None).await;
    assert!(matches!(late, Err(WriteRefusal::Conflict { found: Revision(2) })), "{late:?}");
}

#[tokio::test]
async fn a_revocation_dropped_while_it_is_settled_gives_its_place_back() {
    let scene = Scene::new().await;
    let change = sample::status(KeyStatus::Revoked);
    let pending = Pending::new(scene.key.key.id, Change::Update, Owner::of(&scene.key.key)).unwrap();
    scene.store.write_status(scene.organization(), scene.key.key.id, &change, None).await.unwrap();
    // As a revocation whose note failed, dropped at the last step.
    drop(scene.store.unsettled.begin(scene.organization(), &pending));
    assert_eq!(scene.used().await, 1);
    // As a creation that is dropped before it has settled for others.
    let stopped = scene.store.settle_unsettled().now_or_never();
    assert_eq!(stopped, None, "it was not dropped under way");
    scene.store.reap(scene.organization()).await.unwrap();
    assert_eq!(scene.used().await, 0);
}
