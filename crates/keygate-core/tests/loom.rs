//! The argument of `keygate_core::coherence`, over every order in which threads can see each other's writes.
//!
//! Run by `scripts/loom.sh`, which builds the crate with the model checker's atomics and locks in the place of the
//! standard ones. The code is the crate's own; of the cache only the map of what is kept is stood in for.

#![cfg(keygate_loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::coherence::{Generation, Lease, Read, Stamp};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// The file itself, with what it names of the crate.
#[path = "../src/cache/flights.rs"]
#[allow(dead_code)]
mod flights;

mod coherence {
    pub use keygate_core::coherence::Generation;
}
mod key {
    pub use keygate_core::key::KeyId;
}

use flights::{Flights, Joined};
use key::KeyId;

/// The flights that fail are not modelled.
#[derive(Clone, Copy)]
struct Trouble;

/// What stands for a key: what the server said of it, and what the real one has to tell whether it still holds.
#[derive(Clone)]
struct Found(Arc<Entry>);

struct Entry {
    /// Which write of the server it is of.
    version: u64,
    generation: Generation,
    stamp: Stamp,
}

/// The lease lapsed in the past, and a heartbeat sent after the write would extend it to beyond now.
const LAPSED: Tick = Tick::from_nanos(10);
const NOW: Tick = Tick::from_nanos(15);
const EXTENDED: Tick = Tick::from_nanos(20);

fn id() -> KeyId {
    KeyId::from_bytes([7; 16])
}

fn lease() -> std::sync::Arc<Lease> {
    std::sync::Arc::new(Lease::until(LAPSED))
}

fn stamp(generation: u64, lease: &std::sync::Arc<Lease>) -> Stamp {
    Stamp::new(generation, &Read::leased((), Tick::from_nanos(5), std::sync::Arc::clone(lease)))
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Every order with up to five switches that no thread asked for: seconds. Without a bound one model takes minutes.
    builder.preemption_bound = Some(5);
    builder.check(model);
}

/// Word of a change marks, and then the heartbeat's answer extends the lease. Who finds the lease extended finds the
/// mark.
#[test]
fn who_sees_the_lease_extended_sees_the_changes_told_before() {
    check(|| {
        let (generation, lease) = (Arc::new(Generation::new()), lease());
        let stamp = stamp(generation.current(), &lease);
        let told = {
            let (generation, lease) = (Arc::clone(&generation), std::sync::Arc::clone(&lease));
            thread::spawn(move || {
                generation.advance();
                lease.extend(EXTENDED);
            })
        };
        assert!(!stamp.is_current(&generation, NOW), "it is believed under a lease from before the change");
        told.join().unwrap();
        assert!(lease.is_live(NOW));
        assert!(!stamp.is_current(&generation, NOW));
    });
}

/// The same for what is believed while the store fails: a bound that was extended after the change does not count.
#[test]
fn who_sees_how_far_a_lease_reached_sees_the_changes_told_before() {
    check(|| {
        let (generation, lease) = (Arc::new(Generation::new()), lease());
        let stamp = stamp(generation.current(), &lease);
        let told = {
            let (generation, lease) = (Arc::clone(&generation), std::sync::Arc::clone(&lease));
            thread::spawn(move || {
                generation.advance();
                lease.extend(EXTENDED);
                lease.end();
            })
        };
        // 10 + 4 is over; 20 + 4 is not.
        assert!(!stamp.may_be_stale(&generation, NOW, Duration::from_nanos(4)));
        told.join().unwrap();
        assert!(!stamp.may_be_stale(&generation, NOW, Duration::from_nanos(4)));
    });
}

#[test]
fn a_lease_that_has_ended_is_not_revived() {
    check(|| {
        let lease = lease();
        let late = {
            let lease = std::sync::Arc::clone(&lease);
            thread::spawn(move || lease.extend(EXTENDED))
        };
        let later = {
            let lease = std::sync::Arc::clone(&lease);
            thread::spawn(move || lease.extend(EXTENDED.after(Duration::from_nanos(5))))
        };
        lease.end();
        assert!(!lease.is_live(NOW) && lease.has_ended());
        late.join().unwrap();
        later.join().unwrap();
        assert!(!lease.is_live(NOW) && lease.has_ended());
    });
}

/// Two heartbeats' answers, acted on at once: the lease is the longer one.
#[test]
fn a_lease_is_never_shortened_by_being_extended() {
    check(|| {
        let lease = lease();
        let other = {
            let lease = std::sync::Arc::clone(&lease);
            thread::spawn(move || lease.extend(Tick::from_nanos(12)))
        };
        lease.extend(EXTENDED);
        assert!(lease.is_live(NOW));
        other.join().unwrap();
        assert!(lease.is_live(NOW) && lease.reached() == EXTENDED);
    });
}

/// A server with one key, and a cache that keeps it.
struct World {
    /// How often the key was written.
    server: AtomicU64,
    flights: Flights,
    kept: Mutex<Option<Found>>,
    /// What was let go of. As `Departed`, but that it holds it fast.
    departed: Mutex<Vec<Found>>,
    lease: std::sync::Arc<Lease>,
}

impl World {
    fn new() -> Self {
        let (kept, departed) = (Mutex::new(None), Mutex::new(Vec::new()));
        Self { server: AtomicU64::new(0), flights: Flights::new(), kept, departed, lease: lease() }
    }

    fn kept(&self) -> Option<Found> {
        self.kept.lock().unwrap().clone()
    }

    /// As `Cache::land` does. Nothing, if another reads already.
    fn load(&self) -> Option<Found> {
        let Joined::Pilot(landing) = self.flights.join(id()) else { return None };
        let version = self.server.load(Ordering::SeqCst);
        let found = Found(Arc::new(Entry { version, generation: Generation::new(), stamp: stamp(0, &self.lease) }));
        landing.land(found.clone(), |changed| {
            if changed {
                found.0.generation.advance();
                return;
            }
            let mut kept = self.kept.lock().unwrap();
            if let Some(before) = kept.replace(found.clone()) {
                // As `Departures` does for what another takes the place of.
                self.departed.lock().unwrap().push(before);
            }
        });
        Some(found)
    }

    /// As `Cache::changed` does.
    fn change(&self) {
        self.flights.change(id(), || {
            let kept = self.kept.lock().unwrap().take();
            let departed = std::mem::take(&mut *self.departed.lock().unwrap());
            for found in kept.iter().chain(&departed) {
                found.0.generation.advance();
            }
        });
    }

    /// As `Departures` does for what there is no room for, within the lock that it is taken out under.
    fn evict(&self) {
        let mut kept = self.kept.lock().unwrap();
        if let Some(found) = kept.take() {
            self.departed.lock().unwrap().push(found);
        }
    }

    /// The write, its word, and the answer of a heartbeat that was sent after it.
    fn write(&self) {
        self.server.fetch_add(1, Ordering::SeqCst);
        self.change();
        if let Some(found) = self.kept() {
            assert!(found.0.version == 1 || found.0.generation.current() != 0, "what is kept is of before the change");
        }
        self.lease.extend(EXTENDED);
    }
}

/// What is believed under the lease that was extended after the change is of after the change.
fn assert_of_after_the_change(found: &Found) {
    let Entry { version, generation, stamp } = &*found.0;
    assert!(*version == 1 || !stamp.is_current(generation, NOW), "what is of before the change is believed");
}

/// The change of a key, and the landing of what was read of it, in every order.
#[test]
fn once_a_change_was_told_nothing_from_before_it_is_believed() {
    check(|| {
        let world = Arc::new(World::new());
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write())
        };
        if let Some(found) = world.load() {
            assert_of_after_the_change(&found);
        }
        writer.join().unwrap();
        if let Some(found) = world.kept() {
            assert_of_after_the_change(&found);
        }
    });
}

/// The same with two who read: the second begins its own read once the change was told, whether or not the first one's
/// has landed.
#[test]
fn a_read_that_a_change_has_overtaken_does_not_replace_a_later_one() {
    check(|| {
        let world = Arc::new(World::new());
        let [writer, reader] = [World::write, |world: &World| {
            world.load().iter().for_each(assert_of_after_the_change);
        }]
        .map(|act: fn(&World)| {
            let world = Arc::clone(&world);
            thread::spawn(move || act(&world))
        });
        world.load().iter().for_each(assert_of_after_the_change);
        writer.join().unwrap();
        reader.join().unwrap();
        world.kept().iter().for_each(assert_of_after_the_change);
        // Nobody is thought to be reading any more.
        assert!(world.load().is_some_and(|found| found.0.version == 1));
    });
}

/// A key that the cache lets go of while a request holds it is found by a change all the same.
#[test]
fn what_was_evicted_before_the_change_is_not_believed_after_it() {
    check(|| {
        let world = Arc::new(World::new());
        let found = world.load().unwrap();
        let evicted = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.evict())
        };
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write())
        };
        assert_of_after_the_change(&found);
        evicted.join().unwrap();
        writer.join().unwrap();
        assert!(world.lease.is_live(NOW));
        assert_of_after_the_change(&found);
    });
}

/// The models can fail: a reader that looks at the mark before the lease misses it.
#[test]
#[should_panic(expected = "believed under a lease from before the change")]
fn a_reader_that_looks_at_the_mark_first_is_found_out() {
    check(|| {
        let (generation, lease) = (Arc::new(Generation::new()), lease());
        let told = {
            let (generation, lease) = (Arc::clone(&generation), std::sync::Arc::clone(&lease));
            thread::spawn(move || {
                generation.advance();
                lease.extend(EXTENDED);
            })
        };
        let current = generation.current() == 0 && lease.is_live(NOW);
        assert!(!current, "it is believed under a lease from before the change");
        told.join().unwrap();
    });
}

/// And a change that only looks at what is kept, and not at what is being read, is found out.
#[test]
#[should_panic(expected = "of before the change is believed")]
fn a_change_that_does_not_tell_reads_under_way_is_found_out() {
    check(|| {
        let world = Arc::new(World::new());
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.server.fetch_add(1, Ordering::SeqCst);
                if let Some(found) = world.kept.lock().unwrap().take() {
                    found.0.generation.advance();
                }
                world.lease.extend(EXTENDED);
            })
        };
        world.load().iter().for_each(assert_of_after_the_change);
        writer.join().unwrap();
        world.kept().iter().for_each(assert_of_after_the_change);
    });
}
