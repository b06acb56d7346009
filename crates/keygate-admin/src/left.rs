//! What is left of limits, as answers tell it.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
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
        let Standing { policy, remaining, reset } = *standing;
        let resets_at = TimeDelta::from_std(reset).ok().and_then(|reset| now.checked_add_signed(reset));
        let resets_at = resets_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        Self {
            level: policy.level,
            window: policy.bound,
            limit: policy.limit,
            remaining,
            resets_at: resets_at.duration_round(grain(policy.bound)).unwrap_or(resets_at),
        }
    }
}

/// What the end of a window is a multiple of. Beside the end itself are the time it takes to say when it is, and what two
/// clocks differ by.
fn grain(bound: Bound) -> TimeDelta {
    match bound {
        Bound::Minute => TimeDelta::minutes(1),
        Bound::Hour => TimeDelta::hours(1),
        Bound::Day | Bound::Month => TimeDelta::days(1),
        Bound::Burst => TimeDelta::seconds(1),
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

    fn standing(bound: Bound, reset: Duration) -> Standing {
        let policy = Policy { level: Level::Organization, bound, limit: 1_000, seconds: 86_400 };
        Standing { policy, remaining: 998, reset }
    }

    #[test]
    fn a_limit_is_told_with_what_is_left_and_until_when() {
        let now = "2026-02-20T12:30:00.004Z".parse().unwrap();
        let left = Left::of(&standing(Bound::Minute, Duration::from_millis(59_995)), now);
        let expected = json!({
            "level": "organization", "window": "minute", "limit": 1000, "remaining": 998,
            "resets_at": "2026-02-20T12:31:00Z",
        });
        assert_eq!(serde_json::to_value(left).unwrap(), expected);
    }

    #[test]
    fn a_window_ends_where_the_calendar_has_its_end() {
        let now = "2026-02-20T12:30:17.9Z".parse().unwrap();
        for (bound, seconds, end) in [
            (Bound::Minute, 44, "2026-02-20T12:31:00Z"),
            (Bound::Hour, 1_783, "2026-02-20T13:00:00Z"),
            (Bound::Day, 41_390, "2026-02-21T00:00:00Z"),
            (Bound::Month, 732_600, "2026-03-01T00:00:00Z"),
            (Bound::Burst, 7, "2026-02-20T12:30:25Z"),
        ] {
            let left = Left::of(&standing(bound, Duration::from_secs(seconds)), now);
            assert_eq!(left.resets_at, end.parse::<DateTime<Utc>>().unwrap(), "{bound:?}");
        }
    }

    #[test]
    fn no_time_is_too_far_away() {
        let now = "2026-02-20T12:30:00Z".parse().unwrap();
        for reset in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(60_000_000_000)] {
            for bound in Bound::ALL {
                assert!(Left::of(&standing(bound, reset), now).resets_at > now);
            }
        }
    }
}
