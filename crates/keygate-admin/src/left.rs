//! What is left of limits, as answers tell it.

use chrono::{DateTime, Utc};
use keygate_core::limiter::policy::{Bound, Level, Standing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema::{BoundShape, LevelShape};

/// What is left of one limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LimitLeft)]
pub(crate) struct Left {
    /// What shares it.
    #[schema(value_type = LevelShape)]
    level: Level,
    /// What it limits.
    #[schema(value_type = BoundShape)]
    window: Bound,
    /// How much is let in.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    limit: u64,
    /// How much more is. What other instances of a service hold is not among it, though they may give it back.
    #[schema(maximum = 1_000_000_000_000_u64)]
    remaining: u64,
    /// When the whole limit is there again.
    resets_at: DateTime<Utc>,
}

impl Left {
    fn of(standing: &Standing, now: DateTime<Utc>) -> Self {
        let Standing { policy, remaining, reset: _ } = *standing;
        Self {
            level: policy.level,
            window: policy.bound,
            limit: policy.limit,
            remaining,
            resets_at: standing.resets_at(now),
        }
    }
}

/// What is left of these limits, now.
pub(crate) fn left_of(standings: &[Standing]) -> Vec<Left> {
    let now = Utc::now();
    standings.iter().map(|standing| Left::of(standing, now)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keygate_core::limiter::policy::Policy;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_is_told_with_what_is_left_and_until_when() {
        let now = "2026-02-20T12:30:00.004Z".parse().unwrap();
        let policy = Policy { level: Level::Organization, bound: Bound::Minute, limit: 1_000, seconds: 60 };
        let left = Left::of(&Standing { policy, remaining: 998, reset: Duration::from_millis(59_995) }, now);
        let expected = json!({
            "level": "organization", "window": "minute", "limit": 1000, "remaining": 998,
            "resets_at": "2026-02-20T12:31:00Z",
        });
        assert_eq!(serde_json::to_value(left).unwrap(), expected);
    }
}
