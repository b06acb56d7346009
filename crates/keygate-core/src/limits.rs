//! What may be asked of a key: requests in fixed UTC windows, and a burst. Recorded here; charged by the
//! [limiter](crate::limiter).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// The largest limit of one window.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;
/// The largest burst.
pub const MAX_BURST: u64 = 1_000_000_000;

/// What becomes of requests while the store is not reached and nothing is held of the limit any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// They are refused: 503.
    #[default]
    Deny,
    /// They are let in, however many. What was let in is counted once the store is reached again.
    Open,
    /// Each instance lets in its share: what was left when the store was last heard, and in later windows the limit, divided
    /// by the number of instances. What was let in is counted once the store is reached again.
    LocalShare,
}

impl Fallback {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deny, Self::Open, Self::LocalShare];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Open => "open",
            Self::LocalShare => "local_share",
        }
    }

    /// Whether it is [`Deny`](Self::Deny), the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::Deny
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Fallback {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|fallback| fallback.as_str() == text)
            .ok_or_else(|| NameError::new("limit fallback", "must be deny, open or local_share"))
    }
}

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
    /// What becomes of requests while the store is not reached. [`Fallback::Deny`] if it is not said.
    #[serde(skip_serializing_if = "Fallback::is_default")]
    pub fallback: Fallback,
}

impl Limits {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        per_minute: None,
        per_hour: None,
        per_day: None,
        per_month: None,
        burst: None,
        fallback: Fallback::Deny,
    };

    /// 1,000 a minute, 10,000 an hour, 100,000 a day, bursts of 50: the standard tier's, as in the seed.
    pub const STANDARD: Self = Self {
        per_minute: Some(1_000),
        per_hour: Some(10_000),
        per_day: Some(100_000),
        per_month: None,
        burst: Some(50),
        fallback: Fallback::Deny,
    };

    /// Whether there is none: no window and no burst.
    #[must_use]
    pub fn are_none(&self) -> bool {
        let Self { per_minute, per_hour, per_day, per_month, burst, fallback: _ } = self;
        [per_minute, per_hour, per_day, per_month, burst].into_iter().all(Option::is_none)
    }

    /// Says which limit is out of range.
    ///
    /// # Errors
    /// When a limit is 0 or above [`MAX_LIMIT`], a burst is above [`MAX_BURST`], or there is one without a per-minute rate
    /// to refill it.
    pub fn check(&self) -> Result<(), NameError> {
        let named = [
            ("limit per_minute", self.per_minute, MAX_LIMIT),
            ("limit per_hour", self.per_hour, MAX_LIMIT),
            ("limit per_day", self.per_day, MAX_LIMIT),
            ("limit per_month", self.per_month, MAX_LIMIT),
            ("limit burst", self.burst, MAX_BURST),
        ];
        for (field, limit, most) in named {
            if limit.is_some_and(|limit| limit == 0 || limit > most) {
                return Err(NameError::new(field, format!("must be 1 to {most}; to stop a key, deactivate it")));
            }
        }
        if self.burst.is_some() && self.per_minute.is_none() {
            return Err(NameError::new("limit burst", "needs a per_minute limit, at whose rate it refills"));
        }
        Ok(())
    }

    /// The first of them by which more is let in than these others let in.
    pub(crate) fn first_beyond(&self, others: &Self) -> Option<&'static str> {
        let more = |own: Option<u64>, most: Option<u64>| most.is_some_and(|most| own.is_none_or(|own| own > most));
        let of_store = self.fallback != others.fallback;
        [
            ("per_minute", more(self.per_minute, others.per_minute)),
            ("per_hour", more(self.per_hour, others.per_hour)),
            ("per_day", more(self.per_day, others.per_day)),
            ("per_month", more(self.per_month, others.per_month)),
            ("burst", more(self.burst, others.burst)),
            ("fallback", of_store && self.fallback != Fallback::Deny && others.fallback != Fallback::Open),
        ]
        .into_iter()
        .find_map(|(name, is_beyond)| is_beyond.then_some(name))
    }
}
