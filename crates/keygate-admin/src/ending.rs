//! Word that the server is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says of an instance of the API that it is about to end, so that `/readyz` sends no more requests its way while it
/// still answers those that come. Clones share the word. Had from [`Admin::ending`](crate::Admin::ending).
#[derive(Debug, Clone, Default)]
pub struct Ending {
    begun: Arc<AtomicBool>,
}

impl Ending {
    /// From now on the instance is not ready. There is no way back.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether it is about to end.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}
