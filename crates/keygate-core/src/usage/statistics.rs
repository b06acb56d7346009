//! What an instance's recorder does, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::striped::Striped;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) forged: Striped,
    pub(super) told: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) told_again: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) folded: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// What waits to be told, and what the store says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    pub(super) requests: u64,
    pub(super) kept: u64,
    pub(super) passed_over: u64,
}

/// What a manager's recorder of usage has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UsageStatistics {
    /// Requests of keys that the store has acknowledged.
    pub told: u64,
    /// Requests of keys that wait to be told, because the store does not answer. What was counted in the last second is not
    /// among them.
    pub waiting: u64,
    /// Texts that were refused because they are no key of this deployment. They are counted of nobody.
    pub forged: u64,
    /// Batches the store has acknowledged.
    pub batches: u64,
    /// Calls of the store that failed.
    pub failures: u64,
    /// Batches that were told again, because the store had forgotten that it acknowledged them.
    pub told_again: u64,
    /// Batches that the store has forgotten and that were kept no longer.
    pub lost: u64,
    /// How often endpoints, locations and addresses were told apart no longer, because too much waited.
    pub folded: u64,
    /// Batches kept for the case that the store forgets them.
    pub kept: u64,
    /// How often what was counted of a key, a user, a project or an organization was lost, because what the store has of it
    /// cannot be read. The log names it.
    pub passed_over: u64,
}

impl Counters {
    pub(super) fn statistics(&self, waiting: Waiting) -> UsageStatistics {
        let Self { forged, told, batches, failures, told_again, lost, folded } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        UsageStatistics {
            told: read(told),
            waiting: waiting.requests,
            forged: forged.sum(),
            batches: read(batches),
            failures: read(failures),
            told_again: read(told_again),
            lost: read(lost),
            folded: read(folded),
            kept: waiting.kept,
            passed_over: waiting.passed_over,
        }
    }
}
