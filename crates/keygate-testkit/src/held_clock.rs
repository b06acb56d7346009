//! A clock that stands still until a test moves it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use keygate_core::clock::{Clock, Tick};

/// A clock in the test's hand. Clones share the time; it starts at 2026-01-01T00:00:00Z.
///
/// ```
/// use std::time::Duration;
/// use keygate_testkit::HeldClock;
///
/// let clock = HeldClock::new();
/// let before = clock.now();
/// clock.clone().advance(Duration::from_secs(60));
/// assert_eq!((clock.now() - before).num_seconds(), 60);
/// ```
#[derive(Debug, Clone)]
pub struct HeldClock {
    now: Arc<Mutex<DateTime<Utc>>>,
    /// When it began, where its ticks are held as well.
    began: Option<(DateTime<Utc>, Tick)>,
}

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const START: i64 = 1_767_225_600;

impl Default for HeldClock {
    fn default() -> Self {
        Self::new()
    }
}

impl HeldClock {
    /// A clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(DateTime::from_timestamp(START, 0).unwrap_or_default())
    }

    /// A clock at `now`.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now: Arc::new(Mutex::new(now)), began: None }
    }

    /// With ticks that stand still too, and go on as the time does: for how long a window still lasts is counted in them. Not
    /// for what counts on the process's own, such as the end of a lease.
    #[must_use]
    pub fn holding_ticks(self) -> Self {
        let began = Some((self.now(), Tick::now()));
        Self { began, ..self }
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Moves it backward, as an operator who sets the machine's clock does.
    pub fn step_back(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) -= by;
    }

    /// Sets it to any time.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for HeldClock {
    fn now(&self) -> DateTime<Utc> {
        Self::now(self)
    }

    fn tick(&self) -> Tick {
        self.began.map_or_else(Tick::now, |(began, tick)| {
            // Before it began there is nothing to go back to.
            tick.after((Self::now(self) - began).to_std().unwrap_or_default())
        })
    }
}
