//! The faulty store is the store behind it, until a test says otherwise.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use keygate_core::anomaly::finding::Measured;
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Coherence, Lease, Watcher};
use keygate_core::key::KeyId;
use keygate_core::record::{KeyRecord, KeyStatus, Quota};
use keygate_core::store::{Depth, MemoryStore, Store, Verdict};
use keygate_core::usage::batch::Writer;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;
use keygate_testkit::contract::Fresh;
use keygate_testkit::{FaultyStore, StoreCalls, sample};

async fn faulty_store() -> Fresh {
    Fresh::new(FaultyStore::new(MemoryStore::new()))
}

keygate_testkit::store_contract!(faulty, faulty_store);

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<Change>>);

impl Watcher for Ear {
    fn changed(&self, change: &Change) {
        self.0.lock().unwrap().push(change.clone());
    }
}

impl Ear {
    fn at(store: &impl Store) -> Arc<Self> {
        let ear = Arc::new(Self::default());
        let watcher: Weak<Self> = Arc::downgrade(&ear);
        store.watch(watcher, Duration::ZERO);
        ear
    }

    fn heard(&self) -> Vec<Change> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Room {
    memory: MemoryStore,
    store: FaultyStore,
    record: KeyRecord,
}

impl Room {
    async fn new() -> Self {
        let memory = MemoryStore::new();
        let record = sample::record(&sample::organization(), &sample::user("ann"));
        memory.create(&record.key.organization, Quota::default(), vec![record.clone()]).await.unwrap()[0].unwrap();
        Self { store: FaultyStore::new(memory.clone()), memory, record }
    }

    fn id(&self) -> KeyId {
        self.record.key.id
    }

    async fn set(&self, status: KeyStatus) -> bool {
        let change = sample::status(status);
        self.store.set_status(&self.record.key.organization, self.id(), &change).await.is_ok()
    }

    /// The lease of a record and of what stands above it, which are one.
    async fn lease(&self) -> Arc<Lease> {
        let lease = self.store.load_record(self.id()).await.unwrap().lease.unwrap();
        let parents = self.store.load_parents(&self.record.key.organization, None).await.unwrap();
        assert!(Arc::ptr_eq(&lease, &parents.lease.unwrap()));
        lease
    }
}

fn is_live(lease: &Arc<Lease>) -> bool {
    lease.is_live(Tick::now())
}

#[tokio::test]
async fn faults_are_those_of_loads_and_figures_too_and_each_is_counted() {
    let room = Room::new().await;
    for fault in [FaultyStore::fail, FaultyStore::lose_answers, FaultyStore::heal] {
        fault(&room.store);
        let works = room.store.record(room.id()).await.is_ok();
        assert_eq!(room.store.load_record(room.id()).await.is_ok(), works);
        assert_eq!(room.store.load_parents(&room.record.key.organization, None).await.is_ok(), works);
        assert_eq!(room.store.told_everywhere().await.is_ok(), works);
        let subject = Subject::Key(room.id());
        assert_eq!(room.store.record_usage(0, Writer(1), &[]).await.is_ok(), works);
        assert_eq!(room.store.usage(&subject, Day(0)..=Day(1)).await.is_ok(), works);
        assert_eq!(room.store.last_uses(&[room.id()]).await.is_ok(), works);
        let organization = &room.record.key.organization;
        assert_eq!(room.store.most_used(organization, Month(0), 1).await.is_ok(), works);
        assert_eq!(room.store.habits(room.id()).await.is_ok(), works);
        assert_eq!(room.store.put_habits(room.id(), None, b"").await.is_ok(), works);
        let measured = Measured { observed: 1.0, expected: 0.0, sample_size: 1 };
        let whom = (room.id(), organization.clone());
        let finding = Finding::new(Rule::NewScope, whom, sample::now(), None, measured, String::new());
        assert_eq!(room.store.record_finding(&finding).await.is_ok(), works);
        assert_eq!(room.store.findings(organization, None, 1, None).await.is_ok(), works);
    }
    let loads = StoreCalls { record: 3, load_record: 3, load_parents: 3, told_everywhere: 3, ..StoreCalls::default() };
    let counted = StoreCalls { record_usage: 3, usage: 3, last_uses: 3, most_used: 3, ..loads };
    let calls = StoreCalls { habits: 3, put_habits: 3, record_finding: 3, findings: 3, ..counted };
    assert_eq!(room.store.calls(), calls);
    assert_eq!(calls.total(), 36);
}

#[tokio::test]
async fn a_deafened_store_works_and_tells_nobody() {
    let room = Room::new().await;
    let (ear, beside) = (Ear::at(&room.store), Ear::at(&room.memory));
    assert!(room.set(KeyStatus::Inactive).await);
    assert_eq!(ear.heard(), [Change::Key(room.id())]);
    beside.heard();

    let lease = room.lease().await;
    room.store.deafen();
    let later = Ear::at(&room.store);
    assert!(room.set(KeyStatus::Active).await);
    assert_eq!((ear.heard(), later.heard()), (vec![], vec![]));
    assert_eq!(beside.heard(), [Change::Key(room.id())], "who is not behind the fault hears all the same");
    assert!(is_live(&lease), "nobody knows that the word is lost");

    room.store.heal();
    assert!(room.set(KeyStatus::Revoked).await);
    let told = [Change::Key(room.id()), Change::Revoked(room.id())];
    assert_eq!((ear.heard(), later.heard()), (told.to_vec(), told.to_vec()));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_told() {
    let room = Room::new().await;
    let ear = Ear::at(&room.store);
    room.store.lose_answers();
    assert!(!room.set(KeyStatus::Inactive).await);
    assert_eq!(ear.heard(), [Change::Key(room.id())]);
    room.store.fail();
    assert!(!room.set(KeyStatus::Active).await);
    assert_eq!(ear.heard(), []);
}

#[tokio::test]
async fn what_was_loaded_before_a_lapse_is_never_vouched_for_again() {
    let room = Room::new().await;
    let before = room.lease().await;
    assert!(is_live(&before));
    assert_eq!(room.store.coherence(), Coherence::InProcess);

    room.store.lapse();
    let during = room.lease().await;
    assert!(!is_live(&before) && !is_live(&during));
    assert_eq!(room.store.coherence(), Coherence::Lapsed);
    assert!(
        is_live(&room.memory.load_record(room.id()).await.unwrap().lease.unwrap()),
        "the inner lease is not its own"
    );

    room.store.heal();
    let after = room.lease().await;
    assert!(!is_live(&before) && !is_live(&during) && is_live(&after));
    assert_eq!(room.store.coherence(), Coherence::InProcess);
}

#[tokio::test]
async fn healing_leaves_a_lease_that_has_not_ended() {
    let room = Room::new().await;
    let before = room.lease().await;
    room.store.fail();
    room.store.heal();
    assert!(Arc::ptr_eq(&before, &room.lease().await));
}

#[tokio::test]
async fn a_renewed_lease_is_another() {
    let room = Room::new().await;
    let before = room.lease().await;
    room.store.renew_lease();
    assert!(before.has_ended());
    assert!(is_live(&room.lease().await));
}

#[tokio::test]
async fn a_lease_is_until_the_moment_that_was_named() {
    let room = Room::new().await;
    let without_end = room.lease().await;
    let soon = Tick::now().after(Duration::from_secs(100));
    room.store.vouch_until(soon);
    let lease = room.lease().await;
    assert!(without_end.has_ended());
    assert!(is_live(&lease) && !lease.is_live(soon));
    assert_eq!(lease.reached(), soon);

    let later = soon.after(Duration::from_secs(1));
    room.store.vouch_until(later);
    assert!(lease.is_live(soon) && !lease.is_live(later), "extended");
    assert!(Arc::ptr_eq(&lease, &room.lease().await));

    room.store.vouch_until(Tick::now());
    assert!(lease.has_ended());
    assert_eq!(room.store.coherence(), Coherence::Lapsed);
    assert!(!room.lease().await.has_ended(), "it has lapsed, and may be extended");
}

/// A load that was under way when the lease ended is not vouched for by the next one.
#[tokio::test]
async fn a_load_is_under_the_lease_it_was_asked_under() {
    let room = Room::new().await;
    let outer = FaultyStore::new(room.store.clone());
    room.store.stall();
    let loading = tokio::spawn({
        let (store, id) = (outer.clone(), room.id());
        async move { store.load_record(id).await }
    });
    room.store.wait_for_calls(|calls| calls.load_record == 1).await;
    outer.lapse();
    outer.heal();
    room.store.heal();
    assert!(loading.await.unwrap().unwrap().lease.unwrap().has_ended());
    assert!(is_live(&outer.load_record(room.id()).await.unwrap().lease.unwrap()));
}

#[tokio::test]
async fn an_examination_is_passed_on_and_a_fault_is_a_failure() {
    let store = FaultyStore::new(MemoryStore::new());
    let verdicts = async || store.examine(Depth::Quick).await.into_iter().map(|one| one.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts().await, [Verdict::Warning]);
    store.fail();
    assert_eq!(verdicts().await, [Verdict::Failure]);
    store.lose_answers();
    assert_eq!(verdicts().await, [Verdict::Failure]);
    assert_eq!(store.calls().examine, 3);
}
