//! What is left of limits. The document of it is the management API's.

use chrono::{DateTime, Utc};
use keygate::limiter::policy::Standing;
use keygate::record::Key;
use serde::{Deserialize, Serialize};

/// What is left of one limit. The words are texts, as a newer server may have more of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitLeft {
    /// What shares it: `key`, `user`, `project` or `organization`.
    pub(crate) level: String,
    /// What it limits: `minute`, `hour`, `day`, `month` or `burst`.
    pub(crate) window: String,
    /// How much is let in.
    pub(crate) limit: u64,
    /// How much more is.
    pub(crate) remaining: u64,
    /// When the whole limit is there again.
    pub(crate) resets_at: DateTime<Utc>,
}

/// A key, and what is left of its limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShownKey {
    #[serde(flatten)]
    pub(crate) key: Key,
    /// Of the key, its user, its project and its organization; an older server does not say.
    #[serde(default)]
    pub(crate) limits_left: Vec<LimitLeft>,
}

impl LimitLeft {
    /// What is left of these limits, now.
    pub(super) fn all(standings: &[Standing]) -> Vec<Self> {
        let now = Utc::now();
        standings.iter().map(|standing| Self::of(standing, now)).collect()
    }

    fn of(standing: &Standing, now: DateTime<Utc>) -> Self {
        let Standing { policy, remaining, reset: _ } = *standing;
        Self {
            level: policy.level.as_str().to_owned(),
            window: policy.bound.as_str().to_owned(),
            limit: policy.limit,
            remaining,
            resets_at: standing.resets_at(now),
        }
    }
}
