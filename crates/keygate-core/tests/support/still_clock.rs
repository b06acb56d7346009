//! A clock both of whose times stand still until a test moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::clock::{Clock, Tick};

/// The time on the calendar and the ticks go on together. Clones share them.
#[derive(Debug, Clone)]
pub struct StillClock(Arc<AtomicU64>);

impl Default for StillClock {
    fn default() -> Self {
        Self::new()
    }
}

impl StillClock {
    /// A second after the beginning of its ticks.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000_000)))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::nanoseconds(i64::try_from(self.0.load(Ordering::SeqCst)).unwrap());
        DateTime::from_timestamp(1_767_225_600, 0).unwrap() + passed
    }

    fn tick(&self) -> Tick {
        Tick::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
