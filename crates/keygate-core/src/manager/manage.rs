//! Looking at keys, stopping them, and taking them away.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::act::Act;
use super::create::check_strength;
use super::{ApiKeyManager, Inner, ManageError, events};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::coherence::{Change, Coherence, Watcher};
use crate::key::KeyId;
use crate::names::Reason;
use crate::notice::{Announced, Verdict};
use crate::record::{Key, KeyRecord, KeyStatus, Revision, StatusChange};
use crate::store::{WriteRefusal, Written};

/// A key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Revocation {
    /// The key.
    pub key_id: KeyId,
    /// Since when it is refused. A second revocation answers with the first one's time.
    pub revoked_at: DateTime<Utc>,
    /// How many replicas of the store had the revocation when it answered.
    pub replicas: u32,
    /// Whether it was on disk: `None` where the store does not tell.
    pub fsynced: Option<bool>,
    /// Whether no instance accepts the key any more. `false` after [`revoke`](ApiKeyManager::revoke) says that nobody
    /// waited to know: connected instances have heard of it within milliseconds, and one that is cut off refuses the key
    /// when its lease is over.
    pub confirmed: bool,
}

impl ApiKeyManager {
    /// Shows a key.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, or the store fails.
    pub async fn get(&self, actor: &Actor, id: KeyId) -> Result<Key, ManageError> {
        let record = self.visible(actor, id).await?;
        Ok(self.sealed_anew(record).await.key)
    }

    /// Stops a key until it is activated again. A key that is inactive already stays as it is.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, it is revoked, or the store fails.
    pub async fn deactivate(&self, actor: &Actor, id: KeyId, reason: Option<Reason>) -> Result<Key, ManageError> {
        Ok(self.set_status_of(actor, Action::KeyDeactivate, id, KeyStatus::Inactive, reason).await?.record.key)
    }

    /// Lets a deactivated key be used again. A key that is active already stays as it is.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, it can do what the actor may not grant, it is revoked, or the
    /// store fails.
    pub async fn activate(&self, actor: &Actor, id: KeyId, reason: Option<Reason>) -> Result<Key, ManageError> {
        Ok(self.set_status_of(actor, Action::KeyActivate, id, KeyStatus::Active, reason).await?.record.key)
    }

    /// Stops a key for good. No later write brings it back, whatever revision it was made from. A key that is revoked
    /// already stays as it is, its first reason included.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, or the store fails; it may then have been revoked, and to
    /// revoke it again is safe. Where it cannot be written in the [audit](crate::audit) before, it is revoked all the same.
    pub async fn revoke(&self, actor: &Actor, id: KeyId, reason: Option<Reason>) -> Result<Revocation, ManageError> {
        let written = self.set_status_of(actor, Action::KeyRevoke, id, KeyStatus::Revoked, reason).await?;
        Ok(Revocation {
            key_id: id,
            revoked_at: written.record.key.status.at,
            replicas: written.acknowledgement.replicas,
            fsynced: written.acknowledgement.fsynced,
            confirmed: self.inner.store.coherence() == Coherence::InProcess,
        })
    }

    /// Stops a key for good, and waits until every instance refuses it: until each has said that it heard, or can no
    /// longer believe what it kept. With every instance connected that takes about half a lease (0.5 s by default); with
    /// one that is cut off, as long as that one may believe what it kept, up to the deployment's maximum (5 s by default).
    ///
    /// The answer says whether it was [confirmed](Revocation::confirmed). Where it was not, the key is revoked all the
    /// same. Dropping the future gives up the waiting, not the revocation once that was sent.
    ///
    /// # Errors
    /// As of [`revoke`](Self::revoke).
    pub async fn revoke_confirmed(
        &self,
        actor: &Actor,
        id: KeyId,
        reason: Option<Reason>,
    ) -> Result<Revocation, ManageError> {
        let revocation = self.revoke(actor, id, reason).await?;
        let told = self.inner.store.told_everywhere().await;
        let confirmed = told.unwrap_or_else(|error| {
            tracing::warn!(key_id = %id, %error, "revoked; whether every instance has heard of it is not known");
            false
        });
        Ok(Revocation { confirmed, ..revocation })
    }

    /// Erases a revoked or expired key. With `expected` it is erased only if it still has that revision.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, its revision is another, it is still in use, or the store fails.
    /// Then it may be there still, and an imported key may not be found by its text: to delete it again is safe.
    pub async fn delete(&self, actor: &Actor, id: KeyId, expected: Option<Revision>) -> Result<(), ManageError> {
        let mut act = self.act(actor, Action::KeyDelete, ActTarget::key(id));
        let deleted = self.delete_in(&mut act, actor, id, expected).await;
        act.close(deleted).await
    }

    async fn delete_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        id: KeyId,
        expected: Option<Revision>,
    ) -> Result<(), ManageError> {
        let record = act.find(self, id).await?;
        let key = &record.key;
        if expected.is_some_and(|expected| expected != key.revision) {
            return Err(ManageError::Conflict { found: key.revision });
        }
        if key.status.status != KeyStatus::Revoked && !key.is_expired(self.inner.clock.now()) {
            return Err(ManageError::InUse);
        }
        act.begin(&key.organization, Changes::gone(key)).await?;
        self.mark_erased(key).await?;
        // First, so that an import of its text meanwhile makes another key and not this one again.
        let freed = match &record.lookup {
            Some(lookup) => self.inner.store.free_lookup(lookup, id).await.map(drop),
            None => Ok(()),
        };
        let deleted = match freed {
            Ok(()) => self.inner.store.delete(&key.organization, id, key.revision).await,
            Err(error) => Err(error.into()),
        };
        self.inner.cache.changed(&Change::Key(id));
        if record.lookup.is_some() && deleted.is_err() {
            self.take_lookup_back(id).await;
        }
        deleted?;
        events::deleted(actor, key);
        Ok(())
    }

    /// Takes again what an imported key is found by, if the key is there: somebody changed it at the same moment, or the store
    /// failed to delete it.
    async fn take_lookup_back(&self, id: KeyId) {
        let store = &self.inner.store;
        let taken = match store.record(id).await {
            Ok(Some(KeyRecord { lookup: Some(lookup), .. })) => store.take_lookups(&[(lookup, id)]).await,
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match taken.map(|held| held.into_iter().flatten().find(|held| *held != id)) {
            Ok(None) => {}
            Ok(Some(other)) => {
                tracing::warn!(key_id = %id, %other, "a key is not deleted, and another was imported with its text");
            }
            Err(error) => {
                tracing::warn!(
                    key_id = %id,
                    %error,
                    "a key may not be deleted, and not be found by its text: delete it again"
                );
            }
        }
    }

    /// The record, if it is within the actor's walls: another tenant's is absent, after the same work.
    pub(super) async fn visible(&self, actor: &Actor, id: KeyId) -> Result<KeyRecord, ManageError> {
        let record = self.inner.store.record(id).await?;
        record.filter(|record| actor.reaches(&record.key.organization)).ok_or(ManageError::NotFound)
    }

    async fn set_status_of(
        &self,
        actor: &Actor,
        action: Action,
        id: KeyId,
        status: KeyStatus,
        reason: Option<Reason>,
    ) -> Result<Written, ManageError> {
        let mut act = self.act(actor, action, ActTarget::key(id));
        let set = async {
            let found = act.find(self, id).await?.key;
            self.set_status(&mut act, actor, &found, status, reason).await
        };
        let set = set.await;
        act.close(set).await
    }

    /// Sets the status of a key that was found within the actor's walls, as this act or as part of it.
    pub(super) async fn set_status(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        found: &Key,
        status: KeyStatus,
        reason: Option<Reason>,
    ) -> Result<Written, ManageError> {
        check_status(actor, found, status)?;
        let id = found.id;
        let change = StatusChange::new(status, self.inner.clock.now(), reason);
        let changes = Changes::between(&found.status, &change);
        if status == KeyStatus::Revoked {
            act.begin_anyway(&found.organization, changes).await;
        } else {
            act.begin(&found.organization, changes).await?;
        }
        let announced = match (found.status.status, status) {
            (KeyStatus::Active | KeyStatus::Inactive, KeyStatus::Revoked) => {
                self.announce_revocation(found, &change).await
            }
            (KeyStatus::Active, KeyStatus::Inactive) => self.announce_deactivation(found, &change).await,
            _ => Announced::default(),
        };
        let written = self.inner.store.set_status(&found.organization, id, &change).await;
        // Also where the store failed: it may have done it.
        self.inner.cache.changed(&Change::Key(id));
        if matches!(&written, Ok(written) if written.record.key.status.status == KeyStatus::Revoked) {
            self.inner.cache.changed(&Change::Revoked(id));
        }
        self.settle(announced, &written, |notice, written| {
            // Somebody else may have stopped it, and tells of that.
            if written.record.key.status == change { Verdict::Told(notice) } else { Verdict::Unknown }
        })
        .await;
        let written = written?;
        if written.record.key.status == change {
            events::status_set(actor, &written.record.key);
        }
        Ok(written)
    }
}

/// Refuses a status that the actor may not give, or that a key which was found cannot be given: revoked is for good.
pub(super) fn check_status(actor: &Actor, found: &Key, status: KeyStatus) -> Result<(), ManageError> {
    if status == KeyStatus::Active {
        check_strength(actor, found)?;
    }
    if found.status.status == KeyStatus::Revoked && status != KeyStatus::Revoked {
        return Err(ManageError::Revoked);
    }
    Ok(())
}

impl Inner {
    /// Puts a record that was read and changed in the place of the one that was read, and gives it as it then is.
    pub(super) async fn replace(&self, mut next: KeyRecord) -> Result<KeyRecord, WriteRefusal> {
        self.plan_look(&mut next);
        self.put_back(next).await
    }

    /// The same, of a record that says already when it is next to be looked at.
    pub(super) async fn put_back(&self, mut next: KeyRecord) -> Result<KeyRecord, WriteRefusal> {
        let found = next.key.revision;
        next.key.revision = found.next();
        let replaced = self.store.replace(&next, found).await;
        // Also where the store failed: it may have done it.
        self.cache.changed(&Change::Key(next.key.id));
        replaced.map(|_| next)
    }
}
