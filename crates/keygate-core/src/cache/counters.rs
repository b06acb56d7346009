//! What the cache does, counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

/// How many places a counter has: with more threads than that, some share one.
const STRIPES: usize = 16;

/// A counter that threads add to without writing to the same line of memory.
#[derive(Debug, Default)]
pub(crate) struct Striped {
    stripes: [Stripe; STRIPES],
}

/// Two lines of 64 bytes, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

thread_local! {
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

impl Striped {
    pub(crate) fn add(&self) {
        // A thread that is ending has no place any more.
        let place = PLACE.try_with(|place| *place).unwrap_or(0);
        self.stripes[place].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Striped,
    pub(crate) misses: Striped,
    pub(crate) loads: Striped,
    pub(crate) parent_loads: Striped,
    pub(crate) evictions: AtomicU64,
    pub(crate) changes: Striped,
    pub(crate) stale: Striped,
}

/// What a manager's cache has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Requests decided from what was kept.
    pub hits: u64,
    /// Requests with a genuine tag that were not.
    pub misses: u64,
    /// Reads of a key's record. Fewer than the misses, where several waited for one.
    pub loads: u64,
    /// Reads of organizations and projects.
    pub parent_loads: u64,
    /// Keys that went because there was no room for them.
    pub evictions: u64,
    /// Changes that the store told of.
    pub changes: u64,
    /// Requests decided from what was kept while the store failed.
    pub stale: u64,
    /// Keys kept now.
    pub entries: u64,
    /// The most keys kept.
    pub capacity: u64,
}
