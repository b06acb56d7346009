//! A key's meter: stripes that threads count on without waiting for each other.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use chrono::{DateTime, Utc};

use super::batch::Delta;
use super::outcome::Answered;
use super::period::Hour;
use super::tally::{Decision, Tally};
use crate::striped::{STRIPES, place};

/// Counts a key's requests. It begins with one stripe; once two threads have met on it, each has one of its own.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Meter {
    more: OnceLock<Box<[Stripe]>>,
    /// Whether it is on the list of those to be emptied.
    is_listed: AtomicBool,
    first: Mutex<Tally>,
}

/// Two lines of 64 bytes, which processors fetch together.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<Tally>);

impl Meter {
    /// Counts a decision. Says whether the meter is to be listed, and in which hour it is counted.
    #[inline]
    pub(crate) fn decided(&self, decision: &Decision<'_>) -> (bool, Hour) {
        let (is_first, hour) = self.stripe().decided(decision);
        (is_first && self.list(), hour)
    }

    /// Counts the answer to a request that was decided over in `hour`. Says whether the meter is to be listed.
    pub(crate) fn answered(&self, hour: Hour, answered: Answered, failed_at: Option<DateTime<Utc>>) -> bool {
        let is_first = self.stripe().answered(hour, answered, failed_at);
        is_first && self.list()
    }

    /// Whether it is to be listed by the one who asks: it is not listed yet.
    fn list(&self) -> bool {
        !self.is_listed.swap(true, Ordering::AcqRel)
    }

    fn stripe(&self) -> MutexGuard<'_, Tally> {
        let more = match self.more.get() {
            Some(more) => more,
            None => match self.first.try_lock() {
                Ok(tally) => return tally,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    self.more.get_or_init(|| (1..stripes()).map(|_| Stripe::default()).collect())
                }
            },
        };
        let own = (place() % (more.len() + 1)).checked_sub(1).and_then(|place| more.get(place));
        let own = own.map_or(&self.first, |stripe| &stripe.0);
        // No code panics while it holds the lock between two halves of a change.
        own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at its first lines of memory.
    #[inline]
    pub(crate) fn fetch(&self) -> (bool, bool) {
        (self.first.is_poisoned(), self.more.get().is_some())
    }

    /// Takes all that was counted. It is no longer listed: what is counted from now on lists it anew.
    pub(crate) fn take(&self) -> Option<Delta> {
        // Before anything is taken, or what is counted in between would be on no list.
        self.is_listed.store(false, Ordering::SeqCst);
        let more = self.more.get().into_iter().flatten().map(|stripe| &stripe.0);
        let mut taken: Option<Delta> = None;
        for stripe in [&self.first].into_iter().chain(more) {
            let Some(delta) = stripe.lock().unwrap_or_else(PoisonError::into_inner).take() else { continue };
            match &mut taken {
                None => taken = Some(delta),
                Some(taken) => taken.add(&delta),
            }
        }
        taken
    }
}

/// As many as threads may run at once.
fn stripes() -> usize {
    std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, STRIPES))
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("is_listed", &self.is_listed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::usage::outcome::Outcome;

    #[test]
    fn threads_that_meet_lose_nothing_and_list_it_whenever_there_is_something() {
        const THREADS: u64 = 4;
        const EACH: u64 = 20_000;
        let meter = Meter::default();
        let (listed, taken) = (AtomicBool::new(false), AtomicU64::new(0));
        let take = || {
            if listed.swap(false, Ordering::SeqCst)
                && let Some(delta) = meter.take()
            {
                taken.fetch_add(delta.requests(), Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            let counting: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..EACH {
                            let at = Utc::now();
                            let decision = Decision {
                                at,
                                outcome: Outcome::Admitted,
                                address: None,
                                location: None,
                                endpoint: None,
                                scopes: &Arc::default(),
                            };
                            if meter.decided(&decision).0 {
                                listed.store(true, Ordering::SeqCst);
                            }
                        }
                    })
                })
                .collect();
            while counting.iter().any(|thread| !thread.is_finished()) {
                take();
            }
        });
        take();
        assert_eq!(taken.into_inner(), THREADS * EACH);
    }
}
