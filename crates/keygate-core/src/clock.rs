//! Where the time comes from: a value handed in, so that tests can hold it still.

use std::fmt::Debug;

use chrono::{DateTime, SubsecRound, Utc};

/// A source of the current time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in UTC. It may step backwards when an operator sets the machine's clock.
    fn now(&self) -> DateTime<Utc>;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Times are kept to the millisecond, so that what is written is what is read back.
pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}
