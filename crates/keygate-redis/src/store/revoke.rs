//! Revocation, which waits for nothing but the key's own slot.

use std::time::Duration;

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyRecord, KeyStatus, StatusChange};
use keygate_core::store::{StoreError, WriteRefusal};
use tokio::time::timeout;

use super::RedisStore;
use super::settle::State;
use crate::pending::{Change, Owner, Pending};

/// What the organization's slot may hold a revocation up, before it and after it.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

impl RedisStore {
    pub(super) async fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<KeyRecord, WriteRefusal> {
        let held = self.owned_record(organization, id).await?.ok_or(WriteRefusal::Absent)?;
        let pending = Pending::new(id, Change::Update, Owner::of(&held.key))?;
        if held.key.status.status == KeyStatus::Revoked {
            // Who revokes again may do so because the first time went wrong half-way: it is told again, and settled.
            let record = self.write_status(organization, id, change, None).await;
            self.settle_revoked(organization, &pending, self.heal(organization, &pending)).await;
            return record;
        }
        let noted = patiently(self.intend(organization, &pending)).await;
        // No deadline: a tombstone that comes late is better than none, and what it leaves in the lists is healed.
        let record = self.write_status(organization, id, change, None).await;
        match (&record, &noted) {
            (Ok(record), Ok(_)) => {
                let settling = self.settle_one(organization, &pending, State::of(Some(record)));
                self.settle_revoked(organization, &pending, settling).await;
            }
            (Ok(_), Err(error)) => {
                tracing::warn!(key = %id, %organization, %error, "revoked; its place in the quota is given back later");
                self.settle_revoked(organization, &pending, self.heal(organization, &pending)).await;
            }
            (Err(refusal), Ok(_)) => self.end_refused(organization, &pending, refusal).await,
            (Err(_), Err(_)) => {}
        }
        record
    }

    /// Settles a revocation that is done. If that fails, or is dropped, it is tried again with the next creation or
    /// reaping.
    async fn settle_revoked(
        &self,
        organization: &OrganizationId,
        pending: &Pending,
        settling: impl Future<Output = Result<(), StoreError>>,
    ) {
        let taken = self.unsettled.begin(organization, pending);
        match patiently(settling).await {
            Ok(()) => taken.done(),
            Err(error) => {
                tracing::debug!(key = %pending.id, %organization, %error, "a revocation is not settled yet");
            }
        }
    }

    /// Settles what an earlier revocation could not.
    pub(super) async fn settle_unsettled(&self) {
        for taken in self.unsettled.take() {
            let Some((organization, pending)) = taken.what() else { continue };
            if patiently(self.heal(organization, pending)).await.is_err() {
                // The store is in trouble: what is left goes back.
                return;
            }
            taken.done();
        }
    }
}

async fn patiently<T>(step: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, step).await.unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed)))
}
