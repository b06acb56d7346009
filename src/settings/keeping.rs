//! How much is kept in memory, and how long it may be believed.

use std::time::Duration;

use keygate_core::manager::DEFAULT_CACHE_CAPACITY;

use super::{SettingError, whole_number};

const CAPACITY: &str = "KEYGATE_CACHE_CAPACITY";
const LEASE: &str = "KEYGATE_LEASE_MS";
const STALE: &str = "KEYGATE_STALE_IF_ERROR_MS";
const MAXIMUM: &str = "KEYGATE_MAX_STALENESS_MS";

const MOST_KEYS: u64 = 100_000_000;

/// `KEYGATE_CACHE_CAPACITY`, `KEYGATE_LEASE_MS`, `KEYGATE_STALE_IF_ERROR_MS` and `KEYGATE_MAX_STALENESS_MS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keeping {
    /// How many keys are kept; 0 keeps none.
    pub capacity: usize,
    /// H, for how long an instance that is cut off from Redis believes what it kept.
    pub lease: Duration,
    /// For how long beyond that it goes on while the store fails; zero, unless the operator chose otherwise.
    pub stale_if_error: Duration,
    /// The deployment's maximum of both together, which a confirmed revocation may wait for.
    pub max_staleness: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            capacity: DEFAULT_CACHE_CAPACITY,
            lease: Duration::from_millis(1000),
            stale_if_error: Duration::ZERO,
            max_staleness: Duration::from_millis(5000),
        }
    }
}

impl Keeping {
    pub(super) fn read(
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
    ) -> Result<Self, SettingError> {
        let default = Self::default();
        let number = |name, least: u64, most: u64| whole_number(name, lookup(name)?, least..=most);
        let millis = |name, least, most| Ok::<_, SettingError>(number(name, least, most)?.map(Duration::from_millis));
        let keeping = Self {
            capacity: number(CAPACITY, 0, MOST_KEYS)?.map_or(default.capacity, |number| number as usize),
            lease: millis(LEASE, 100, 60_000)?.unwrap_or(default.lease),
            stale_if_error: millis(STALE, 0, 3_600_000)?.unwrap_or(default.stale_if_error),
            max_staleness: millis(MAXIMUM, 100, 3_600_000)?.unwrap_or(default.max_staleness),
        };
        let Self { lease, stale_if_error, max_staleness, .. } = keeping;
        if lease > max_staleness {
            return Err(above(LEASE, lease, max_staleness));
        }
        if lease + stale_if_error > max_staleness {
            return Err(above(STALE, lease + stale_if_error, max_staleness));
        }
        Ok(keeping)
    }
}

fn above(name: &'static str, bound: Duration, maximum: Duration) -> SettingError {
    let (bound, maximum) = (bound.as_millis(), maximum.as_millis());
    let sum = if name == STALE { format!("together with {LEASE} comes to {bound} ms, which ") } else { String::new() };
    SettingError::new(name, format!("{sum}is above {MAXIMUM}, which is {maximum}; lower the one or raise the other"))
}
