//! Whoever watches is told of what was written, whoever wrote it and whether or not they waited.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Coherence, Watcher};
use keygate_core::key::KeyId;
use keygate_core::record::{KeyRecord, KeyStatus, OrganizationRecord, ProjectRecord, Quota, Revision};
use keygate_core::store::{Store, WriteRefusal};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::sample;
use tokio::sync::watch;
use tokio::time::timeout;

#[derive(Debug, Default)]
struct Ear(watch::Sender<Vec<Change>>);

impl Watcher for Ear {
    fn changed(&self, change: &Change) {
        self.0.send_modify(|heard| heard.push(change.clone()));
    }
}

impl Ear {
    fn at(store: &EmbeddedStore) -> Arc<Self> {
        let ear = Arc::new(Self::default());
        let watcher: Weak<Self> = Arc::downgrade(&ear);
        store.watch(watcher, Duration::ZERO);
        ear
    }

    /// What it was told since it was last asked.
    fn heard(&self) -> Vec<Change> {
        self.0.send_replace(Vec::new())
    }

    async fn hears(&self, change: &Change) {
        let mut heard = self.0.subscribe();
        timeout(Duration::from_secs(30), heard.wait_for(|heard| heard.contains(change))).await.unwrap().unwrap();
    }
}

struct Room {
    path: PathBuf,
    store: EmbeddedStore,
    ear: Arc<Ear>,
    _directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        let store = EmbeddedStore::open(&path).unwrap();
        Self { path, ear: Ear::at(&store), store, _directory: directory }
    }

    async fn create(&self) -> KeyRecord {
        let record = sample::record(&sample::organization(), &sample::user("ann"));
        create(&self.store, &record).await;
        record
    }
}

async fn create(store: &EmbeddedStore, record: &KeyRecord) {
    let created = store.create(&record.key.organization, Quota::default(), vec![record.clone()]).await.unwrap();
    assert_eq!(created, [Ok(())]);
}

fn key(id: KeyId) -> Change {
    Change::Key(id)
}

#[tokio::test]
async fn every_write_is_told_before_it_is_answered() {
    let Room { store, ear, .. } = &Room::new();
    let organization = sample::organization();
    let records: Vec<_> = (0..3).map(|_| sample::record(&organization, &sample::user("ann"))).collect();
    let (first, id) = (&records[0], records[0].key.id);
    store.create(&organization, Quota::default(), records.clone()).await.unwrap();
    assert_eq!(ear.heard(), records.iter().map(|record| key(record.key.id)).collect::<Vec<_>>());

    store.replace(&sample::described(first, "second"), first.key.revision).await.unwrap();
    assert_eq!(ear.heard(), [key(id)]);
    store.set_status(&organization, id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    assert_eq!(ear.heard(), [key(id)]);
    let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
    assert_eq!(ear.heard(), [key(id), Change::Revoked(id)]);
    store.delete(&organization, id, revoked.key.revision).await.unwrap();
    assert_eq!(ear.heard(), [key(id)]);

    store.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    assert_eq!(ear.heard(), [Change::Organization(organization.clone())]);
    let project = ProjectRecord::new(organization.clone(), sample::project("website"));
    store.put_project(&project, None).await.unwrap();
    assert_eq!(ear.heard(), [Change::Project(organization, project.id)]);

    store.put_deployment(None, &sample::deployment()).await.unwrap();
    assert_eq!(ear.heard(), [], "nobody keeps the marker");
}

/// Or one tenant could make an instance forget what it keeps of another's keys.
#[tokio::test]
async fn a_write_that_is_refused_is_not_told() {
    let room = Room::new();
    let record = room.create().await;
    room.ear.heard();
    let (stranger, id) = (sample::organization(), record.key.id);
    let refusals = [
        room.store.set_status(&stranger, id, &sample::status(KeyStatus::Revoked)).await.map(drop),
        room.store.delete(&stranger, id, record.key.revision).await.map(drop),
        room.store.replace(&sample::described(&record, "late"), Revision(9)).await.map(drop),
        room.store.put_organization(&OrganizationRecord::new(stranger.clone()), Some(Revision(9))).await.map(drop),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(WriteRefusal::Absent | WriteRefusal::Conflict { .. })), "{refusal:?}");
    }
    assert_eq!(room.ear.heard(), []);
}

#[tokio::test]
async fn a_write_is_told_though_nobody_waits_for_it() {
    let room = Room::new();
    let record = room.create().await;
    let (organization, id) = (&record.key.organization, record.key.id);
    room.ear.heard();
    {
        let revoked = sample::status(KeyStatus::Revoked);
        let writing = pin!(room.store.set_status(organization, id, &revoked));
        assert!(writing.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    room.ear.hears(&key(id)).await;
    room.ear.hears(&Change::Revoked(id)).await;
    assert_eq!(room.store.record(id).await.unwrap().unwrap().key.status.status, KeyStatus::Revoked);
}

/// The store goes last with a write that nobody waits for: it is told of all the same.
#[tokio::test]
async fn a_write_outlives_the_last_handle() {
    let Room { path, store, ear, _directory } = Room::new();
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    let lease = store.load_record(record.key.id).await.unwrap().lease.unwrap();
    {
        let writing = pin!(store.create(&record.key.organization, Quota::default(), vec![record.clone()]));
        assert!(writing.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(store);
    ear.hears(&key(record.key.id)).await;
    // The file is closed on another thread, where nothing tells of it.
    let reopened = timeout(Duration::from_secs(30), async {
        loop {
            match EmbeddedStore::open(&path) {
                Ok(store) => return store,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(reopened.await.unwrap().record(record.key.id).await.unwrap(), Some(record));
    assert!(lease.has_ended());
}

#[tokio::test]
async fn clones_tell_each_others_watchers_and_vouch_alike() {
    let room = Room::new();
    let clone = room.store.clone();
    let of_the_clone = Ear::at(&clone);
    let record = room.create().await;
    assert_eq!((room.ear.heard(), of_the_clone.heard()), (vec![key(record.key.id)], vec![key(record.key.id)]));
    let other = sample::record(&sample::organization(), &sample::user("ann"));
    create(&clone, &other).await;
    assert_eq!((room.ear.heard(), of_the_clone.heard()), (vec![key(other.key.id)], vec![key(other.key.id)]));

    assert_eq!((room.store.coherence(), clone.coherence()), (Coherence::InProcess, Coherence::InProcess));
    let ours = room.store.load_record(record.key.id).await.unwrap().lease.unwrap();
    let theirs = clone.load_parents(&record.key.organization, None).await.unwrap().lease.unwrap();
    assert!(Arc::ptr_eq(&ours, &theirs));
    drop(clone);
    assert!(ours.is_live(Tick::now()), "the file is still open");
}

#[tokio::test]
async fn a_reopened_store_vouches_and_tells_anew() {
    let Room { path, store, ear, _directory } = Room::new();
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    create(&store, &record).await;
    let before = store.load_record(record.key.id).await.unwrap().lease.unwrap();
    assert!(before.is_live(Tick::now()));
    drop(store);
    assert!(before.has_ended(), "whoever opens the file next tells nobody of this one");

    let store = EmbeddedStore::open(&path).unwrap();
    let read = store.load_record(record.key.id).await.unwrap();
    assert_eq!(read.value.as_ref(), Some(&record));
    assert!(read.lease.unwrap().is_live(Tick::now()));
    assert!(before.has_ended());
    ear.heard();
    let anew = Ear::at(&store);
    store.replace(&sample::described(&record, "second"), record.key.revision).await.unwrap();
    assert_eq!((ear.heard(), anew.heard()), (vec![], vec![key(record.key.id)]));
}

/// Everywhere is told only when the write that is under way is told too.
#[tokio::test]
async fn telling_everywhere_waits_for_the_write_that_is_under_way() {
    let room = Room::new();
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    {
        let writing = pin!(room.store.create(&record.key.organization, Quota::default(), vec![record.clone()]));
        assert!(writing.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(room.store.told_everywhere().await.unwrap());
    assert_eq!(room.ear.heard(), [key(record.key.id)]);
}
