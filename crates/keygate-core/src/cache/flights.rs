//! What is being read now: one reads, all others who want the same wait for it.
//!
//! A read that is under way is as much concerned by a change as one that is kept: what it brings may be of before the
//! change. So the change of a key, and the landing of what was read of it, take place under one lock: either the change
//! finds the read under way, and what lands is not kept, or it finds what has landed.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError};

// The lock, which a model checker takes the place of (`scripts/loom.sh`).
#[cfg(keygate_loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(keygate_loom))]
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::{Found, Trouble};
use crate::coherence::Generation;
use crate::key::KeyId;

/// Locks, each for a part of the ids. Only misses and changes take one.
const SHARDS: usize = if cfg!(keygate_loom) { 2 } else { 64 };

type Shard = HashMap<KeyId, Arc<Flight>>;

pub(super) struct Flights {
    shards: [Mutex<Shard>; SHARDS],
}

/// One read under way.
pub(super) struct Flight {
    /// Counts the changes told since it began.
    generation: Generation,
    /// What came of it; nothing if it was given up.
    landed: OnceLock<Option<Result<Found, Trouble>>>,
    wake: Notify,
}

pub(super) enum Joined<'a> {
    /// It is under way already.
    Passenger(Arc<Flight>),
    /// It begins now, by the caller.
    Pilot(Landing<'a>),
}

impl Flights {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, id: KeyId) -> MutexGuard<'_, Shard> {
        // A byte of the random part that is not among the bits of the bucket.
        let place = usize::from(id.as_bytes()[12]) % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the read of this key that is under way, or begins one.
    pub(super) fn join(&self, id: KeyId) -> Joined<'_> {
        let mut shard = self.shard(id);
        if let Some(flight) = shard.get(&id) {
            return Joined::Passenger(Arc::clone(flight));
        }
        let flight = Arc::new(Flight { generation: Generation::new(), landed: OnceLock::new(), wake: Notify::new() });
        shard.insert(id, Arc::clone(&flight));
        Joined::Pilot(Landing { flights: self, id, flight })
    }

    /// A key has changed. `forget` takes away what is kept of it. Who comes later does not join the read under way.
    pub(super) fn change(&self, id: KeyId, forget: impl FnOnce()) {
        let mut shard = self.shard(id);
        if let Some(flight) = shard.remove(&id) {
            flight.generation.advance();
        }
        forget();
    }
}

impl Flight {
    /// What came of it; nothing if it was given up.
    pub(super) async fn landed(&self) -> Option<Result<Found, Trouble>> {
        let mut woken = std::pin::pin!(self.wake.notified());
        // From here on no wake is missed.
        woken.as_mut().enable();
        if self.landed.get().is_none() {
            woken.await;
        }
        self.landed.get().cloned().flatten()
    }
}

/// The end of a read, however it ends: dropped without a word, it was given up.
pub(super) struct Landing<'a> {
    flights: &'a Flights,
    id: KeyId,
    flight: Arc<Flight>,
}

impl Landing<'_> {
    /// The read has brought this. `keep` is told whether a change came in between, under the lock that changes take.
    pub(super) fn land(self, found: Found, keep: impl FnOnce(bool)) {
        let mut shard = self.flights.shard(self.id);
        keep(self.flight.generation.current() != 0);
        self.leave(&mut shard);
        drop(shard);
        // What is left to do, waking those who wait, is done where it is dropped.
        let _ = self.flight.landed.set(Some(Ok(found)));
    }

    /// The read has failed, for all who wait for it: were each to try in turn, the last would wait for all the others.
    pub(super) fn fail(self, trouble: Trouble) -> Trouble {
        self.leave(&mut self.flights.shard(self.id));
        let _ = self.flight.landed.set(Some(Err(trouble)));
        trouble
    }

    fn leave(&self, shard: &mut Shard) {
        if shard.get(&self.id).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            shard.remove(&self.id);
        }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if self.flight.landed.get().is_none() {
            self.leave(&mut self.flights.shard(self.id));
            let _ = self.flight.landed.set(None);
        }
        self.flight.wake.notify_waiters();
    }
}
