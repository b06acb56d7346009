//! What stands above keys: organizations and projects, their status and quotas.

use super::{ApiKeyManager, ManageError};
use crate::actor::{Actor, Operator};
use crate::coherence::{Change, Watcher};
use crate::names::{OrganizationId, ProjectId};
use crate::record::{Key, OrganizationRecord, ParentStatus, ProjectRecord, Quota};
use crate::store::{CreateRefusal, StoreError, WriteRefusal};

/// What is to change of an organization; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrganizationUpdate {
    /// Whether its keys may be used.
    pub status: Option<ParentStatus>,
    /// How many keys it may have; `Some(None)` goes back to the manager's default.
    pub max_keys: Option<Option<u64>>,
    /// How many keys each of its users may have; `Some(None)` goes back to the manager's default.
    pub max_keys_per_user: Option<Option<u64>>,
}

impl ApiKeyManager {
    /// Shows an organization. One that nobody configured exists with the defaults.
    ///
    /// # Errors
    /// When it is not within the actor's reach, or the store fails.
    pub async fn organization(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<OrganizationRecord, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        let parents = self.inner.store.parents(organization, None).await?;
        Ok(parents.organization.unwrap_or_else(|| OrganizationRecord::new(organization.clone())))
    }

    /// Changes an organization: suspending it stops its keys, lowering a quota stops no key that is there.
    ///
    /// # Errors
    /// When another change came in between, or the store fails.
    pub async fn update_organization(
        &self,
        operator: &Operator,
        organization: &OrganizationId,
        update: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, ManageError> {
        self.confirm_current().await?;
        let found = self.inner.store.parents(organization, None).await?.organization;
        let expected = found.as_ref().map(|found| found.revision);
        let mut record = found.unwrap_or_else(|| OrganizationRecord::new(organization.clone()));
        record.revision = expected.map_or(record.revision, crate::record::Revision::next);
        record.status = update.status.unwrap_or(record.status);
        record.max_keys = update.max_keys.unwrap_or(record.max_keys);
        record.max_keys_per_user = update.max_keys_per_user.unwrap_or(record.max_keys_per_user);
        let put = self.inner.store.put_organization(&record, expected).await;
        // Also where the store failed: it may have done it.
        self.inner.cache.changed(&Change::Organization(organization.clone()));
        put.map_err(parent_refused)?;
        let by = Actor::from(operator.clone());
        tracing::info!(
            target: "keygate::admin",
            action = "organization updated",
            by = %by.principal(),
            organization_id = %organization,
            status = ?record.status,
            "organization updated"
        );
        Ok(record)
    }

    /// Suspends a project's keys, or lets them be used again.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, another change came in between, or the store fails.
    pub async fn set_project_status(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
        status: ParentStatus,
    ) -> Result<ProjectRecord, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        self.confirm_current().await?;
        let found = self.inner.store.parents(organization, Some(project)).await?.project;
        let expected = found.as_ref().map(|found| found.revision);
        let mut record = found.unwrap_or_else(|| ProjectRecord::new(organization.clone(), project.clone()));
        record.revision = expected.map_or(record.revision, crate::record::Revision::next);
        record.status = status;
        let put = self.inner.store.put_project(&record, expected).await;
        self.inner.cache.changed(&Change::Project(organization.clone(), project.clone()));
        put.map_err(parent_refused)?;
        tracing::info!(
            target: "keygate::admin",
            action = "project updated",
            by = %actor.principal(),
            organization_id = %organization,
            project_id = %project,
            status = ?status,
            "project updated"
        );
        Ok(record)
    }

    /// The quotas of an organization: its own where it has some, the manager's where it has none.
    pub(super) async fn quota_of(&self, organization: &OrganizationId) -> Result<Quota, StoreError> {
        let configured = self.inner.store.parents(organization, None).await?.organization;
        let default = self.inner.quota;
        Ok(configured.map_or(default, |configured| Quota {
            per_organization: configured.max_keys.unwrap_or(default.per_organization),
            per_user: configured.max_keys_per_user.unwrap_or(default.per_user),
        }))
    }

    /// Refuses an expired key its place among those that count once more, where the quotas are used up. It is no
    /// reservation: updates at the same moment may pass the quota by as many keys, which creation never does.
    pub(super) async fn check_room(&self, key: &Key) -> Result<(), ManageError> {
        let quota = self.quota_of(&key.organization).await?;
        let used = self.inner.store.quota_use(&key.organization, &key.user).await?;
        if used.organization >= quota.per_organization {
            return Err(ManageError::Refused(CreateRefusal::OrganizationQuota { limit: quota.per_organization }));
        }
        if used.user >= quota.per_user {
            return Err(ManageError::Refused(CreateRefusal::UserQuota { limit: quota.per_user }));
        }
        Ok(())
    }
}

/// A parent's record that was there and is gone is no key that is not found.
fn parent_refused(refusal: WriteRefusal) -> ManageError {
    match refusal {
        WriteRefusal::Absent => ManageError::ParentNotFound,
        refusal => refusal.into(),
    }
}
