//! What was unusual in the use of keys.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::values::{KeyIdShape, OrganizationIdShape};

/// What something was found by.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Rule)]
pub(crate) enum RuleShape {
    /// Far more requests than at this time of day.
    Volume,
    /// Far more errors than usual.
    ErrorRate,
    /// A place that the key was not used from before.
    NewLocation,
    /// A network that the key was not used from before.
    NewNetwork,
    /// A key that was not used for long.
    DormantAwakened,
    /// A scope that the key was not used for before.
    NewScope,
    /// Many networks in an hour.
    AddressSpread,
}

/// Something unusual in the use of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingShape {
    /// Made of the key, the rule, the value and the day: however often the same is found on a day, it is told once.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "5f0c8a52b7d94e6f8a3b1c2d3e4f5a6b")]
    id: String,
    /// What it was found by.
    rule: RuleShape,
    /// The key.
    key_id: KeyIdShape,
    /// The organization of the key.
    organization_id: OrganizationIdShape,
    /// When it was found.
    at: DateTime<Utc>,
    /// What was used for the first time: the place, the network or the scope.
    #[schema(required = false, nullable = false, example = "203.0.0.0/16")]
    value: Option<String>,
    /// What there was. In the unit of its rule: requests in this hour; the share of errors, 0 to 1; how many such values
    /// were new; days without use; networks in an hour.
    observed: f64,
    /// What there would usually be, in the same unit.
    expected: f64,
    /// From how many observations the expectation is known: hours; requests; days; earlier days of use.
    sample_size: u64,
    /// One sentence for people.
    detail: String,
}

/// A part of a list of findings, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FindingPage)]
pub(crate) struct FindingPageShape {
    /// The findings.
    findings: Vec<FindingShape>,
    /// What to send as `cursor` for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}
