//! Revocations that a failover of the store has forgotten.
//!
//! A store may acknowledge a revocation and fail over to a replica that never had it. Every instance was told of it, and
//! remembers it for longer than replicas are behind: it refuses the key, and revokes it again.

use super::Inner;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::coherence::Read;
use crate::key::KeyId;
use crate::names::Reason;
use crate::record::{KeyRecord, KeyStatus, StatusChange};
use crate::store::Store;

impl Inner {
    /// What the store says of a key that was revoked, put right: it stays revoked, whether or not the store can be told.
    pub(super) async fn still_revoked(&self, read: Read<Option<KeyRecord>>) -> Read<Option<KeyRecord>> {
        match &read.value {
            Some(record) if record.key.status.status != KeyStatus::Revoked => {
                let revoked = revoke_again(&self.cache, &*self.store, &*self.clock, record).await;
                // A revocation is final, so this may decide however long it took.
                Read::once(Some(revoked), read.sent)
            }
            _ => read,
        }
    }
}

/// Looks after all keys that are remembered to be revoked.
pub(crate) async fn repair_all(cache: &Cache, store: &dyn Store, clock: &dyn Clock) {
    for id in cache.revoked_ids() {
        match store.record(id).await {
            Ok(Some(record)) if record.key.status.status != KeyStatus::Revoked => {
                revoke_again(cache, store, clock, &record).await;
            }
            Ok(_) => {}
            // It is asked again when the store is reached anew, and of each key that is used.
            Err(_) => return,
        }
    }
}

async fn revoke_again(cache: &Cache, store: &dyn Store, clock: &dyn Clock, record: &KeyRecord) -> KeyRecord {
    let id: KeyId = record.key.id;
    let reason = Reason::new("revoked before the store failed over").ok();
    let change = StatusChange::new(KeyStatus::Revoked, clock.now(), reason);
    match store.set_status(&record.key.organization, id, &change).await {
        Ok(written) => {
            tracing::error!(key_id = %id, "the store had forgotten that this key was revoked; it is revoked again");
            written.record
        }
        Err(error) => {
            cache.complaints().revocation_forgotten.at(clock.tick(), |unsaid| {
                tracing::error!(
                    key_id = %id,
                    %error,
                    unsaid,
                    "the store has forgotten that this key was revoked, and it could not be revoked again; it is refused here"
                );
            });
            let mut record = record.clone();
            record.key.status = change;
            record
        }
    }
}
