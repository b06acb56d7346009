//! What the cache does, counted.

use std::sync::atomic::AtomicU64;

use serde::Serialize;

use crate::striped::Striped;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Striped,
    pub(crate) misses: Striped,
    pub(crate) loads: Striped,
    pub(crate) parent_loads: Striped,
    pub(crate) evictions: AtomicU64,
    pub(crate) changes: Striped,
    pub(crate) stale: Striped,
}

/// What a manager's cache has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Requests decided from what was kept.
    pub hits: u64,
    /// Requests with a genuine tag that were not.
    pub misses: u64,
    /// Reads of a key's record. Fewer than the misses, where several waited for one.
    pub loads: u64,
    /// Reads of organizations and projects.
    pub parent_loads: u64,
    /// Keys that went because there was no room for them.
    pub evictions: u64,
    /// Changes that the store told of.
    pub changes: u64,
    /// Requests decided from what was kept while the store failed.
    pub stale: u64,
    /// Keys kept now.
    pub entries: u64,
    /// The most keys kept.
    pub capacity: u64,
}
