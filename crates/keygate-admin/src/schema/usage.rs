//! What keys were used for.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::values::{KeyIdShape, OrganizationIdShape, ProjectIdShape, UserIdShape};

/// The steps of a series, in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Granularity)]
pub(crate) enum GranularityShape {
    /// Hours, of the last 8 days.
    Hour,
    /// Days, of the last 400.
    Day,
    /// Months, the last 36.
    Month,
}

/// What a key, a user, a project or an organization was used for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageReport)]
pub(crate) struct UsageReportShape {
    /// The organization.
    organization_id: OrganizationIdShape,
    /// The key, of a report of one.
    #[schema(required = false, nullable = false)]
    key_id: Option<KeyIdShape>,
    /// The user, of a report of one.
    #[schema(required = false, nullable = false)]
    user_id: Option<UserIdShape>,
    /// The project, of a report of one.
    #[schema(required = false, nullable = false)]
    project_id: Option<ProjectIdShape>,
    /// When the first step begins.
    from: DateTime<Utc>,
    /// When the last one ends.
    to: DateTime<Utc>,
    /// What the steps are.
    granularity: GranularityShape,
    /// Requests in these steps.
    requests: u64,
    /// Requests in each of them, the oldest first; none is left out.
    series: Vec<StepShape>,
    /// What became of the requests, as far as it is kept.
    breakdown: BreakdownShape,
    /// How many different client addresses there were, in this month and the two before it, as far as there were any.
    addresses: Vec<AddressesShape>,
    /// Since the first request.
    total: TotalsShape,
    /// When it was last used: let in or not. Null is never.
    #[schema(required)]
    last_used: Option<UsedShape>,
    /// The last denial, or answer of 4xx or 5xx. Null is none.
    #[schema(required)]
    last_error: Option<FailedShape>,
    /// Of an organization, the keys that were used most in the month of the last step.
    #[schema(required = false, max_items = 10)]
    most_used: Vec<KeyUseShape>,
}

/// A step of a series.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageStep)]
pub(crate) struct StepShape {
    /// When it begins.
    start: DateTime<Utc>,
    /// How many requests there were.
    requests: u64,
}

/// What became of the requests of some days. It is kept by the day, for 35 days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageBreakdown)]
pub(crate) struct BreakdownShape {
    /// When the first of the days begins.
    from: DateTime<Utc>,
    /// When the last one ends.
    to: DateTime<Utc>,
    /// Requests on these days.
    requests: u64,
    /// Those that were denied, or answered 4xx or 5xx.
    errors: u64,
    /// What their keys' checks came to: `admitted`, or the reason of the denial.
    by_outcome: Vec<ShareShape>,
    /// How those that were let in were answered: `2xx` and so on, or `cancelled`. Fewer than were admitted: those that are
    /// being answered, and those that nobody reported of.
    by_status: Vec<ShareShape>,
    /// The routes they were for, and `other`.
    by_endpoint: Vec<ShareShape>,
    /// The places they came from, and `other`.
    by_location: Vec<ShareShape>,
}

/// How many of the requests are of one kind. Lists of them begin with the greatest.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageShare)]
pub(crate) struct ShareShape {
    /// The kind.
    #[schema(example = "admitted")]
    name: String,
    /// How many.
    requests: u64,
}

/// How many different client addresses there were in a month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageAddresses)]
pub(crate) struct AddressesShape {
    /// When the month begins.
    month: DateTime<Utc>,
    /// Exact up to 64, and beyond that estimated, to some 2 %.
    addresses: u64,
}

/// All there was since the first request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTotals)]
pub(crate) struct TotalsShape {
    /// All requests.
    requests: u64,
    /// Those that were denied, or answered 4xx or 5xx.
    errors: u64,
    /// What their keys' checks came to.
    by_outcome: Vec<ShareShape>,
    /// How they were answered.
    by_status: Vec<ShareShape>,
}

/// The last use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastUse)]
pub(crate) struct UsedShape {
    /// When.
    at: DateTime<Utc>,
    /// The client's address, where it is known.
    #[schema(required, value_type = Option<String>, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// Where that is, where a resolver says so.
    #[schema(required, example = "DE")]
    location: Option<String>,
}

/// The last error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastError)]
pub(crate) struct FailedShape {
    /// When.
    at: DateTime<Utc>,
    /// The reason of the denial, or the class of the status.
    #[schema(example = "rate_limit_exceeded")]
    reason: String,
}

/// How much a key was used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyUse)]
pub(crate) struct KeyUseShape {
    /// The key.
    key_id: KeyIdShape,
    /// How many requests it made.
    requests: u64,
}
