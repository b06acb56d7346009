//! The faults of a proxy, and what it has counted.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::ProxyCounts;

/// What is wrong with the connections at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Cut,
    SwallowAll,
    SwallowReplies,
    SwallowPushes,
    Delay(Duration),
}

/// Which request is the one whose reply is withheld.
#[derive(Debug)]
pub(crate) enum Trap {
    AfterRequests(u32),
    Containing(Vec<u8>),
}

/// What the test and the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) upstream: SocketAddr,
    pub(crate) fault: watch::Sender<Fault>,
    trap: Mutex<Option<Trap>>,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) dropped_replies: AtomicU64,
    pub(crate) bytes_to_server: AtomicU64,
    pub(crate) bytes_to_client: AtomicU64,
}

impl Shared {
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            fault: watch::Sender::new(Fault::None),
            trap: Mutex::default(),
            connections: AtomicU64::default(),
            open: AtomicU64::default(),
            requests: AtomicU64::default(),
            dropped_replies: AtomicU64::default(),
            bytes_to_server: AtomicU64::default(),
            bytes_to_client: AtomicU64::default(),
        }
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    pub(crate) fn set_trap(&self, trap: Option<Trap>) {
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = trap;
    }

    pub(crate) fn counts(&self) -> ProxyCounts {
        ProxyCounts {
            connections: self.connections.load(SeqCst),
            open: self.open.load(SeqCst),
            requests: self.requests.load(SeqCst),
            dropped_replies: self.dropped_replies.load(SeqCst),
            bytes_to_server: self.bytes_to_server.load(SeqCst),
            bytes_to_client: self.bytes_to_client.load(SeqCst),
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// Whether `request` is the one the trap waits for; if so the trap is spent.
    pub(crate) fn springs_trap(&self, request: &[u8]) -> bool {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let springs = match trap.as_mut() {
            None => false,
            Some(Trap::AfterRequests(left)) => {
                *left -= 1;
                *left == 0
            }
            Some(Trap::Containing(needle)) => {
                needle.is_empty() || request.windows(needle.len()).any(|window| window == needle)
            }
        };
        if springs {
            *trap = None;
        }
        springs
    }
}
