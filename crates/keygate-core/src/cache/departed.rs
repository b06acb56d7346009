//! What the cache let go of while a request still holds it.
//!
//! A request that waits, for what stands above its key or for a slow verifier, holds an entry that was there when it came.
//! If the cache lets go of it meanwhile, for want of room or because another has taken its place, a change that is told
//! must still find it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Entry;
use super::counters::Counters;
use super::kept::Kept;
use crate::key::KeyId;

const SWEEP_FIRST: usize = 256;

/// The entries that were let go of and are still held. As many as requests wait, and at most as many again.
#[derive(Default)]
pub(super) struct Departed {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<KeyId, Vec<Weak<Entry>>>,
    /// How many were added since those that nobody holds any more were swept out, and how many were left then.
    added: usize,
    left: usize,
}

impl Departed {
    fn add(&self, id: KeyId, entry: &Arc<Entry>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.added >= held.left.max(SWEEP_FIRST) {
            held.entries.retain(|_, entries| {
                entries.retain(|entry| entry.strong_count() > 0);
                !entries.is_empty()
            });
            held.left = held.entries.values().map(Vec::len).sum();
            held.added = 0;
        }
        held.added += 1;
        held.entries.entry(id).or_default().push(Arc::downgrade(entry));
    }

    /// The key has changed.
    pub(super) fn change(&self, id: KeyId) {
        let gone = self.held.lock().unwrap_or_else(PoisonError::into_inner).entries.remove(&id);
        for entry in gone.iter().flatten().filter_map(Weak::upgrade) {
            entry.change();
        }
    }
}

/// Looks after what the cache lets go of, and counts what it has no room for.
#[derive(Clone)]
pub(super) struct Departures {
    counters: Arc<Counters>,
    departed: Arc<Departed>,
}

impl Departures {
    pub(super) fn new(counters: Arc<Counters>, departed: Arc<Departed>) -> Self {
        Self { counters, departed }
    }
}

impl quick_cache::Lifecycle<KeyId, Kept> for Departures {
    type RequestState = ();

    fn before_evict(&self, _state: &mut (), _id: &KeyId, _kept: &mut Kept) {
        self.counters.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Evicted, or another has taken its place. It is called under the lock that the entry was found under, so that there
    /// is no moment in which a change would find it nowhere.
    fn on_evict(&self, _state: &mut (), id: KeyId, kept: Kept) {
        if Arc::strong_count(kept.entry()) > 1 {
            self.departed.add(id, kept.entry());
        }
    }
}

impl fmt::Debug for Departed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departed").finish_non_exhaustive()
    }
}
