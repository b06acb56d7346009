//! What calls answer with beside a key.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::key::{KeyShape, KeyStateShape};
use super::rotation::RotatedKeyShape;
use super::values::{KeyIdShape, ScopeShape};
use crate::left::Left;
use crate::problem::Problem;

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedKey)]
pub(crate) struct CreatedKeyShape {
    /// The key itself, for its owner: it is not kept and cannot be shown again. Null in the answer to a request that was
    /// answered before.
    #[schema(required)]
    key: Option<String>,
    #[serde(flatten)]
    record: KeyShape,
}

/// A key that is looked at by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownKey)]
pub(crate) struct ShownKeyShape {
    #[serde(flatten)]
    record: KeyShape,
    /// What is left of each limit of the key, its user, its project and its organization; empty where nothing is limited.
    /// The `ETag` does not count it.
    limits_left: Vec<Left>,
}

/// A part of a list of keys, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub(crate) struct KeyPageShape {
    /// The keys. A filtered page may be short, or empty, and still have a next one.
    keys: Vec<KeyShape>,
    /// Keys of this part of the list whose records cannot be read: they are damaged, or a newer version has written them.
    unreadable_key_ids: Vec<KeyIdShape>,
    /// What to send as `cursor` for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A key was revoked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revocation)]
pub(crate) struct RevocationShape {
    /// The key.
    key_id: KeyIdShape,
    /// Since when it is refused. A second revocation answers with the first one's time.
    revoked_at: DateTime<Utc>,
    /// How many replicas of the store had the revocation when it answered.
    replicas: u32,
    /// Whether it was on disk; null where the store does not tell.
    #[schema(required)]
    fsynced: Option<bool>,
    /// Whether no instance accepts the key any more. Where it is false the key is revoked all the same: connected
    /// instances have heard of it within milliseconds, and one that is cut off refuses the key when its lease is over.
    confirmed: bool,
}

/// A key to which it was not done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkFailure)]
pub(crate) struct BulkFailureShape {
    /// The key.
    key_id: KeyIdShape,
    /// The stable word for why, as in a problem.
    #[schema(example = "not_found")]
    reason: String,
    /// A sentence for people.
    #[schema(example = "there is no such key")]
    detail: String,
}

/// What came of it: each key that was named, or found, is in one of the two lists, once, in that order. Keys that a filter admits
/// and that were not begun are in neither: `next_cursor` begins with them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkOutcome)]
pub(crate) struct BulkOutcomeShape {
    /// The keys to which it was done; in a dry run, to which it would be.
    successful: Vec<KeyIdShape>,
    /// Those to which it was not.
    failed: Vec<BulkFailureShape>,
    /// Those that were rotated, with the texts of their successors, which are shown this once.
    rotated: Vec<RotatedKeyShape>,
    /// Where the next page of keys begins that `filter` admits; null when there are no more.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The `made_before` of the filter, and in a rotation not later than the page was begun: said again, it leaves the successors
    /// alone. Null where the filter has none.
    #[schema(required)]
    made_before: Option<DateTime<Utc>>,
}

/// The key a call was made with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnKey)]
pub(crate) struct OwnKeyShape {
    #[serde(flatten)]
    record: KeyShape,
    /// What it is now: `active`, since it was let in.
    state: KeyStateShape,
    /// What it may do in the management of keys.
    management: Vec<ManagementPermissionShape>,
    /// What the roles of its user cover: it may do what it was given and one of these covers. Null where nothing caps it.
    #[schema(required)]
    owner_permissions: Option<Vec<ScopeShape>>,
    /// What is left of each limit of the key, its user, its project and its organization after this call; empty where
    /// nothing is limited.
    limits_left: Vec<Left>,
}

/// What a key may be permitted to do in the management of keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManagementPermission)]
pub(crate) enum ManagementPermissionShape {
    /// To see keys.
    #[serde(rename = "keys:read")]
    KeysRead,
    /// To make, change, stop and erase keys.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// To read the fields of keys that are kept encrypted.
    #[serde(rename = "keys:sensitive")]
    KeysSensitive,
    /// To ask whether a key is valid.
    #[serde(rename = "keys:verify")]
    KeysVerify,
    /// To see what keys were used for.
    #[serde(rename = "usage:read")]
    UsageRead,
    /// To see who did what.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// To change one's own organization's settings.
    #[serde(rename = "organization:settings")]
    OrganizationSettings,
    /// To set organizations up, suspend them and set their quotas: the operator's alone.
    #[serde(rename = "organizations:write")]
    OrganizationsWrite,
    /// To bring in keys that were made elsewhere: the operator's alone.
    #[serde(rename = "keys:import")]
    KeysImport,
}

/// A problem of what is asked for; of a key that would not be within a policy, with the rule and whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PolicyProblem)]
pub(crate) struct PolicyProblemShape {
    #[serde(flatten)]
    problem: Problem,
    /// The rule, by the name of its field.
    #[schema(required = false, example = "longest_life_days")]
    policy: String,
    /// Whose policy it is.
    #[schema(required = false)]
    level: PolicyLevelShape,
}

/// Whose policy it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PolicyLevel)]
pub(crate) enum PolicyLevelShape {
    /// The organization's.
    Organization,
    /// The project's.
    Project,
    /// The user's.
    User,
}

/// A problem of limits that have no room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitProblem)]
pub(crate) struct LimitProblemShape {
    #[serde(flatten)]
    problem: Problem,
    /// The names of those limits, as `RateLimit-Policy` has them.
    #[serde(rename = "violated-policies")]
    #[schema(example = json!(["minute", "organization-day"]))]
    violated_policies: Vec<String>,
}
