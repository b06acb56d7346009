//! Who is told of changes.

use std::fmt::Debug;
use std::sync::{PoisonError, RwLock, Weak};
use std::time::Duration;

use crate::key::KeyId;
use crate::names::{OrganizationId, ProjectId, UserId};

/// Something in a store changed, was made, or went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A key's record.
    Key(KeyId),
    /// A key was revoked. Stores say so beside [`Key`](Self::Key), for those who remember it beyond what a failover of
    /// the store forgets.
    Revoked(KeyId),
    /// An organization's record, or that of its roles.
    Organization(OrganizationId),
    /// A project's record.
    Project(OrganizationId, ProjectId),
    /// A user's record.
    User(OrganizationId, UserId),
}

/// One who keeps what it reads from a store.
pub trait Watcher: Debug + Send + Sync {
    /// Something changed. It is called inline, before anything else is read from the store's connection, so it must be
    /// quick, and must neither wait, nor ask the store, nor panic.
    fn changed(&self, change: &Change);

    /// The store is reached anew, perhaps at another server, which may have forgotten the last moments before it took
    /// over. Called on a task; it must not block.
    fn reached_anew(&self) {}
}

/// Those who watch a store, for stores to keep. They are held weakly: one that is gone is told nothing.
#[derive(Debug, Default)]
pub struct Watchers {
    list: RwLock<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    watcher: Weak<dyn Watcher>,
    stale: Duration,
}

impl Watchers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, which goes on believing what it read for `stale` after a lease has lapsed or ended.
    pub fn add(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|entry| entry.watcher.strong_count() > 0);
        list.push(Entry { watcher, stale });
    }

    /// Tells all of a change.
    pub fn tell(&self, change: &Change) {
        self.each(|watcher| watcher.changed(change));
    }

    /// Tells all that the store is reached anew.
    pub fn tell_reached_anew(&self) {
        self.each(|watcher| watcher.reached_anew());
    }

    fn each(&self, mut tell: impl FnMut(&dyn Watcher)) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        for watcher in list.iter().filter_map(|entry| entry.watcher.upgrade()) {
            tell(&*watcher);
        }
    }

    /// Whether anybody is there to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).iter().all(|entry| entry.watcher.strong_count() == 0)
    }

    /// The longest that one of them believes what it read beyond a lease.
    #[must_use]
    pub fn longest_stale(&self) -> Duration {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let alive = list.iter().filter(|entry| entry.watcher.strong_count() > 0);
        alive.map(|entry| entry.stale).max().unwrap_or_default()
    }
}
