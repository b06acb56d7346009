//! What is said in the log of each administrative act: who did what to which key; never a secret. Names are written
//! with their `Debug` form, which escapes what a terminal would obey.

use crate::actor::Actor;
use crate::names::FieldName;
use crate::record::{Key, Sensitive};
use crate::ring::{EntryId, SealError};

macro_rules! act {
    ($actor:expr, $key:expr, $action:literal $(, $($field:tt)+)?) => {
        tracing::info!(
            target: "keygate::admin",
            action = $action,
            by = %$actor.principal(),
            key_id = %$key.id,
            organization_id = %$key.organization,
            user_id = %$key.user,
            $($($field)+,)?
            concat!("key ", $action)
        )
    };
}

pub(super) fn created(actor: &Actor, key: &Key) {
    act!(actor, key, "created", name = ?key.name, permissions = ?key.permissions, scopes = ?key.scopes);
}

pub(super) fn imported(actor: &Actor, key: &Key) {
    act!(actor, key, "imported", name = ?key.name, permissions = ?key.permissions, scopes = ?key.scopes);
}

pub(super) fn updated(actor: &Actor, key: &Key, changed: &[&'static str]) {
    act!(actor, key, "updated", revision = %key.revision, changed = ?changed);
}

pub(super) fn status_set(actor: &Actor, key: &Key) {
    act!(actor, key, "status set", status = %key.status.status, reason = ?key.status.reason);
}

pub(super) fn deleted(actor: &Actor, key: &Key) {
    act!(actor, key, "deleted");
}

pub(super) fn rotated(actor: &Actor, old: &Key, new: &Key) {
    act!(actor, old, "rotated", successor_id = %new.id, generation = new.lineage.generation, ends = ?old.expires_at);
}

pub(super) fn claimed(old: &Key, new: &Key) {
    let (key_id, successor_id) = (old.id, new.id);
    tracing::info!(target: "keygate::admin", action = "claimed", %key_id, %successor_id, "key handed its successor over");
}

pub(super) fn claimed_in_use(old: &Key, new: &Key) {
    let (key_id, successor_id) = (old.id, new.id);
    tracing::warn!(
        target: "keygate::admin",
        action = "claim refused",
        %key_id,
        %successor_id,
        organization_id = %new.organization,
        "a successor that is in use was claimed again: two may hold its predecessor, and one of them should not"
    );
}

pub(super) fn sensitive_read(actor: &Actor, key: &Key, opened: &Sensitive) {
    act!(actor, key, "sensitive fields read", fields = ?opened);
}

/// `unsaid` is how often it was not said since the last time.
pub(super) fn sensitive_unopened(key: &Key, field: &FieldName, entry: EntryId, problem: &SealError, unsaid: u64) {
    tracing::error!(
        target: "keygate::admin",
        key_id = %key.id,
        organization_id = %key.organization,
        %field,
        %entry,
        %problem,
        unsaid,
        "a sensitive field of a key cannot be opened"
    );
}

pub(super) fn sealed_anew(key: &Key) {
    tracing::info!(target: "keygate::admin", key_id = %key.id, "sensitive fields moved to the current ring entry");
}

pub(super) fn redigested(key: &Key) {
    tracing::info!(target: "keygate::admin", key_id = %key.id, "key moved to the current ring entry");
}
