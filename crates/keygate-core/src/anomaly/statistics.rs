//! What an instance's sentry does, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) examined: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) findings: AtomicU64,
    pub(super) known: AtomicU64,
    pub(super) suspended: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// What a manager's search for anomalies has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AnomalyStatistics {
    /// Sightings that were examined: what was counted of one key in a second or so.
    pub examined: u64,
    /// Sightings that were dropped, because too many waited.
    pub dropped: u64,
    /// Calls of the store that failed; what was to be examined with them was not.
    pub failures: u64,
    /// Findings this instance has recorded.
    pub findings: u64,
    /// Findings that were recorded already, here or elsewhere.
    pub known: u64,
    /// Keys this instance has suspended.
    pub suspended: u64,
    /// Sightings that wait to be examined.
    pub waiting: u64,
    /// Keys this instance is acquainted with.
    pub keys: u64,
}

impl Counters {
    pub(super) fn statistics(&self, waiting: usize, keys: u64) -> AnomalyStatistics {
        let Self { examined, dropped, failures, findings, known, suspended } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AnomalyStatistics {
            examined: read(examined),
            dropped: read(dropped),
            failures: read(failures),
            findings: read(findings),
            known: read(known),
            suspended: read(suspended),
            waiting: waiting as u64,
            keys,
        }
    }
}
