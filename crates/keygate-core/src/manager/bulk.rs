//! The same done to many keys of one organization.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::key::KeyId;
use crate::names::{OrganizationId, Reason};
use crate::record::KeyStatus;

/// The most keys of one bulk operation.
pub const MAX_BULK: usize = 1_000;
/// How many keys are under way at once: the store's connection carries them together.
const IN_FLIGHT: usize = 64;

/// What is done to each key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BulkOperation {
    /// As [`deactivate`](ApiKeyManager::deactivate).
    Deactivate {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
    /// As [`activate`](ApiKeyManager::activate).
    Activate {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
    /// As [`revoke`](ApiKeyManager::revoke).
    Revoke {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
}

/// A key to which it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BulkFailure {
    /// The key.
    pub key_id: KeyId,
    /// The stable word for why: [`ManageError::reason`].
    pub reason: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// What came of a bulk operation: each key asked for is in one of the two lists, once, in the order asked. Its JSON form
/// is that of the management API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BulkOutcome {
    /// The keys to which it was done.
    pub successful: Vec<KeyId>,
    /// Those to which it was not.
    pub failed: Vec<BulkFailure>,
}

impl ApiKeyManager {
    /// Does the same to many keys of one organization, at most [`MAX_BULK`]; a key named twice is done once. A failure
    /// stops none of the others. A key of another organization is not found, whoever asks.
    ///
    /// Dropping the future leaves those undone that were not begun.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or more keys are named than may be: then nothing is done.
    pub async fn bulk(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        keys: &[KeyId],
    ) -> Result<BulkOutcome, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        if keys.len() > MAX_BULK {
            let problem = format!("must be at most {MAX_BULK}, not {}", keys.len());
            return Err(crate::names::NameError::new("key_ids", problem).into());
        }
        let mut seen = HashSet::new();
        let keys: Vec<KeyId> = keys.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut outcome = BulkOutcome::default();
        let mut trouble = None;
        let mut done = stream::iter(keys)
            .map(|id| async move { (id, self.bulk_one(actor, organization, operation, id).await) })
            .buffered(IN_FLIGHT);
        while let Some((key_id, done)) = done.next().await {
            match done {
                Ok(()) => outcome.successful.push(key_id),
                Err(error) => {
                    tracing::debug!(%key_id, %error, "one of many was not done");
                    if error.is_trouble() {
                        trouble.get_or_insert_with(|| error.to_string());
                    }
                    outcome.failed.push(BulkFailure { key_id, reason: error.reason(), detail: error.detail() });
                }
            }
        }
        if let Some(error) = trouble {
            tracing::error!(organization_id = %organization, failed = outcome.failed.len(), error, "a bulk operation met trouble");
        }
        Ok(outcome)
    }

    async fn bulk_one(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        id: KeyId,
    ) -> Result<(), ManageError> {
        let found = self.visible(actor, id).await?.key;
        if found.organization != *organization {
            return Err(ManageError::NotFound);
        }
        let (status, reason) = match operation {
            BulkOperation::Deactivate { reason } => (KeyStatus::Inactive, reason),
            BulkOperation::Activate { reason } => (KeyStatus::Active, reason),
            BulkOperation::Revoke { reason } => (KeyStatus::Revoked, reason),
        };
        self.set_status(actor, &found, status, reason.clone()).await.map(drop)
    }
}
