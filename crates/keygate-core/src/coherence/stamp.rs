//! What a thing that was read carries with it, so that a later look says whether it still holds.

use std::sync::Arc;
use std::time::Duration;

use super::Read;
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

/// What is known of something that was read: the generation it had before it was asked for, and how long it may be
/// believed.
#[derive(Debug, Clone)]
pub struct Stamp {
    generation: u64,
    lease: Option<Arc<Lease>>,
    sent: Tick,
    decides_until: Tick,
    fresh_until: Tick,
}

impl Stamp {
    /// The stamp of something that was read after `generation` was looked at.
    #[must_use]
    pub fn new<T>(generation: u64, read: &Read<T>) -> Self {
        let Read { sent, decides_until, ref lease, .. } = *read;
        Self { generation, lease: lease.clone(), sent, decides_until, fresh_until: Tick::FOREVER }
    }

    /// The same, of something that is to be read again after this moment, whatever nobody said of it.
    #[must_use]
    pub fn fresh_until(self, moment: Tick) -> Self {
        Self { fresh_until: moment, ..self }
    }

    /// Whether what carries this stamp may be believed without asking.
    #[must_use]
    pub fn is_current(&self, generation: &Generation, now: Tick) -> bool {
        // In this order: who sees a lease that a heartbeat has extended also sees the changes told before its answer.
        now < self.fresh_until && self.is_leased(now) && self.is_unchanged(generation)
    }

    /// Whether it may decide a request that has been waiting since `asked`: it may be believed anyhow, or it was read
    /// for it, after it came and not long ago.
    #[must_use]
    pub fn may_decide(&self, generation: &Generation, now: Tick, asked: Tick) -> bool {
        self.is_current(generation, now)
            || (self.sent >= asked
                && (self.is_leased(now) || now <= self.decides_until)
                && self.is_unchanged(generation))
    }

    /// Whether it may be believed though its lease is over, for `stale` longer than the lease could vouch for it.
    #[must_use]
    pub fn may_be_stale(&self, generation: &Generation, now: Tick, stale: Duration) -> bool {
        let reached = self.lease.as_ref().map_or(Tick::NEVER, |lease| lease.reached());
        // A lease without an end that has ended is a store that lost everything.
        reached != Tick::FOREVER && now < reached.after(stale) && self.is_unchanged(generation)
    }

    /// The same of something that others than the store said, for `stale` longer than they said themselves.
    #[must_use]
    pub(crate) fn may_be_stale_as_said(&self, generation: &Generation, now: Tick, stale: Duration) -> bool {
        now < self.fresh_until.after(stale)
            && (self.may_be_stale(generation, now, stale) || (self.is_leased(now) && self.is_unchanged(generation)))
    }

    fn is_leased(&self, now: Tick) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_live(now))
    }

    /// Whether nobody has said that it changed. Without the lease that says little: nobody may have been there to say it.
    fn is_unchanged(&self, generation: &Generation) -> bool {
        generation.current() == self.generation
    }

    /// The lease that it may be believed under.
    #[must_use]
    pub fn lease(&self) -> Option<&Arc<Lease>> {
        self.lease.as_ref()
    }

    /// Whether it is worth keeping: it has a lease, and that has not ended.
    #[must_use]
    pub fn may_be_kept(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.has_ended())
    }
}
