//! Where the time comes from: a value handed in, so that tests can hold it still.
//!
//! There are two times. What people agreed on (a key's end) is on the calendar, which operators set forwards and
//! backwards; how long something may still be believed is counted in [`Tick`]s, which only go on.

use std::fmt::{self, Debug};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};

/// A source of the current time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in UTC. It may step backwards when an operator sets the machine's clock.
    fn now(&self) -> DateTime<Utc>;

    /// Now, on the clock that only goes on. Every part of a process counts on the same one, so a clock that is held for
    /// tests need not hold this.
    fn tick(&self) -> Tick {
        Tick::now()
    }

    /// Now, in UTC, by one who has just asked for the [`tick`](Self::tick). It may be behind a clock that was set by a tenth
    /// of a second, for the price of an addition in the place of a second look at a clock.
    fn now_at(&self, tick: Tick) -> DateTime<Utc> {
        let _ = tick;
        self.now()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn now_at(&self, tick: Tick) -> DateTime<Utc> {
        /// What the calendar is ahead of the ticks, in nanoseconds, and when that was found.
        static AHEAD: AtomicI64 = AtomicI64::new(0);
        static FOUND: AtomicU64 = AtomicU64::new(0);
        let found = FOUND.load(Ordering::Acquire);
        if found == 0 || tick.since(Tick::from_nanos(found)) > AHEAD_FOR {
            let (now, tick) = (Utc::now(), Tick::now());
            let ahead = |nanos: i64| nanos.checked_sub(i64::try_from(tick.as_nanos()).ok()?);
            // Beyond the year 2262 there are no nanoseconds to count.
            let Some(ahead) = now.timestamp_nanos_opt().and_then(ahead) else { return now };
            AHEAD.store(ahead, Ordering::Release);
            FOUND.store(tick.as_nanos(), Ordering::Release);
            return now;
        }
        let tick = i64::try_from(tick.as_nanos()).unwrap_or(i64::MAX);
        DateTime::from_timestamp_nanos(tick.saturating_add(AHEAD.load(Ordering::Acquire)))
    }
}

/// How long the way from ticks to the calendar is taken to be the same.
const AHEAD_FOR: Duration = Duration::from_millis(100);

/// A moment on this process's monotonic clock, to the nanosecond. It says nothing outside the process. On Linux it
/// stands still while the machine is suspended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// Before every moment there is.
    pub const NEVER: Self = Self(0);
    /// After every moment there will be.
    pub const FOREVER: Self = Self(u64::MAX);

    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        // A second before the first call, so that no moment is `NEVER`.
        let passed = BEGINNING.get_or_init(Instant::now).elapsed().as_nanos();
        Self::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX)).after(Duration::from_secs(1))
    }

    /// The moment so many nanoseconds after [`NEVER`](Self::NEVER), for clocks that tests hold.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds since [`NEVER`](Self::NEVER).
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment this much later; [`FOREVER`](Self::FOREVER) where that is beyond it.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long it has been since an earlier moment; nothing if it is no earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEVER => f.write_str("never"),
            Self::FOREVER => f.write_str("forever"),
            Self(nanos) => Duration::from_nanos(nanos).fmt(f),
        }
    }
}

/// Times are kept to the millisecond, so that what is written is what is read back.
pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_by_the_tick_is_the_calendar() {
        for _ in 0..1_000 {
            let tick = SystemClock.tick();
            let (by_tick, now) = (SystemClock.now_at(tick), SystemClock.now());
            // Whatever the machine did in between, unless somebody sets its clock.
            assert!((now - by_tick).abs() < chrono::TimeDelta::seconds(30), "{now} {by_tick}");
        }
    }
}
