//! Something that many kept keys have in common: read once, and again when it changed, for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::LANDINGS;
use crate::clock::{Clock, Tick};
use crate::coherence::{Generation, Read, Stamp};
use crate::store::StoreError;

/// A place for something that changes. Whoever may ask about it holds the cell; what the cell holds comes and goes.
#[derive(Debug)]
pub(crate) struct Cell<T> {
    generation: Generation,
    held: ArcSwapOption<Held<T>>,
    /// Held while reading: when the last read failed, if the last one did.
    reading: tokio::sync::Mutex<Option<Tick>>,
}

/// What a cell holds.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// Of no other thing that is or was held in this process, never 0, and greater than that of what its cell held before.
    serial: u64,
    stamp: Stamp,
    value: T,
}

impl<T> Held<T> {
    pub(super) fn new(stamp: Stamp, value: T) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Self { serial: SERIAL.fetch_add(1, Ordering::Relaxed), stamp, value }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl<T> Cell<T> {
    pub(super) fn new() -> Self {
        Self { generation: Generation::new(), held: ArcSwapOption::empty(), reading: tokio::sync::Mutex::new(None) }
    }

    /// What is held, if it may be believed without asking the store.
    #[inline]
    pub(crate) fn current(&self, now: Tick) -> Option<arc_swap::Guard<Option<Arc<Held<T>>>>> {
        let guard = self.held.load();
        guard.as_ref().is_some_and(|held| held.stamp.is_current(&self.generation, now)).then_some(guard)
    }

    /// What was held last, whether or not it may be believed.
    pub(crate) fn last(&self) -> Option<Arc<Held<T>>> {
        self.held.load_full()
    }

    /// What is held, if it may be believed, or may be while the store fails.
    pub(crate) fn stale(&self, now: Tick, stale: Duration) -> Option<Arc<Held<T>>> {
        let may =
            |stamp: &Stamp| stamp.is_current(&self.generation, now) || stamp.may_be_stale(&self.generation, now, stale);
        self.last().filter(|held| may(&held.stamp))
    }

    /// The same of what others than the store said, for `stale` longer than they said themselves.
    pub(super) fn stale_as_said(&self, now: Tick, stale: Duration) -> Option<Arc<Held<T>>> {
        self.last().filter(|held| held.stamp.may_be_stale_as_said(&self.generation, now, stale))
    }

    /// Whether what was found may decide a request that came at `asked`.
    pub(crate) fn may_decide(&self, held: &Held<T>, now: Tick, asked: Tick) -> bool {
        held.stamp.may_decide(&self.generation, now, asked)
    }

    /// What it is of has changed.
    pub(super) fn change(&self) {
        self.generation.advance();
    }

    /// What is held if that may decide, else what `read` reads now, with the moment until when it need not be read again. One
    /// reads; others wait for it, look again, and share its failure: were each to try in turn, the last would wait for all the
    /// others.
    pub(super) async fn find<F>(
        &self,
        clock: &dyn Clock,
        asked: Tick,
        read: impl Fn() -> F,
    ) -> Result<Arc<Held<T>>, StoreError>
    where
        F: Future<Output = Result<(Read<T>, Tick), StoreError>>,
    {
        let usable = || self.last().filter(|held| self.may_decide(held, clock.tick(), asked));
        for _ in 0..LANDINGS {
            if let Some(held) = usable() {
                return Ok(held);
            }
            let mut failed = self.reading.lock().await;
            if let Some(held) = usable() {
                return Ok(held);
            }
            if failed.is_some_and(|failed| failed >= asked) {
                return Err(StoreError::unavailable("the read that was waited for failed"));
            }
            let generation = self.generation.current();
            let (read, fresh_until) = match read().await {
                Ok(read) => read,
                Err(error) => {
                    *failed = Some(clock.tick());
                    return Err(error);
                }
            };
            *failed = None;
            let stamp = Stamp::new(generation, &read).fresh_until(fresh_until);
            let held = Arc::new(Held::new(stamp, read.value));
            self.held.store(Some(Arc::clone(&held)));
            if self.may_decide(&held, clock.tick(), asked) {
                return Ok(held);
            }
        }
        Err(StoreError::unavailable("what stands above the key changed or was lost under way each time it was read"))
    }
}
