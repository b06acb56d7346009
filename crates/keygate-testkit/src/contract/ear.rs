//! One who watches a store and keeps what it loads, as the contract needs one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Coherence, Lease, Read, Watcher};
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId};
use keygate_core::record::{KeyRecord, Parents};
use keygate_core::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::sample;

/// How long a store may take to vouch for what is read, and a change to get to those who watch.
const PATIENCE: Duration = Duration::from_secs(5);
/// A lease cannot be waited for, so it is looked at this often.
const PAUSE: Duration = Duration::from_millis(2);

/// Remembers what it is told.
#[derive(Debug, Default)]
pub(super) struct Ear(watch::Sender<Vec<Change>>);

impl Watcher for Ear {
    fn changed(&self, change: &Change) {
        self.0.send_modify(|heard| heard.push(change.clone()));
    }
}

impl Ear {
    /// One who watches from now on. Something has been loaded since.
    pub(super) async fn at(store: &dyn Store) -> Arc<Self> {
        let ear = Arc::new(Self::default());
        let watcher: Weak<Self> = Arc::downgrade(&ear);
        store.watch(watcher, Duration::ZERO);
        store.load_record(unused_id()).await.unwrap();
        ear
    }

    /// The same, where the store tells anybody.
    pub(super) async fn told_by(store: &dyn Store) -> Option<Arc<Self>> {
        let (ear, asked) = (Self::at(store).await, Instant::now());
        loop {
            match store.coherence() {
                Coherence::InProcess | Coherence::Live => return Some(ear),
                Coherence::None | Coherence::TimeBound(_) => return None,
                other => assert!(asked.elapsed() < PATIENCE, "those who watch learn of nothing ({other:?})"),
            }
            sleep(PAUSE).await;
        }
    }

    /// How often it has been told of this.
    pub(super) fn times(&self, change: &Change) -> usize {
        self.0.borrow().iter().filter(|heard| *heard == change).count()
    }

    /// Waits until it has been told of this more often than so many times.
    pub(super) async fn hears_again(&self, change: &Change, times: usize) {
        let mut heard = self.0.subscribe();
        let enough = |heard: &Vec<Change>| heard.iter().filter(|heard| *heard == change).count() > times;
        let told = timeout(PATIENCE, heard.wait_for(enough)).await.is_ok();
        assert!(told, "{PATIENCE:?} after a write was answered, nobody was told of {change:?}");
    }

    /// Waits until it has been told of this since it last [forgot](Self::forget).
    pub(super) async fn hears(&self, change: &Change) {
        self.hears_again(change, 0).await;
    }

    pub(super) fn forget(&self) {
        self.0.send_replace(Vec::new());
    }

    /// What it is told, for those who stay when it goes.
    pub(super) fn heard(&self) -> watch::Receiver<Vec<Change>> {
        self.0.subscribe()
    }
}

pub(super) fn unused_id() -> KeyId {
    sample::record(&sample::organization(), &sample::user("ann")).key.id
}

/// Waits until what came with this lease is vouched for, and says whether that will ever be.
async fn is_vouched_for(lease: Option<&Lease>, asked: Instant) -> bool {
    loop {
        if lease.is_some_and(|lease| lease.is_live(Tick::now())) {
            return true;
        }
        assert!(asked.elapsed() < PATIENCE, "what was read is not vouched for after {PATIENCE:?}: {lease:?}");
        sleep(PAUSE).await;
        if lease.is_none_or(Lease::has_ended) {
            return false;
        }
    }
}

/// A key's record as one loads it to keep it: from now on those who watch are owed word of it.
pub(super) async fn kept(store: &dyn Store, id: KeyId) -> Read<Option<KeyRecord>> {
    let asked = Instant::now();
    loop {
        let read = store.load_record(id).await.unwrap();
        if is_vouched_for(read.lease.as_deref(), asked).await {
            return read;
        }
    }
}

/// The same, of what stands above keys.
pub(super) async fn kept_parents(
    store: &dyn Store,
    organization: &OrganizationId,
    project: &ProjectId,
) -> Read<Parents> {
    let asked = Instant::now();
    loop {
        let read = store.load_parents(organization, Some(project)).await.unwrap();
        if is_vouched_for(read.lease.as_deref(), asked).await {
            return read;
        }
    }
}
