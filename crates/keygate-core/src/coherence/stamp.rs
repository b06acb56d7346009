//! What a thing that was read carries with it, so that a later look says whether it still holds.

use std::sync::Arc;

use super::lease::Lease;
use crate::clock::Tick;
use sync::{AtomicU64, Ordering};

/// The atomics, which a model checker takes the place of (`scripts/loom.sh`).
pub(super) mod sync {
    #[cfg(keygate_loom)]
    pub(in crate::coherence) use loom::sync::atomic::{AtomicU64, Ordering};
    #[cfg(not(keygate_loom))]
    pub(in crate::coherence) use std::sync::atomic::{AtomicU64, Ordering};
}

/// Counts the changes of one thing.
#[derive(Debug)]
pub struct Generation(AtomicU64);

impl Generation {
    /// No change yet.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What is read from now on is of this generation. To be asked *before* the read is sent.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The thing has changed: what was read before is not believed again.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self::new()
    }
}

/// The generation a thing had before it was asked for, and the lease it was read under.
#[derive(Debug, Clone)]
pub struct Stamp {
    generation: u64,
    lease: Arc<Lease>,
}

impl Stamp {
    /// The stamp of what was asked for after `generation` was looked at.
    #[must_use]
    pub fn new(generation: u64, lease: Arc<Lease>) -> Self {
        Self { generation, lease }
    }

    /// Whether what carries this stamp may be believed.
    #[must_use]
    pub fn is_current(&self, generation: &Generation, now: Tick) -> bool {
        // In this order: who sees a lease that a heartbeat has extended also sees the changes told before its answer.
        self.lease.is_live(now) && self.is_unchanged(generation)
    }

    /// Whether nobody has said that it changed. Without the lease that says little: nobody may have been there to say it.
    #[must_use]
    pub fn is_unchanged(&self, generation: &Generation) -> bool {
        generation.current() == self.generation
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}
