//! Limits, and what they are of.

use serde::Serialize;
use utoipa::ToSchema;

/// How much may be asked in each window of UTC; null is without limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct LimitsShape {
    /// In a minute.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_minute: Option<u64>,
    /// In an hour.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_hour: Option<u64>,
    /// In a day.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_day: Option<u64>,
    /// In a calendar month.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_month: Option<u64>,
    /// How many requests may come at once before the rate of the minute spaces them out.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_u64)]
    burst: Option<u64>,
    /// What becomes of requests while the store is not reached; `deny` where it is not said.
    #[schema(required = false, default = "deny")]
    fallback: FallbackShape,
}

/// What becomes of requests while the store is not reached and nothing is held of the limit any more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Fallback)]
pub(crate) enum FallbackShape {
    /// They are refused, with 503.
    Deny,
    /// They are let in, however many, and counted once the store is reached again.
    Open,
    /// Each instance of the service lets in its share of what was left, which is counted once the store is reached again.
    LocalShare,
}

/// What a limit is shared by.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LimitLevel)]
pub(crate) enum LevelShape {
    /// A key, and those it is rotated into.
    Key,
    /// All keys of one user.
    User,
    /// All keys of a project.
    Project,
    /// All keys of an organization.
    Organization,
}

/// What a limit is of: requests in a window of UTC, or those that come at once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LimitWindow)]
pub(crate) enum BoundShape {
    /// In one minute.
    Minute,
    /// In one hour.
    Hour,
    /// In one day.
    Day,
    /// In one month of the calendar.
    Month,
    /// At once.
    Burst,
}
