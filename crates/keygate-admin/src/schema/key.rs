//! What is shown of a key.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::limits::LimitsShape;
use super::values::{
    EnvironmentShape, FieldNameShape, KeyIdShape, NetworkShape, OrganizationIdShape, ProjectIdShape, ScopeShape,
    TagShape, UserIdShape,
};

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyShape {
    /// Its id.
    key_id: KeyIdShape,
    /// Counts its writes. It is the `ETag`, in quotes.
    #[schema(minimum = 1)]
    revision: u64,
    /// The organization it belongs to.
    organization_id: OrganizationIdShape,
    /// Its owner.
    user_id: UserIdShape,
    /// The project it is for; null is none.
    #[schema(required)]
    project_id: Option<ProjectIdShape>,
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "nightly report")]
    name: String,
    /// What it is for.
    #[schema(max_length = 500)]
    description: String,
    /// What its holder may do.
    #[schema(max_items = 64)]
    permissions: Vec<ScopeShape>,
    /// What it may be used on.
    #[schema(max_items = 64)]
    scopes: Vec<ScopeShape>,
    /// What its holder may hand on to keys of their own making.
    #[schema(max_items = 64)]
    grantable: Vec<ScopeShape>,
    /// How much may be asked of it.
    limits: LimitsShape,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Who made it: the id of a key, or a word for the operator.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    created_by: String,
    /// When it ends; null is never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// Before when it is refused; null is from the beginning.
    #[schema(required)]
    not_before: Option<DateTime<Utc>>,
    /// The status its keepers gave it. A key that has ended keeps it: compare `expires_at`.
    status: KeyStatusShape,
    /// Since when it has this status.
    status_changed_at: DateTime<Utc>,
    /// Why it has this status, if somebody said.
    #[schema(required, min_length = 1, max_length = 200)]
    status_reason: Option<String>,
    /// Words it is found by.
    #[schema(max_items = 32)]
    tags: Vec<TagShape>,
    /// Networks it may be used from; empty is anywhere.
    #[schema(max_items = 64)]
    allowed_ips: Vec<NetworkShape>,
    /// Where it may be used.
    environment: EnvironmentShape,
    /// When it is to be rotated; null is without a schedule.
    #[schema(required)]
    rotation: Option<RotationShape>,
    /// How carefully it is kept.
    security_tier: SecurityTierShape,
    /// Its place among rotated keys.
    lineage: LineageShape,
    /// The key that it was made to replace; null is none.
    #[schema(required)]
    predecessor_id: Option<KeyIdShape>,
    /// The key that was made to replace it; null is none. Both are good until it ends.
    #[schema(required)]
    superseded: Option<SupersededShape>,
    /// Whether whoever holds it may claim its successor with it.
    hand_over: bool,
    /// From when its schedule's interval counts; null is from when it was made.
    #[schema(required)]
    scheduled_at: Option<DateTime<Utc>>,
    /// Your own fields.
    #[schema(value_type = Object)]
    metadata: (),
    /// The names of those of your fields that are kept encrypted.
    #[schema(max_items = 32)]
    sensitive_fields: Vec<FieldNameShape>,
}

/// The fields of a key that are kept encrypted, opened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SensitiveFields)]
pub(crate) struct SensitiveFieldsShape {
    /// The key.
    key_id: KeyIdShape,
    /// Its sensitive fields, or the one that was asked for.
    #[schema(value_type = Object, example = json!({"account": "DE02 1203 0000 0000 2020 51"}))]
    sensitive: (),
}

/// The status that its keepers give a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyStatus)]
pub(crate) enum KeyStatusShape {
    /// In use.
    Active,
    /// Stopped, and may be activated again.
    Inactive,
    /// Stopped for good.
    Revoked,
}

/// What a key is now: its status, or expired.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyState)]
pub(crate) enum KeyStateShape {
    /// May be used.
    Active,
    /// Stopped, and may be activated again.
    Inactive,
    /// Stopped for good.
    Revoked,
    /// Ended by itself.
    Expired,
}

/// How carefully a key is kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SecurityTier)]
pub(crate) enum SecurityTierShape {
    /// Under a keyed digest.
    Standard,
    /// Under a slow hash of the keyed digest.
    High,
}

/// When a key is to be rotated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rotation)]
pub(crate) struct RotationShape {
    /// Days between rotations.
    #[schema(minimum = 1, maximum = 3650)]
    interval_days: u32,
    /// Days of warning before one.
    #[schema(maximum = 3649)]
    warning_days: u32,
    /// Whether it happens by itself.
    auto_rotate: bool,
    /// Whether the key's owner is told.
    notify_users: bool,
    /// Days the old key stays valid.
    #[schema(maximum = 365)]
    overlap_days: u32,
}

/// When a key is to be rotated from now on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRotation)]
pub(crate) struct NewRotationShape {
    /// Days between rotations.
    #[schema(minimum = 1, maximum = 3650)]
    interval_days: u32,
    /// Days of warning before one, below `interval_days`.
    #[schema(required = false, default = 7, maximum = 3649)]
    warning_days: u32,
    /// Whether it happens by itself.
    #[schema(required = false, default = false)]
    auto_rotate: bool,
    /// Whether the key's owner is told.
    #[schema(required = false, default = true)]
    notify_users: bool,
    /// Days the old key stays valid.
    #[schema(required = false, default = 7, maximum = 365)]
    overlap_days: u32,
}

/// Which keys follow one another by rotation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lineage)]
pub(crate) struct LineageShape {
    /// The first key of the line.
    root: KeyIdShape,
    /// 0 for the first key, one more for each rotation.
    generation: u32,
}

/// By which key one was replaced.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Superseded)]
pub(crate) struct SupersededShape {
    /// The key that was made to replace it.
    successor_id: KeyIdShape,
    /// When that was.
    at: DateTime<Utc>,
}
