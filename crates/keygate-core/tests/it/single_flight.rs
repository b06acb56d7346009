//! Of a crowd that asks for the same, one reads; and nobody waits for one who has gone, nor is served what is another's.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::{ApiKeyManager, CreatedKey, Expiry, ManagerBuilder, OrganizationUpdate};
use keygate_core::names::ProjectId;
use keygate_core::record::{ParentStatus, SecurityTier};
use keygate_core::ring::SecretRing;
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::{FaultyStore, GivenUpAfter};
use tokio::task::{JoinHandle, yield_now};

use crate::support::simulated_store::{Flaw, SimulatedStore};
use crate::support::still_clock::StillClock;
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, ROOMY, block_on, manager_over, operator, org, ring, the_operator, unlimited_key, unlimited_key_with,
};

type Decision = Result<Admission, Denial>;

/// A request on a task of its own.
fn ask(manager: &ApiKeyManager, created: &CreatedKey) -> JoinHandle<Decision> {
    let (manager, text) = (manager.clone(), created.text.expose().to_owned());
    tokio::spawn(async move { manager.validate(&text, &RequestContext::new()).await })
}

/// Until every task that was woken has gone on as far as it can, on a runtime with one thread.
async fn everybody_has_gone_on() {
    for _ in 0..500 {
        yield_now().await;
    }
}

/// What came of a task that needs nobody any more.
async fn finished(task: JoinHandle<Decision>) -> Decision {
    everybody_has_gone_on().await;
    assert!(task.is_finished(), "a request is stuck");
    task.await.unwrap()
}

fn reason(decision: Decision) -> DenialReason {
    decision.expect_err("the key is refused").reason()
}

/// An instance whose calendar and ticks are both held, over a store that counts.
struct Held {
    clock: StillClock,
    memory: MemoryStore,
    store: FaultyStore,
    manager: ApiKeyManager,
}

impl Held {
    fn new(settings: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Self {
        let clock = StillClock::new();
        let memory = MemoryStore::with_clock(clock.clone());
        let store = FaultyStore::new(memory.clone());
        let builder = ApiKeyManager::builder(store.clone(), ring(&[1])).clock(clock.clone()).quota(ROOMY);
        Self { clock, memory, store, manager: settings(builder).build().unwrap() }
    }

    async fn validate(&self, created: &CreatedKey) -> Decision {
        self.manager.validate(created.text.expose(), &RequestContext::new()).await
    }
}

/// An instance over a connection that is moved by hand, and one that writes behind its back.
struct ByHand {
    store: SimulatedStore,
    manager: ApiKeyManager,
    other: ApiKeyManager,
}

impl ByHand {
    fn new(theirs: SecretRing, ours: SecretRing) -> Self {
        let clock = StillClock::new();
        let server = MemoryStore::with_clock(clock.clone());
        let store = SimulatedStore::new(server.clone(), clock.clone(), Flaw::None);
        let build = |builder: ManagerBuilder| builder.clock(clock.clone()).quota(ROOMY).build().unwrap();
        let other = build(ApiKeyManager::builder(server, theirs));
        let manager = build(ApiKeyManager::builder(store.clone(), ours));
        store.connect();
        Self { store, manager, other }
    }

    async fn open(&self) {
        let manager = self.manager.clone();
        let opening = tokio::spawn(async move { manager.open().await });
        while !opening.is_finished() {
            self.store.let_aside();
            yield_now().await;
        }
        opening.await.unwrap().unwrap();
    }

    fn serve(&self) {
        while self.store.serve() {}
    }

    fn deliver(&self) {
        while self.store.deliver().is_some() {}
    }

    /// Everything goes through until the task is done.
    async fn finished(&self, task: JoinHandle<Decision>) -> Decision {
        for _ in 0..20 {
            self.store.beat();
            self.serve();
            self.deliver();
            while self.store.let_aside() {}
            everybody_has_gone_on().await;
        }
        finished(task).await
    }
}

#[tokio::test]
async fn a_crowd_for_one_key_costs_one_read_of_it_and_one_of_what_stands_above() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    instance.store.stall();
    instance.store.reset_calls();
    let crowd: Vec<_> = (0..50).map(|_| ask(&instance.manager, &created)).collect();
    everybody_has_gone_on().await;
    instance.store.heal();
    for one in crowd {
        assert_eq!(finished(one).await.unwrap().id, created.key.id);
    }
    let calls = instance.store.calls();
    assert_eq!((calls.load_record, calls.load_parents), (1, 1), "{calls:?}");
    let statistics = instance.manager.cache_statistics();
    assert_eq!((statistics.misses, statistics.loads, statistics.parent_loads, statistics.entries), (50, 1, 1, 1));
}

/// Dropped at every place where it waits: the next of those who waited reads, and nothing is left behind.
#[tokio::test]
async fn one_who_reads_for_others_and_is_given_up_leaves_nobody_stuck() {
    for polls in 0..12 {
        let instance = Instance::new();
        let created = instance.create(unlimited_key()).await;
        let store = FaultyStore::new(YieldingStore(instance.memory.clone()));
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let manager = manager_over(Arc::clone(&shared), ring(&[1]), &instance.clock);
        manager.open().await.unwrap();
        let (leading, text) = (manager.clone(), created.text.expose().to_owned());
        let leader = GivenUpAfter::polls(polls, async move { leading.validate(&text, &RequestContext::new()).await });
        let leader = tokio::spawn(leader);
        // It has begun before the others come.
        yield_now().await;
        let crowd: Vec<_> = (0..5).map(|_| ask(&manager, &created)).collect();
        for one in crowd {
            assert!(finished(one).await.is_ok(), "given up after {polls} polls");
        }
        drop(leader.await.unwrap());
        assert!(store.calls().load_record <= 2 && store.calls().load_parents <= 2, "{:?}", store.calls());
        assert_eq!(manager.cache_statistics().entries, 1);
        // No read is thought to be under way still: who comes later reads.
        store.renew_lease();
        store.reset_calls();
        assert!(finished(ask(&manager, &created)).await.is_ok());
        assert_eq!((store.calls().load_record, store.calls().load_parents), (1, 1));
        drop(manager);
        // The last words of a manager, what it has counted, hold the store until they are said.
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(Arc::strong_count(&shared), 1, "somebody still holds the manager's store");
    }
}

#[tokio::test]
async fn those_who_wait_share_a_failure_and_those_who_come_after_it_do_not() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    instance.manager.open().await.unwrap();
    instance.store.stall();
    instance.store.reset_calls();
    let crowd: Vec<_> = (0..20).map(|_| ask(&instance.manager, &created)).collect();
    everybody_has_gone_on().await;
    instance.store.fail();
    for one in crowd {
        assert_eq!(reason(finished(one).await), DenialReason::StoreUnavailable);
    }
    assert_eq!(instance.store.calls().load_record, 1);
    instance.store.heal();
    assert!(instance.validate(created.text.expose()).await.is_ok());
    assert_eq!(instance.store.calls().load_record, 2);
}

/// What was read is of before the change, and the word of it came after: everybody who waited reads again, once.
#[tokio::test]
async fn a_change_told_while_a_read_is_under_way_makes_everyone_read_again() {
    let hand = ByHand::new(ring(&[1]), ring(&[1]));
    let created = hand.other.create(&operator(), unlimited_key()).await.unwrap();
    hand.open().await;
    let crowd: Vec<_> = (0..10).map(|_| ask(&hand.manager, &created)).collect();
    everybody_has_gone_on().await;
    hand.serve();
    hand.other.deactivate(&operator(), created.key.id, None).await.unwrap();
    // The answer, and right behind it the word, before anybody gets to look at the answer.
    hand.deliver();
    everybody_has_gone_on().await;
    assert_eq!(hand.store.loads(), 2, "one read that came to nothing and one anew, for ten requests");
    for one in crowd {
        assert_eq!(reason(hand.finished(one).await), DenialReason::KeyInactive);
    }
}

/// A connection that is lost each time a key has been read, before anybody could look at it.
#[tokio::test]
async fn a_key_that_is_lost_under_way_again_and_again_is_trouble_in_the_end() {
    let hand = ByHand::new(ring(&[1]), ring(&[1]));
    let created = hand.other.create(&operator(), unlimited_key()).await.unwrap();
    hand.open().await;
    let waiting = ask(&hand.manager, &created);
    for _ in 0..20 {
        everybody_has_gone_on().await;
        hand.serve();
        hand.deliver();
        hand.store.cut();
        hand.store.connect();
    }
    assert_eq!(reason(finished(waiting).await), DenialReason::StoreUnavailable);
    let again = ask(&hand.manager, &created);
    assert!(hand.finished(again).await.is_ok());
}

/// To move a key to the current ring entry takes a write, and the decision from before it is old when it is done.
#[tokio::test]
async fn a_key_revoked_while_it_is_moved_to_the_current_ring_entry_is_refused() {
    let hand = ByHand::new(ring(&[1]), ring(&[2, 1]));
    let created = hand.other.create(&operator(), unlimited_key()).await.unwrap();
    hand.open().await;
    let waiting = ask(&hand.manager, &created);
    for _ in 0..3 {
        everybody_has_gone_on().await;
        hand.serve();
        hand.deliver();
    }
    everybody_has_gone_on().await;
    assert!(!waiting.is_finished(), "it waits for the store to say that the deployment still stands");
    hand.other.revoke(&operator(), created.key.id, None).await.unwrap();
    hand.deliver();
    assert_eq!(reason(hand.finished(waiting).await), DenialReason::KeyRevoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_are_never_mixed_however_many_keys_share_however_little_room() {
    let instance = Instance::new();
    let mut keys = Vec::new();
    for _ in 0..16 {
        keys.push(instance.create(unlimited_key()).await);
    }
    let store: Arc<dyn Store> = Arc::new(YieldingStore(instance.memory.clone()));
    let manager = ApiKeyManager::builder_shared(store, ring(&[1]))
        .clock(instance.clock.clone())
        .cache_capacity(4)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..2_000)
        .map(|nth| {
            let (manager, created) = (manager.clone(), keys[(nth * 7) % 16].clone());
            tokio::spawn(async move {
                let (text, id) = (created.text.expose().to_owned(), created.key.id);
                let check = async move { manager.validate(&text, &RequestContext::new()).await };
                if let Some(admission) = GivenUpAfter::polls(nth % 11, check).await {
                    match admission {
                        Ok(admission) => assert_eq!(admission.id, id),
                        // The one that is stopped and started.
                        Err(denial) => assert_eq!((denial.reason(), (nth * 7) % 16), (DenialReason::KeyInactive, 0)),
                    }
                }
            })
        })
        .collect();
    // One of them is stopped and started all the while.
    for _ in 0..50 {
        instance.manager.deactivate(&operator(), keys[0].key.id, None).await.unwrap();
        instance.manager.activate(&operator(), keys[0].key.id, None).await.unwrap();
        yield_now().await;
    }
    for task in tasks {
        if let Err(failed) = task.await {
            panic!("{failed}");
        }
    }
    assert!(manager.cache_statistics().entries <= 4);
}

// Keys that are not there.

#[tokio::test]
async fn a_deleted_key_is_read_once_and_then_not_until_somebody_says_otherwise() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    let record = instance.record(created.key.id).await;
    instance.memory.delete(&org("acme"), created.key.id, record.key.revision).await.unwrap();
    instance.manager.open().await.unwrap();
    instance.store.reset_calls();
    for _ in 0..5 {
        assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::InvalidKey);
    }
    assert_eq!(instance.store.calls().load_record, 1);
    assert_eq!(instance.store.calls().total(), 2, "the record, and whether the store was emptied");
    // It is put back, as from a backup.
    instance.memory.create(&org("acme"), ROOMY, vec![record]).await.unwrap()[0].as_ref().unwrap();
    assert!(instance.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn that_a_key_is_absent_is_not_believed_beyond_the_lease() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), created.key.id, None).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::InvalidKey);
    instance.store.renew_lease();
    instance.store.fail();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
}

// Room and time.

#[tokio::test]
async fn more_keys_than_there_is_room_for_are_evicted_and_stay_right() {
    let held = Held::new(|builder| builder.cache_capacity(50));
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(held.manager.create(&operator(), unlimited_key()).await.unwrap());
    }
    for round in 0..3 {
        for (nth, created) in keys.iter().enumerate() {
            match held.validate(created).await {
                Ok(admission) => assert!(admission.id == created.key.id && (round == 0 || nth % 2 == 1)),
                Err(denial) => assert!(denial.reason() == DenialReason::KeyRevoked && round > 0 && nth % 2 == 0),
            }
        }
        for created in keys.iter().step_by(2) {
            held.manager.revoke(&operator(), created.key.id, None).await.unwrap();
        }
    }
    let statistics = held.manager.cache_statistics();
    assert!(statistics.entries <= 50, "{statistics:?}");
    assert!(statistics.evictions > 0, "{statistics:?}");
}

#[tokio::test]
async fn a_key_that_is_read_again_in_its_own_place_was_not_evicted() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    for _ in 0..5 {
        assert!(instance.validate(created.text.expose()).await.is_ok());
        instance.store.renew_lease();
    }
    let statistics = instance.manager.cache_statistics();
    assert_eq!((statistics.loads, statistics.evictions, statistics.entries), (5, 0, 1));
}

/// Every creation is a change that all instances are told of; it concerns the key that was made and no other.
#[test]
fn a_large_import_leaves_the_keys_in_use_where_they_are() {
    let instance = Instance::new();
    let other = instance.beside(ring(&[1]));
    block_on(async {
        let mut keys = Vec::new();
        for _ in 0..100 {
            keys.push(instance.create(unlimited_key()).await);
        }
        for created in &keys {
            instance.validate(created.text.expose()).await.unwrap();
        }
        let before = instance.manager.cache_statistics();
        // Each creation counts its owner's keys, so the owners are many.
        for nth in 0..65_000 {
            let organization = org(&format!("import-{}", nth % 1_000));
            other.create(unlimited_key_with(|new| new.organization = organization)).await;
        }
        for created in &keys {
            instance.validate(created.text.expose()).await.unwrap();
        }
        let after = instance.manager.cache_statistics();
        assert_eq!(after.misses, before.misses);
        assert_eq!(after.hits, before.hits + 100);
        assert!(after.changes >= before.changes + 65_000);
    });
}

#[tokio::test]
async fn a_key_is_read_at_most_twice_around_its_end() {
    let held = Held::new(|builder| builder.cache_ttl(Duration::from_secs(3_600)));
    let new = unlimited_key_with(|new| new.expiry = Expiry::In(TimeDelta::seconds(100)));
    let created = held.manager.create(&operator(), new).await.unwrap();
    held.store.reset_calls();
    for second in 0..200 {
        let decision = held.validate(&created).await;
        assert_eq!(decision.is_ok(), second < 100, "after {second} s");
        if let Err(denial) = decision {
            assert_eq!(denial.reason(), DenialReason::KeyExpired);
        }
        held.clock.advance(Duration::from_secs(1));
    }
    assert!(held.store.calls().load_record <= 2, "{:?}", held.store.calls());
}

#[tokio::test]
async fn what_is_kept_is_read_again_when_its_time_is_over_though_nobody_said_that_it_changed() {
    let held = Held::new(|builder| builder.cache_ttl(Duration::from_secs(10)));
    let created = held.manager.create(&operator(), unlimited_key()).await.unwrap();
    held.store.reset_calls();
    for _ in 0..100 {
        held.validate(&created).await.unwrap();
        held.clock.advance(Duration::from_secs(1));
    }
    let calls = held.store.calls();
    assert_eq!((calls.load_record, calls.load_parents), (10, 10));
    assert!(held.memory.record(created.key.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_slow_verifier_runs_at_the_first_use_and_not_at_the_second() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key_with(|new| new.security_tier = Some(SecurityTier::High))).await;
    let other = instance.beside(ring(&[1]));
    for nth in 1..=3 {
        other.validate(created.text.expose()).await.unwrap();
        let statistics = other.manager.cache_statistics();
        assert_eq!((statistics.misses, statistics.hits), (1, nth - 1));
    }
}

// What stands above keys.

fn suspended(status: ParentStatus) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.status = Some(status);
    update
}

/// A hundred keys, all refused or all accepted, and how many reads that took.
async fn all_are(instance: &Instance, keys: &[CreatedKey], refused: Option<DenialReason>) -> (u64, u64) {
    instance.store.reset_calls();
    for created in keys {
        let decision = instance.validate(created.text.expose()).await;
        assert_eq!(decision.err().map(|denial| denial.reason()), refused);
    }
    (instance.store.calls().load_record, instance.store.calls().load_parents)
}

#[tokio::test]
async fn a_suspended_organization_stops_all_its_keys_at_once_for_one_read() {
    let instance = Instance::new();
    let elsewhere = instance.beside(ring(&[1]));
    let mut keys = Vec::new();
    for nth in 0..100 {
        keys.push(instance.create(unlimited_key_with(|new| new.user = support::user(&format!("user-{nth}")))).await);
    }
    let stranger = instance.create(unlimited_key_with(|new| new.organization = org("globex"))).await;
    assert_eq!(all_are(&instance, &keys, None).await, (100, 1));
    instance.validate(stranger.text.expose()).await.unwrap();
    for changing in [&instance, &elsewhere] {
        let set = async |status| {
            changing
                .manager
                .update_organization(&the_operator(), &org("acme"), &suspended(status), None)
                .await
                .unwrap();
        };
        set(ParentStatus::Suspended).await;
        assert_eq!(all_are(&instance, &keys, Some(DenialReason::OrganizationSuspended)).await, (0, 1));
        set(ParentStatus::Active).await;
        assert_eq!(all_are(&instance, &keys, None).await, (0, 1));
    }
    assert_eq!(all_are(&instance, &[stranger], None).await, (0, 0));
}

#[tokio::test]
async fn a_suspended_project_stops_its_keys_at_once_and_no_others() {
    let instance = Instance::new();
    let project = |name: &str| ProjectId::new(name).unwrap();
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(instance.create(unlimited_key_with(|new| new.project = Some(project("website")))).await);
    }
    let beside = [
        instance.create(unlimited_key()).await,
        instance.create(unlimited_key_with(|new| new.project = Some(project("mail")))).await,
    ];
    assert_eq!(all_are(&instance, &keys, None).await, (100, 1));
    assert_eq!(all_are(&instance, &beside, None).await, (2, 2));
    let set = async |status| {
        let (acme, website) = (org("acme"), project("website"));
        instance.manager.set_project_status(&operator(), &acme, &website, status).await.unwrap();
    };
    set(ParentStatus::Suspended).await;
    assert_eq!(all_are(&instance, &keys, Some(DenialReason::ProjectSuspended)).await, (0, 1));
    assert_eq!(all_are(&instance, &beside, None).await, (0, 0));
    set(ParentStatus::Active).await;
    assert_eq!(all_are(&instance, &keys, None).await, (0, 1));
    assert_eq!(all_are(&instance, &beside, None).await, (0, 0));
}

/// An answer that is held on to holds on to what stood above the key, which nobody is told of without a cache.
#[tokio::test]
async fn without_a_cache_a_held_admission_keeps_no_organization_alive() {
    let instance = Instance::built(ring(&[1]), |builder| builder.cache_capacity(0));
    let created = instance.create(unlimited_key()).await;
    let held = instance.validate(created.text.expose()).await.unwrap();
    let by_another = instance.beside(ring(&[1])).manager;
    let update = suspended(ParentStatus::Suspended);
    by_another.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::OrganizationSuspended);
    drop(held);
}

// Rotation of the ring.

#[tokio::test]
async fn a_key_is_moved_to_the_current_ring_entry_once_and_is_kept_from_then_on() {
    let old = Instance::new();
    let created = old.create(unlimited_key()).await;
    let (first, second) = (old.beside(ring(&[2, 1])), old.beside(ring(&[2, 1])));
    let current = ring(&[2, 1]).current_id();
    for instance in [&first, &second] {
        instance.manager.open().await.unwrap();
        instance.store.reset_calls();
        for _ in 0..3 {
            instance.validate(created.text.expose()).await.unwrap();
        }
    }
    assert_eq!(old.record(created.key.id).await.digested_under, current);
    assert_eq!((first.store.calls().replace, second.store.calls().replace), (1, 0));
    assert_eq!((first.store.calls().load_record, second.store.calls().load_record), (2, 1));
    assert_eq!(first.manager.cache_statistics().hits, 2);
    // An instance that has it kept from before the move is told of it.
    let third = old.beside(ring(&[3, 2, 1]));
    third.validate(created.text.expose()).await.unwrap();
    assert_eq!(old.record(created.key.id).await.digested_under, ring(&[3, 2, 1]).current_id());
    assert_eq!(first.refusal(created.text.expose()).await, DenialReason::StoreUnavailable, "it lacks the new entry");
}
