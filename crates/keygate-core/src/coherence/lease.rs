//! One life of one connection to a store.

use std::fmt;

use super::stamp::sync::{AtomicU64, Ordering};
use crate::clock::Tick;

/// Ended for good. A lease that has not begun has lapsed at [`BEFORE`] instead.
const ENDED: u64 = 0;
const BEFORE: u64 = 1;

/// Until when what was read over one connection may be believed. See the [module docs](super) for why that is enough.
pub struct Lease {
    until: AtomicU64,
    /// How far it was ever extended, which outlives its end.
    reached: AtomicU64,
}

impl Lease {
    /// A lease that has not begun: nothing is believed until it is [extended](Self::extend).
    #[must_use]
    pub fn new() -> Self {
        Self { until: AtomicU64::new(BEFORE), reached: AtomicU64::new(BEFORE) }
    }

    /// A lease until this moment.
    #[must_use]
    pub fn until(moment: Tick) -> Self {
        let lease = Self::new();
        lease.extend(moment);
        lease
    }

    /// A lease without an end, for a store whose changes cannot be missed.
    #[must_use]
    pub fn forever() -> Self {
        Self::until(Tick::FOREVER)
    }

    /// Extends it. It is never shortened by this, and once it has ended it stays ended.
    ///
    /// Whoever sees it extended sees what the caller did before: the changes told before a heartbeat's answer.
    pub fn extend(&self, until: Tick) {
        let until = until.as_nanos();
        let extend = |now: u64| (now != ENDED && now < until).then_some(until);
        if self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, extend).is_ok() {
            self.reached.fetch_max(until, Ordering::AcqRel);
        }
    }

    /// Ends it for good: the connection is lost, or may lead to another server than before.
    pub fn end(&self) {
        // Not a mere store, so that the model checker, too, puts it in one order with the extensions.
        self.until.swap(ENDED, Ordering::AcqRel);
    }

    /// Whether what was read under it may be believed.
    #[must_use]
    pub fn is_live(&self, now: Tick) -> bool {
        self.until.load(Ordering::Acquire) > now.as_nanos()
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.until.load(Ordering::Acquire) == ENDED
    }

    /// The latest moment that it was ever extended to, whether or not it has ended since.
    #[must_use]
    pub fn reached(&self) -> Tick {
        Tick::from_nanos(self.reached.load(Ordering::Acquire))
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until.load(Ordering::Acquire) {
            ENDED => write!(f, "Lease(ended, reached {:?})", self.reached()),
            until => write!(f, "Lease(until {:?})", Tick::from_nanos(until)),
        }
    }
}
