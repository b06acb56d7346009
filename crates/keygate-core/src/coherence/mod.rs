//! May what was read from a store still be believed?
//!
//! Who keeps what it has read [watches](crate::store::Store::watch) the store and is told of every [`Change`]. That alone
//! is not enough: whoever is cut off is told nothing. So every [`Read`] names the [`Lease`] of the connection it came
//! over, and is believed only while that lease is live. A store extends a lease no further than it can vouch for: on
//! Redis, to H after it *sent* a heartbeat that was answered on the connection that changes are told on, before the
//! answer. Suppose something read is still believed later than H after a change had returned to whoever made it. Then a
//! heartbeat sent after the change was answered; on the same stream, before that answer, came word of the change; and it
//! was acted on when the lease was extended. So what was read was marked already: a contradiction.
//!
//! A lease is one life of one connection. When the connection is lost, or goes to a server that may not be the same, its
//! lease [ends](Lease::end) for good and the next connection has another. So what was read over the old one is not
//! believed again by a heartbeat of the new one, and no counter of epochs is compared: the lease is the epoch.

mod change;
mod lease;
mod stamp;

use std::time::Duration;

pub use change::{Change, Watcher, Watchers};
pub use lease::Lease;
pub use stamp::{Generation, Stamp};

use std::sync::Arc;

use crate::clock::Tick;

/// Something that was read, and how long it may be believed.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// When it was asked for. What it says was so then, or later.
    pub sent: Tick,
    /// Until when it may decide the requests that waited for it, which is little after it was asked for.
    pub decides_until: Tick,
    /// While this is live, whoever watches the store is told when it changes. `None`: nobody will be told, so it decides
    /// the requests that waited for it and is not kept.
    pub lease: Option<Arc<Lease>>,
}

impl<T> Read<T> {
    /// Something of whose change nobody will be told.
    pub fn once(value: T, sent: Tick) -> Self {
        Self { value, sent, decides_until: Tick::FOREVER, lease: None }
    }

    /// Something that may be believed while the lease is live.
    pub fn leased(value: T, sent: Tick, lease: Arc<Lease>) -> Self {
        Self { value, sent, decides_until: Tick::FOREVER, lease: Some(lease) }
    }

    /// The same, of another value.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Read<U> {
        let Self { value, sent, decides_until, lease } = self;
        Read { value: map(value), sent, decides_until, lease }
    }
}

/// How those who watch a store learn of changes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coherence {
    /// They do not: every request reads the store.
    None,
    /// In memory, at once: the store is of this process.
    InProcess,
    /// The store tells them, and its lease is live: what was read is believed without asking.
    Live,
    /// The store has not vouched for what was read for longer than its lease: every request reads the store.
    Lapsed,
    /// The store cannot tell anybody. What was read is believed for this long and no longer.
    TimeBound(Duration),
    /// The store is not reached: requests are answered 503.
    Unreachable,
}

impl Coherence {
    /// The word for it: `none`, `in_process`, `live`, `lapsed`, `time_bound`, `unreachable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::InProcess => "in_process",
            Self::Live => "live",
            Self::Lapsed => "lapsed",
            Self::TimeBound(_) => "time_bound",
            Self::Unreachable => "unreachable",
        }
    }
}
