//! Who watches a store, and on which terms: what all its connections have in common.

use std::sync::{PoisonError, RwLock, Weak};
use std::time::Duration;

use keygate_core::coherence::{Watcher, Watchers};

use super::session::Telling;
use crate::layout::Layout;
use crate::settings::{SettingsError, Terms};

/// Those who watch, and how.
#[derive(Debug)]
pub(crate) struct Audience {
    pub(crate) layout: Layout,
    pub(crate) watchers: Watchers,
    terms: RwLock<Terms>,
}

impl Audience {
    pub(crate) fn new(layout: Layout, terms: Terms) -> Self {
        Self { layout, watchers: Watchers::new(), terms: RwLock::new(terms) }
    }

    /// Whether anybody watches.
    pub(crate) fn is_there(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Adds one, and says whether what this instance believes at the longest is longer with it.
    pub(crate) fn add(&self, watcher: Weak<dyn Watcher>, stale: Duration) -> bool {
        let before = self.watchers.longest_stale();
        self.watchers.add(watcher, stale);
        self.watchers.longest_stale() > before
    }

    pub(crate) fn terms(&self) -> Terms {
        *self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change_terms(
        &self,
        change: impl FnOnce(&mut Terms) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        change(&mut self.terms.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The longest that something is believed that was read over a connection of this kind, counted from the last
    /// heartbeat that was answered.
    pub(super) fn bound(&self, telling: Telling) -> Duration {
        let lease = self.terms().lease;
        let fresh = match telling {
            Telling::Told => lease,
            // Read at the end of one lease, and believed for another.
            Telling::TimeBound | Telling::Unwatched => 2 * lease,
        };
        fresh + self.watchers.longest_stale()
    }
}
