//! When a rotation is due, and what it makes: pure functions of a key and the time.

use chrono::{DateTime, TimeDelta, Utc};

use crate::key::KeyId;
use crate::names::{NameError, PrincipalId};
use crate::record::{Key, KeyStatus, Lineage, Revision, RotationSchedule, StatusChange, Succession, Superseded};

/// When a key's rotation is due by its schedule: an interval after the schedule was set, and early enough that the overlap
/// ends no later than the key. `None` without a schedule, for a key that was superseded already, and for one that is revoked.
#[must_use]
pub fn next_rotation(key: &Key) -> Option<DateTime<Utc>> {
    let schedule = key.rotation_schedule?;
    if key.succession.superseded.is_some() || key.status.status == KeyStatus::Revoked {
        return None;
    }
    let from = key.succession.scheduled_at.unwrap_or(key.created_at);
    let due = from.checked_add_signed(TimeDelta::days(schedule.interval_days.into()))?;
    let overlap = TimeDelta::days(schedule.overlap_days.into());
    let latest = key.expires_at.and_then(|end| end.checked_sub_signed(overlap));
    Some(latest.map_or(due, |latest| due.min(latest)))
}

/// How long a key lives from its making to its end, which is how long its successor is to live.
fn life(key: &Key) -> Option<TimeDelta> {
    key.expires_at.map(|end| end.signed_duration_since(key.created_at))
}

/// Refuses a schedule that a key of this life cannot follow: its successor, which lives as long, would be due again within a
/// day.
pub(crate) fn check_schedule(key: &Key) -> Result<(), NameError> {
    let (Some(RotationSchedule { overlap_days, .. }), Some(life)) = (key.rotation_schedule, life(key)) else {
        return Ok(());
    };
    if life < TimeDelta::days(overlap_days.into()) + TimeDelta::days(1) {
        let problem = "must be at least a day below the time from the key's making to its end";
        return Err(NameError::new("rotation overlap_days", problem));
    }
    Ok(())
}

/// What a rotation makes at `now` of a key and of its successor `id`, which `by` makes.
pub(crate) fn succeed(key: &Key, id: KeyId, by: &PrincipalId, now: DateTime<Utc>, overlap: TimeDelta) -> (Key, Key) {
    let mut old = key.clone();
    old.revision = key.revision.next();
    let end = now.checked_add_signed(overlap).unwrap_or(DateTime::<Utc>::MAX_UTC);
    old.expires_at = Some(key.expires_at.map_or(end, |own| own.min(end)));
    old.succession.superseded = Some(Superseded { successor_id: id, at: now });

    let new = Key {
        id,
        revision: Revision::FIRST,
        created_at: now,
        created_by: by.clone(),
        expires_at: life(key).and_then(|life| now.checked_add_signed(life)),
        // It has begun, or its predecessor could not be in use.
        not_before: key.not_before.filter(|begin| *begin > now),
        status: StatusChange::new(KeyStatus::Active, now, None),
        lineage: Lineage { root: key.lineage.root, generation: key.lineage.generation.saturating_add(1) },
        succession: Succession {
            predecessor_id: Some(key.id),
            superseded: None,
            hand_over: key.succession.hand_over,
            scheduled_at: None,
        },
        ..key.clone()
    };
    (old, new)
}
