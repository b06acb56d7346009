//! When to try again to connect.

use std::time::{Duration, Instant};

use redis::RedisError;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Those that failed since the last that did not.
#[derive(Default)]
pub(super) struct Attempts {
    failed: u32,
    /// Why the last one failed, and when the next may be made.
    last: Option<(RedisError, Instant)>,
}

impl Attempts {
    /// Whether one may be made now.
    ///
    /// # Errors
    /// Why the last one failed, if not.
    pub(super) fn may_begin(&self) -> Result<(), RedisError> {
        match &self.last {
            Some((error, again)) if Instant::now() < *again => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Notes that one has failed, and says whether it is the first.
    pub(super) fn failed(&mut self, error: &RedisError) -> bool {
        self.failed = self.failed.saturating_add(1);
        self.last = Some((error.clone(), Instant::now() + pause(self.failed)));
        self.failed == 1
    }

    /// How long it is until one may be made, or a moment, not longer than this, when none has failed.
    pub(super) fn wait(&self, longest: Duration) -> Duration {
        match &self.last {
            Some((_, again)) => again.saturating_duration_since(Instant::now()),
            None => pause(0).min(longest),
        }
    }
}

/// How long to wait after so many failed attempts: twice as long each time, three quarters to five quarters of it, so
/// that a fleet does not come back in one wave.
fn pause(failed: u32) -> Duration {
    let whole = SHORTEST_PAUSE.saturating_mul(1 << failed.min(10)).min(LONGEST_PAUSE);
    let mut random = [0];
    let share = if getrandom::fill(&mut random).is_ok() { f64::from(random[0]) / 255.0 } else { 0.5 };
    whole.mul_f64(0.75 + share / 2.0)
}
