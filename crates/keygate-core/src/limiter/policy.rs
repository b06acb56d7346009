//! What clients are told of limits: which there are, and what is left of them.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::key::KeyId;
use crate::limits::Limits;
use crate::names::{OrganizationId, ProjectId, UserId};

/// What a limit is shared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A key, and those it is rotated into.
    Key,
    /// All keys of one user of an organization.
    User,
    /// All keys of a project.
    Project,
    /// All keys of an organization.
    Organization,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Key, Self::User, Self::Project, Self::Organization];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Project => "project",
            Self::Organization => "organization",
        }
    }
}

/// Names a pool: what shares one limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PoolId {
    /// The keys that follow one another by rotation: the first of them.
    Lineage(KeyId),
    /// The keys of a user.
    User(OrganizationId, UserId),
    /// The keys of a project.
    Project(OrganizationId, ProjectId),
    /// The keys of an organization.
    Organization(OrganizationId),
}

impl PoolId {
    /// What it is a pool of.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Lineage(_) => Level::Key,
            Self::User(..) => Level::User,
            Self::Project(..) => Level::Project,
            Self::Organization(_) => Level::Organization,
        }
    }
}

/// What is limited: requests in a window, or those that come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// In one minute.
    Minute,
    /// In one hour.
    Hour,
    /// In one day.
    Day,
    /// In one month.
    Month,
    /// At once.
    Burst,
}

impl Bound {
    /// All of them, the windows first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Burst];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => Window::Minute.as_str(),
            Self::Hour => Window::Hour.as_str(),
            Self::Day => Window::Day.as_str(),
            Self::Month => Window::Month.as_str(),
            Self::Burst => "burst",
        }
    }

    /// Its limit among these.
    #[must_use]
    pub fn limit(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::Minute => limits.per_minute,
            Self::Hour => limits.per_hour,
            Self::Day => limits.per_day,
            Self::Month => limits.per_month,
            Self::Burst => limits.burst,
        }
    }
}

impl From<Window> for Bound {
    fn from(window: Window) -> Self {
        match window {
            Window::Minute => Self::Minute,
            Window::Hour => Self::Hour,
            Window::Day => Self::Day,
            Window::Month => Self::Month,
        }
    }
}

/// One limit, as clients are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// What shares it.
    pub level: Level,
    /// What it limits.
    #[serde(rename = "window")]
    pub bound: Bound,
    /// How much is let in.
    pub limit: u64,
    /// In how many seconds: a month is taken to have 30 days; for a burst, how long an empty bucket takes to fill.
    pub seconds: u64,
}

impl Policy {
    /// The limits of one level, as they are told.
    pub fn of(level: Level, limits: &Limits) -> impl Iterator<Item = Self> + use<> {
        let limits = *limits;
        Bound::ALL.into_iter().filter_map(move |bound| {
            let limit = bound.limit(&limits)?;
            let seconds = match bound {
                Bound::Minute => 60,
                Bound::Hour => 3_600,
                Bound::Day => 86_400,
                Bound::Month => 30 * 86_400,
                Bound::Burst => limit.saturating_mul(60).div_ceil(limits.per_minute.unwrap_or(1).max(1)).max(1),
            };
            Some(Self { level, bound, limit, seconds })
        })
    }
}

impl fmt::Display for Policy {
    /// Its name: `minute`, `organization-day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Key => f.write_str(self.bound.as_str()),
            level => write!(f, "{}-{}", level.as_str(), self.bound.as_str()),
        }
    }
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub policy: Policy,
    /// How much more is let in, as far as this instance knows: other instances may have taken some of it since.
    pub remaining: u64,
    /// When the whole limit is there again.
    pub reset: Duration,
}

impl Standing {
    /// When the whole limit is there again, if it is `now`: of a window, where the calendar has its end. No time is later than
    /// [`MAX_UTC`](DateTime::MAX_UTC).
    #[must_use]
    pub fn resets_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let at = TimeDelta::from_std(self.reset).ok().and_then(|reset| now.checked_add_signed(reset));
        let at = at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        // Beside the end itself, `reset` has in it the time it took to say when that is, and what two clocks differ by.
        let grain = match self.policy.bound {
            Bound::Minute => TimeDelta::minutes(1),
            Bound::Hour => TimeDelta::hours(1),
            Bound::Day | Bound::Month => TimeDelta::days(1),
            Bound::Burst => TimeDelta::seconds(1),
        };
        at.duration_round(grain).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(bound: Bound, reset: Duration) -> Standing {
        let policy = Policy { level: Level::Organization, bound, limit: 1_000, seconds: 86_400 };
        Standing { policy, remaining: 998, reset }
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
            let at = standing(bound, Duration::from_secs(seconds)).resets_at(now);
            assert_eq!(at, end.parse::<DateTime<Utc>>().unwrap(), "{bound:?}");
        }
    }

    #[test]
    fn no_time_is_too_far_away() {
        let now = "2026-02-20T12:30:00Z".parse().unwrap();
        for reset in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(60_000_000_000)] {
            for bound in Bound::ALL {
                assert!(standing(bound, reset).resets_at(now) > now);
            }
        }
    }
}
