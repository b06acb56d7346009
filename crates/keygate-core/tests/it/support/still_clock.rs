//! A clock both of whose times stand still until a test moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::clock::{Clock, Tick};

/// The time on the calendar and the ticks go on together. Clones share them.
#[derive(Debug, Clone)]
pub struct StillClock {
    ticks: Arc<AtomicU64>,
    /// What the calendar was set forward, in nanoseconds.
    set: Arc<AtomicI64>,
}

impl Default for StillClock {
    fn default() -> Self {
        Self::new()
    }
}

impl StillClock {
    /// A second after the beginning of its ticks.
    pub fn new() -> Self {
        Self { ticks: Arc::new(AtomicU64::new(1_000_000_000)), set: Arc::default() }
    }

    pub fn advance(&self, by: Duration) {
        self.ticks.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    /// Sets the calendar back, as an operator does. The ticks go on.
    pub fn set_back(&self, by: Duration) {
        self.set.fetch_sub(i64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> i64 {
        self.now().timestamp_millis()
    }
}

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::nanoseconds(
            i64::try_from(self.ticks.load(Ordering::SeqCst)).unwrap() + self.set.load(Ordering::SeqCst),
        );
        DateTime::from_timestamp(1_767_225_600, 0).unwrap() + passed
    }

    fn tick(&self) -> Tick {
        Tick::from_nanos(self.ticks.load(Ordering::SeqCst))
    }
}
