//! One life of one connection, as far as what is read over it is believed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keygate_core::clock::Tick;
use keygate_core::coherence::{Coherence, Lease};
use redis::RedisError;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Of what those who watch are told on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nobody watches.
    Unwatched,
    /// Every change.
    Told,
    /// Nothing: what is read over it is believed for H.
    TimeBound,
}

/// How heartbeats fare. It is said when it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Fresh,
    Registered,
    /// This instance would believe for longer than the deployment allows.
    Above,
    /// The primary may be cut off from its replicas, or from its Cluster.
    CutOff,
    /// The server refuses heartbeats.
    Refused,
}

/// What a connection is believed by. When the connection is given up, its session ends first.
#[derive(Debug)]
pub(crate) struct Session {
    /// Under which it is registered.
    pub(super) id: [u8; 16],
    telling: Telling,
    /// While it is live, what was read over the connection is believed; on one that nobody is told on, while it is live
    /// what is read gets a lease of its own.
    lease: RwLock<Arc<Lease>>,
    is_over: AtomicBool,
    is_cut_off: AtomicBool,
    /// How many heartbeats registered it.
    beats: AtomicU64,
    /// How many instances there were when the last heartbeat was answered; 0 before that.
    instances: AtomicU64,
    standing: Mutex<Standing>,
    wake: Notify,
}

impl Session {
    pub(crate) fn new(telling: Telling) -> Result<Self, RedisError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self {
            id,
            telling,
            lease: RwLock::default(),
            is_over: AtomicBool::new(false),
            is_cut_off: AtomicBool::new(false),
            beats: AtomicU64::new(0),
            instances: AtomicU64::new(0),
            standing: Mutex::default(),
            wake: Notify::new(),
        })
    }

    pub(crate) fn telling(&self) -> Telling {
        self.telling
    }

    /// The lease of what is read from now on.
    pub(crate) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was read so far is not believed again; what is read from now on is, after the next heartbeat, which is sent
    /// at once.
    pub(crate) fn renew(&self) {
        let mut lease = self.lease.write().unwrap_or_else(PoisonError::into_inner);
        lease.end();
        *lease = Arc::new(Lease::new());
        if self.is_over() {
            lease.end();
        }
        self.wake.notify_one();
    }

    /// The connection is not to be used any more.
    pub(crate) fn end(&self) {
        // First, so that a lease that takes the place of the old one meanwhile is ended by whoever comes second.
        self.is_over.store(true, Ordering::SeqCst);
        self.lease.write().unwrap_or_else(PoisonError::into_inner).end();
        self.wake.notify_one();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The next heartbeat is sent at once.
    pub(crate) fn hurry(&self) {
        self.wake.notify_one();
    }

    /// Waits until then, or until it has ended, was renewed or hurried.
    pub(crate) async fn wait_until(&self, moment: Instant) {
        // An error is the moment come.
        let _ = timeout_at(moment, self.wake.notified()).await;
    }

    /// The number of the next heartbeat. One that did not register the session gives its number to the next: who sees a
    /// number two beyond another knows that the one in between ran, and was answered, after that other.
    pub(super) fn next_beat(&self) -> u64 {
        self.beats.load(Ordering::Relaxed) + 1
    }

    /// A heartbeat registered it.
    pub(super) fn registered(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self, instances: u64) {
        self.instances.store(instances, Ordering::Relaxed);
    }

    /// How many instances there are, as the last heartbeat was told; 0 where it was told nothing.
    pub(crate) fn instances(&self) -> u64 {
        self.instances.load(Ordering::Relaxed)
    }

    pub(super) fn set_cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    /// Notes how heartbeats fare, and says whether that has changed.
    pub(super) fn stands(&self, now: Standing) -> bool {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *standing, now) != now
    }

    /// Whether the server said that it may be cut off, so that what it says is not to be believed any more.
    pub(crate) fn is_lost(&self, now: Tick) -> bool {
        self.is_cut_off.load(Ordering::Relaxed) && !self.lease().is_live(now)
    }

    /// How those who watch learn of changes over it.
    pub(crate) fn coherence(&self, lease: std::time::Duration) -> Coherence {
        let now = Tick::now();
        match self.telling {
            Telling::Unwatched => Coherence::None,
            _ if self.is_over() || self.is_lost(now) => Coherence::Unreachable,
            _ if !self.lease().is_live(now) => Coherence::Lapsed,
            Telling::Told => Coherence::Live,
            Telling::TimeBound => Coherence::TimeBound(lease),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewing_ends_what_was_and_nothing_is_renewed_after_the_end() {
        let session = Session::new(Telling::Told).unwrap();
        let first = session.lease();
        first.extend(Tick::FOREVER);
        session.renew();
        let second = session.lease();
        second.extend(Tick::FOREVER);
        assert!(first.has_ended() && second.is_live(Tick::now()));
        session.end();
        session.renew();
        assert!(second.has_ended() && session.lease().has_ended());
        assert_eq!(session.coherence(std::time::Duration::ZERO), Coherence::Unreachable);
    }
}
