//! What a faulty store tells of changes, and how long it vouches for what was read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Lease, Watcher};

/// Between an inner store and those who watch it.
#[derive(Debug)]
pub(crate) struct Word {
    deaf: Arc<AtomicBool>,
    lease: Mutex<Arc<Lease>>,
    /// The inner store holds them weakly.
    ears: Mutex<Vec<Arc<Ear>>>,
}

/// Stands in a watcher's place with the inner store.
#[derive(Debug)]
struct Ear {
    watcher: Weak<dyn Watcher>,
    deaf: Arc<AtomicBool>,
}

impl Watcher for Ear {
    fn changed(&self, change: &Change) {
        if !self.deaf.load(Ordering::SeqCst)
            && let Some(watcher) = self.watcher.upgrade()
        {
            watcher.changed(change);
        }
    }

    fn reached_anew(&self) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.reached_anew();
        }
    }
}

impl Word {
    pub(crate) fn new() -> Self {
        Self { deaf: Arc::default(), lease: Mutex::new(Arc::new(Lease::forever())), ears: Mutex::default() }
    }

    /// What the inner store is to tell in the place of `watcher`.
    pub(crate) fn ear(&self, watcher: Weak<dyn Watcher>) -> Weak<dyn Watcher> {
        let ear = Arc::new(Ear { watcher, deaf: Arc::clone(&self.deaf) });
        let mut ears = self.ears.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| ear.watcher.strong_count() > 0);
        ears.push(Arc::clone(&ear));
        let ear: Weak<Ear> = Arc::downgrade(&ear);
        ear
    }

    pub(crate) fn deafen(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// What is loaded meanwhile comes under a lease that has not begun: under one that has ended, whoever loads would try
    /// the next connection, and there is none.
    pub(crate) fn lapse(&self) {
        let mut lease = self.held();
        lease.end();
        *lease = Arc::new(Lease::new());
    }

    pub(crate) fn renew(&self) {
        let mut lease = self.held();
        lease.end();
        *lease = Arc::new(Lease::forever());
    }

    pub(crate) fn vouch_until(&self, moment: Tick) {
        let mut lease = self.held();
        if lease.has_ended() || lease.reached() > moment {
            lease.end();
            *lease = Arc::new(Lease::until(moment));
        } else {
            lease.extend(moment);
        }
    }

    pub(crate) fn heal(&self) {
        self.deaf.store(false, Ordering::SeqCst);
        let mut lease = self.held();
        if lease.reached() < Tick::from_nanos(2) {
            *lease = Arc::new(Lease::forever());
        }
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.held())
    }

    fn held(&self) -> MutexGuard<'_, Arc<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Debug, Default)]
    struct Counter(AtomicU32);

    impl Watcher for Counter {
        fn changed(&self, _: &Change) {}

        fn reached_anew(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn word_of_a_new_connection_goes_through_whatever_is_lost_of_changes() {
        let (word, counter) = (Word::new(), Arc::new(Counter::default()));
        let watcher: Weak<Counter> = Arc::downgrade(&counter);
        let ear = word.ear(watcher);
        word.deafen();
        ear.upgrade().unwrap().reached_anew();
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_ears_of_those_who_are_gone_go_when_another_comes() {
        let word = Word::new();
        let gone: Weak<Counter> = Arc::downgrade(&Arc::new(Counter::default()));
        let ear = word.ear(gone);
        let counter = Arc::new(Counter::default());
        let watcher: Weak<Counter> = Arc::downgrade(&counter);
        assert!(word.ear(watcher).upgrade().is_some());
        assert!(ear.upgrade().is_none());
    }
}
