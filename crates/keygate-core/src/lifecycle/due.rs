//! When something is to be done to a key by itself.

use chrono::{DateTime, Utc};

use super::next_rotation;
use crate::record::{KeyRecord, KeyStatus};

/// When something is next to be done to a key by whoever [runs the schedules](crate::manager::ApiKeyManager::run_schedules):
/// it is to be rotated, what was offered to its holder and is over is to be taken
/// out of its record, or it is to be looked at whether there is [something to tell](crate::notice) of it. A store lists keys
/// by it.
#[must_use]
pub fn due(record: &KeyRecord) -> Option<DateTime<Utc>> {
    if record.key.status.status == KeyStatus::Revoked {
        return None;
    }
    let is_automatic = record.key.rotation_schedule.is_some_and(|schedule| schedule.auto_rotate);
    let rotation = if is_automatic { next_rotation(&record.key) } else { None };
    let withdrawal = record.offer.as_ref().and(record.key.expires_at);
    rotation.into_iter().chain(withdrawal).chain(record.look_at).min()
}
