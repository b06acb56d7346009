//! What an instance's limiter does, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) calls: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) granted: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) unreachable: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) local_share: AtomicU64,
    pub(super) told: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// What a manager's limiter has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimiterStatistics {
    /// Calls of the store.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Tokens granted by the store.
    pub granted: u64,
    /// Tokens given back to it.
    pub returned: u64,
    /// Requests denied because a limit was used up.
    pub denied: u64,
    /// Requests denied because the store was not reached.
    pub unreachable: u64,
    /// Requests let in while the store was not reached, by limits that are `open` then.
    pub open: u64,
    /// Requests let in while the store was not reached, by limits of which each instance then has a `local_share`.
    pub local_share: u64,
    /// How often the store was told what had been granted, because it may have forgotten.
    pub told: u64,
    /// Pools known now.
    pub pools: u64,
}

impl Counters {
    pub(super) fn statistics(&self, pools: usize) -> LimiterStatistics {
        let Self { calls, failures, granted, returned, denied, unreachable, open, local_share, told } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LimiterStatistics {
            calls: read(calls),
            failures: read(failures),
            granted: read(granted),
            returned: read(returned),
            denied: read(denied),
            unreachable: read(unreachable),
            open: read(open),
            local_share: read(local_share),
            told: read(told),
            pools: pools as u64,
        }
    }
}
