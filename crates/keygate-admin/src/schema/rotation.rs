//! How far a key's rotation has come.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::key::{KeyShape, KeyStateShape};
use super::values::KeyIdShape;

/// A key that was rotated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RotatedKey)]
pub(crate) struct RotatedKeyShape {
    /// The key that was rotated.
    old_key_id: KeyIdShape,
    /// Its successor.
    new_key_id: KeyIdShape,
    /// The successor itself, for its owner. Null in the answer to a rotation that was answered before.
    #[schema(required)]
    key: Option<String>,
    /// Until when the old key is good.
    overlap_expires_at: DateTime<Utc>,
    /// What is kept of the successor.
    successor: KeyShape,
}

/// Where a key is in its rotation: its schedule, if it has one, and the keys before and after it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RotationStatus)]
pub(crate) struct RotationStatusShape {
    /// The key.
    key_id: KeyIdShape,
    /// Counts the key's writes. It is the `ETag`, in quotes.
    #[schema(minimum = 1)]
    revision: u64,
    /// How many rotations came before it.
    generation: u32,
    /// Days between rotations, with a schedule.
    #[schema(required = false, nullable = false, minimum = 1, maximum = 3650)]
    interval_days: Option<u32>,
    /// Days of warning before one, with a schedule.
    #[schema(required = false, nullable = false, maximum = 3649)]
    warning_days: Option<u32>,
    /// Whether it happens by itself, with a schedule.
    #[schema(required = false, nullable = false)]
    auto_rotate: Option<bool>,
    /// Whether the key's owner is told, with a schedule.
    #[schema(required = false, nullable = false)]
    notify_users: Option<bool>,
    /// Days the old key stays valid, with a schedule.
    #[schema(required = false, nullable = false, maximum = 365)]
    overlap_days: Option<u32>,
    /// When it is due to be rotated; null is without a schedule, and of a key that was rotated or is revoked. In the past it
    /// is overdue: nobody has rotated it by hand yet, or its own rotation waits.
    #[schema(required)]
    next_rotation: Option<DateTime<Utc>>,
    /// Whether whoever holds it may claim its successor with it.
    hand_over: bool,
    /// When it was last used; null is never.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
    /// The key that it was made to replace; null is none, or one that was erased.
    #[schema(required)]
    predecessor: Option<OverlappingShape>,
    /// The key that was made to replace it; null is none, or one that was erased.
    #[schema(required)]
    successor: Option<OverlappingShape>,
}

/// The other key of a rotation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverlappingKey)]
pub(crate) struct OverlappingShape {
    /// The key.
    key_id: KeyIdShape,
    /// What it is now.
    state: KeyStateShape,
    /// When it ends, or has ended; null is never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used; null is never.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
}
