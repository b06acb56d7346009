//! An entry in the table of those that are kept.

use std::sync::Arc;

use super::Entry;

/// An entry as the table holds it. The table clones what it finds, which is where a hit meets its entry: its lines of memory
/// are fetched there.
pub(super) struct Kept(Arc<Entry>);

impl Kept {
    pub(super) fn new(entry: &Arc<Entry>) -> Self {
        Self(Arc::clone(entry))
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.0
    }

    pub(super) fn into_entry(self) -> Arc<Entry> {
        self.0
    }
}

impl Clone for Kept {
    #[inline]
    fn clone(&self) -> Self {
        // Before the count is raised: a processor does not look further ahead than to such a write.
        self.0.fetch();
        Self(Arc::clone(&self.0))
    }
}
