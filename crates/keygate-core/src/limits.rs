//! What may be asked of a key: requests in fixed UTC windows, and a burst. Recorded here; charged by the limiter.

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// The largest limit of one window.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;

/// Limits of one key, user, project or organization, in request cost per window. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Per minute.
    pub per_minute: Option<u64>,
    /// Per hour.
    pub per_hour: Option<u64>,
    /// Per day (UTC).
    pub per_day: Option<u64>,
    /// Per calendar month (UTC).
    pub per_month: Option<u64>,
    /// How many requests may come at once before the per-minute rate spaces them out (GCRA). Needs `per_minute`.
    pub burst: Option<u64>,
}

impl Limits {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { per_minute: None, per_hour: None, per_day: None, per_month: None, burst: None };

    /// 1,000 a minute, 10,000 an hour, 100,000 a day, bursts of 50: the standard tier's, as in the seed.
    pub const STANDARD: Self = Self {
        per_minute: Some(1_000),
        per_hour: Some(10_000),
        per_day: Some(100_000),
        per_month: None,
        burst: Some(50),
    };

    /// Says which limit is out of range.
    ///
    /// # Errors
    /// When a limit is 0 or above [`MAX_LIMIT`], or there is a burst without a per-minute rate to refill it.
    pub fn check(&self) -> Result<(), NameError> {
        let named = [
            ("limit per_minute", self.per_minute),
            ("limit per_hour", self.per_hour),
            ("limit per_day", self.per_day),
            ("limit per_month", self.per_month),
            ("limit burst", self.burst),
        ];
        for (field, limit) in named {
            if limit.is_some_and(|limit| limit == 0 || limit > MAX_LIMIT) {
                return Err(NameError::new(field, format!("must be 1 to {MAX_LIMIT}; to stop a key, deactivate it")));
            }
        }
        if self.burst.is_some() && self.per_minute.is_none() {
            return Err(NameError::new("limit burst", "needs a per_minute limit, at whose rate it refills"));
        }
        Ok(())
    }
}
