//! What is said in the log of each administrative act: who did what to which key; never a secret. Names are written
//! with their `Debug` form, which escapes what a terminal would obey.

use crate::actor::Actor;
use crate::record::Key;

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

pub(super) fn updated(actor: &Actor, key: &Key, changed: &[&'static str]) {
    act!(actor, key, "updated", revision = %key.revision, changed = ?changed);
}

pub(super) fn status_set(actor: &Actor, key: &Key) {
    act!(actor, key, "status set", status = %key.status.status, reason = ?key.status.reason);
}

pub(super) fn deleted(actor: &Actor, key: &Key) {
    act!(actor, key, "deleted");
}

pub(super) fn redigested(key: &Key) {
    tracing::info!(target: "keygate::admin", key_id = %key.id, "key moved to the current ring entry");
}
