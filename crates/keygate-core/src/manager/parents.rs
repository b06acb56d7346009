//! What stands above keys: organizations and projects, their status and quotas.

use super::act::Act;
use super::{ApiKeyManager, ManageError};
use crate::actor::{Actor, Operator};
use crate::audit::{ActTarget, Action, Changes};
use crate::coherence::{Change, Watcher};
use crate::limits::{Limits, MAX_LIMIT};
use crate::names::{NameError, OrganizationId, ProjectId};
use crate::notice::Announced;
use crate::record::{KeyDefaults, KeyPolicy, OrganizationRecord, ParentStatus, ProjectRecord, Revision};
use crate::store::{Listing, WriteRefusal};

/// How often a change is tried again after another came in between.
const ATTEMPTS: usize = 16;

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
    /// What may be asked of all its keys together; `Some(None)` takes the limits away.
    pub limits: Option<Option<Limits>>,
    /// What may be asked of all keys of each of its users together; `Some(None)` takes the limits away.
    pub user_limits: Option<Option<Limits>>,
    /// The limits of new keys for which none are said; `Some(None)` goes back to those of their tier.
    pub key_limits: Option<Option<Limits>>,
    /// What its keys have to be; `Some(None)` takes the policy away. Keys that are there go on as they are.
    pub policy: Option<Option<KeyPolicy>>,
    /// What new keys are where nobody says; `Some(None)` takes the defaults away.
    pub defaults: Option<Option<KeyDefaults>>,
}

impl OrganizationUpdate {
    pub(super) fn check(&self) -> Result<(), NameError> {
        check_most("max_keys", self.max_keys)?;
        check_most("max_keys_per_user", self.max_keys_per_user)?;
        [self.limits, self.user_limits, self.key_limits]
            .into_iter()
            .flatten()
            .flatten()
            .try_for_each(|limits| limits.check())?;
        check_rules(&self.policy, &self.defaults)
    }

    fn apply(&self, record: &mut OrganizationRecord) {
        record.status = self.status.unwrap_or(record.status);
        record.max_keys = self.max_keys.unwrap_or(record.max_keys);
        record.max_keys_per_user = self.max_keys_per_user.unwrap_or(record.max_keys_per_user);
        record.limits = self.limits.unwrap_or(record.limits);
        record.user_limits = self.user_limits.unwrap_or(record.user_limits);
        record.key_limits = self.key_limits.unwrap_or(record.key_limits);
        self.policy.iter().for_each(|policy| record.policy.clone_from(policy));
        self.defaults.iter().for_each(|defaults| record.defaults.clone_from(defaults));
    }
}

/// Refuses a quota that is out of range.
pub(super) fn check_most(field: &'static str, asked: Option<Option<u64>>) -> Result<(), NameError> {
    match asked.flatten() {
        Some(most) if most > MAX_LIMIT => Err(NameError::new(field, format!("must be at most {MAX_LIMIT}"))),
        _ => Ok(()),
    }
}

/// Says which of these cannot be.
pub(super) fn check_rules(
    policy: &Option<Option<KeyPolicy>>,
    defaults: &Option<Option<KeyDefaults>>,
) -> Result<(), NameError> {
    policy.iter().flatten().try_for_each(KeyPolicy::check)?;
    defaults.iter().flatten().try_for_each(KeyDefaults::check)
}

/// What is to change of a project; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectUpdate {
    /// Whether its keys may be used.
    pub status: Option<ParentStatus>,
    /// How many keys it may have; `Some(None)` is as many as its organization has room for.
    pub max_keys: Option<Option<u64>>,
    /// What may be asked of all its keys together; `Some(None)` takes the limits away.
    pub limits: Option<Option<Limits>>,
    /// The limits of its new keys for which none are said; `Some(None)` goes back to those of its organization.
    pub key_limits: Option<Option<Limits>>,
    /// What its keys have to be; `Some(None)` takes the policy away. Keys that are there go on as they are.
    pub policy: Option<Option<KeyPolicy>>,
    /// What new keys are where nobody says; `Some(None)` takes the defaults away.
    pub defaults: Option<Option<KeyDefaults>>,
}

impl ProjectUpdate {
    fn check(&self) -> Result<(), NameError> {
        check_most("max_keys", self.max_keys)?;
        [self.limits, self.key_limits].into_iter().flatten().flatten().try_for_each(|limits| limits.check())?;
        check_rules(&self.policy, &self.defaults)
    }

    fn apply(&self, record: &mut ProjectRecord) {
        record.status = self.status.unwrap_or(record.status);
        record.max_keys = self.max_keys.unwrap_or(record.max_keys);
        record.limits = self.limits.unwrap_or(record.limits);
        record.key_limits = self.key_limits.unwrap_or(record.key_limits);
        self.policy.iter().for_each(|policy| record.policy.clone_from(policy));
        self.defaults.iter().for_each(|defaults| record.defaults.clone_from(defaults));
    }
}

impl ApiKeyManager {
    /// Shows an organization. One that nobody configured exists with the defaults, and has the revision 0.
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
        let unconfigured =
            || OrganizationRecord { revision: Revision::UNWRITTEN, ..OrganizationRecord::new(organization.clone()) };
        Ok(parents.organization.unwrap_or_else(unconfigured))
    }

    /// Sets an organization up that nobody configured yet. Keys it has already go on as they are.
    ///
    /// # Errors
    /// When somebody configured it, it is the organization `system`, a quota is above [`MAX_LIMIT`], or the store fails.
    pub async fn create_organization(
        &self,
        operator: &Operator,
        organization: &OrganizationId,
        settings: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, ManageError> {
        let actor = Actor::from(operator.clone());
        let mut act = self.act(&actor, Action::OrganizationCreate, ActTarget::default()).of(organization);
        let created = self.create_organization_in(&mut act, organization, settings).await;
        act.close(created).await
    }

    async fn create_organization_in(
        &self,
        act: &mut Act<'_>,
        organization: &OrganizationId,
        settings: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, ManageError> {
        if organization.is_system() {
            return Err(ManageError::Reserved);
        }
        settings.check()?;
        self.confirm_current().await?;
        let mut record = OrganizationRecord::new(organization.clone());
        settings.apply(&mut record);
        let suspends = record.status == ParentStatus::Suspended;
        act.begin(organization, Changes::made(&record)).await?;
        match self.put_organization(act, &record, None, suspends, "created").await {
            Err(ManageError::Conflict { .. }) => Err(ManageError::AlreadyExists),
            outcome => outcome.map(|()| record),
        }
    }

    /// Changes an organization: suspending it stops its keys, lowering a quota stops no key that is there. Without
    /// `expected` the update is applied to whatever is there. With `expected` it is changed only if it still has that
    /// revision; one that nobody configured has the revision 0.
    ///
    /// # Errors
    /// When another change came in between, it is the organization `system`, a quota is above [`MAX_LIMIT`], or the store
    /// fails.
    pub async fn update_organization(
        &self,
        operator: &Operator,
        organization: &OrganizationId,
        update: &OrganizationUpdate,
        expected: Option<Revision>,
    ) -> Result<OrganizationRecord, ManageError> {
        let actor = Actor::from(operator.clone());
        let mut act = self.act(&actor, Action::OrganizationUpdate, ActTarget::default()).of(organization);
        let updated = self.update_organization_in(&mut act, organization, update, expected).await;
        act.close(updated).await
    }

    async fn update_organization_in(
        &self,
        act: &mut Act<'_>,
        organization: &OrganizationId,
        update: &OrganizationUpdate,
        expected: Option<Revision>,
    ) -> Result<OrganizationRecord, ManageError> {
        if organization.is_system() {
            return Err(ManageError::Reserved);
        }
        update.check()?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            self.confirm_current().await?;
            let written = self.inner.store.parents(organization, None).await?.organization;
            let found = written.as_ref().map(|found| found.revision);
            let shown = found.unwrap_or(Revision::UNWRITTEN);
            if expected.is_some_and(|expected| expected != shown) {
                return Err(ManageError::Conflict { found: shown });
            }
            let mut record = written.unwrap_or_else(|| OrganizationRecord::new(organization.clone()));
            let before = record.clone();
            record.revision = found.map_or(record.revision, Revision::next);
            let was = record.status;
            update.apply(&mut record);
            let suspends = was != record.status && record.status == ParentStatus::Suspended;
            act.begin(organization, Changes::between(&before, &record)).await?;
            match self.put_organization(act, &record, found, suspends, "updated").await {
                Ok(()) => return Ok(record),
                Err(conflict @ ManageError::Conflict { .. }) => last = Some(conflict),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ManageError::ParentNotFound))
    }

    async fn put_organization(
        &self,
        act: &Act<'_>,
        record: &OrganizationRecord,
        expected: Option<Revision>,
        suspends: bool,
        action: &'static str,
    ) -> Result<(), ManageError> {
        let announced = if suspends {
            self.announce_suspension(&record.id, None, record.revision).await
        } else {
            Announced::default()
        };
        let put = self.inner.store.put_organization(record, expected).await;
        // Also where the store failed: it may have done it.
        self.inner.cache.changed(&Change::Organization(record.id.clone()));
        self.settle_write(announced, &put).await;
        put.map_err(parent_refused)?;
        tracing::info!(
            target: "keygate::admin",
            action,
            by = %act.principal(),
            organization_id = %record.id,
            status = ?record.status,
            max_keys = ?record.max_keys,
            max_keys_per_user = ?record.max_keys_per_user,
            limits = ?record.limits,
            user_limits = ?record.user_limits,
            key_limits = ?record.key_limits,
            policy = ?record.policy,
            defaults = ?record.defaults,
            "organization {action}"
        );
        Ok(())
    }

    /// Shows a project. One that nobody configured exists with the defaults, and has the revision 0.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn project(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
    ) -> Result<ProjectRecord, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        let parents = self.inner.store.parents(organization, Some(project)).await?;
        let new = || ProjectRecord::new(organization.clone(), project.clone());
        Ok(parents.project.unwrap_or_else(|| ProjectRecord { revision: Revision::UNWRITTEN, ..new() }))
    }

    /// Suspends a project's keys, or lets them be used again.
    ///
    /// # Errors
    /// As of [`update_project`](Self::update_project).
    pub async fn set_project_status(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
        status: ParentStatus,
    ) -> Result<ProjectRecord, ManageError> {
        let update = ProjectUpdate { status: Some(status), ..ProjectUpdate::default() };
        self.update_project(actor, organization, project, &update, None).await
    }

    /// Limits what may be asked of all keys of a project together; `None` takes the limits away.
    ///
    /// # Errors
    /// As of [`update_project`](Self::update_project).
    pub async fn set_project_limits(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
        limits: Option<Limits>,
    ) -> Result<ProjectRecord, ManageError> {
        let update = ProjectUpdate { limits: Some(limits), ..ProjectUpdate::default() };
        self.update_project(actor, organization, project, &update, None).await
    }

    /// Changes a project: suspending it stops its keys, lowering its quota stops no key that is there. Without `expected` the
    /// update is applied to whatever is there. With `expected` it is changed only if it still has that revision; one that nobody
    /// configured has the revision 0.
    ///
    /// # Errors
    /// When a suspended project is to be active again whose keys can do what the actor may not grant (in an organization of more
    /// than 10,000 keys, when the actor may not grant everything); a limit or the quota is out of range, the organization is not
    /// within the actor's reach or is `system`, another change came in between, or the store fails.
    pub async fn update_project(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
        update: &ProjectUpdate,
        expected: Option<Revision>,
    ) -> Result<ProjectRecord, ManageError> {
        let target = ActTarget { project_id: Some(project.to_string()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::ProjectUpdate, target).of(organization);
        let updated = self.update_project_in(&mut act, actor, organization, project, update, expected).await;
        act.close(updated).await
    }

    async fn update_project_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        project: &ProjectId,
        update: &ProjectUpdate,
        expected: Option<Revision>,
    ) -> Result<ProjectRecord, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        if organization.is_system() {
            return Err(ManageError::Reserved);
        }
        update.check()?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            self.confirm_current().await?;
            let written = self.inner.store.parents(organization, Some(project)).await?.project;
            let found = written.as_ref().map(|found| found.revision);
            let shown = found.unwrap_or(Revision::UNWRITTEN);
            if expected.is_some_and(|expected| expected != shown) {
                return Err(ManageError::Conflict { found: shown });
            }
            let mut record = written.unwrap_or_else(|| ProjectRecord::new(organization.clone(), project.clone()));
            let before = record.clone();
            record.revision = found.map_or(record.revision, Revision::next);
            let was = record.status;
            update.apply(&mut record);
            let suspends = was != record.status && record.status == ParentStatus::Suspended;
            if was == ParentStatus::Suspended && record.status == ParentStatus::Active {
                // To resume it is to let its keys be used again.
                let keys = Listing::Organization(organization.clone());
                self.check_keys(actor, &keys, |key| key.project.as_ref() == Some(project)).await?;
            }
            act.begin(organization, Changes::between(&before, &record)).await?;
            match self.put_project(actor, &record, found, suspends).await {
                Ok(()) => return Ok(record),
                Err(conflict @ ManageError::Conflict { .. }) => last = Some(conflict),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ManageError::ParentNotFound))
    }

    async fn put_project(
        &self,
        actor: &Actor,
        record: &ProjectRecord,
        expected: Option<Revision>,
        suspends: bool,
    ) -> Result<(), ManageError> {
        let announced = if suspends {
            self.announce_suspension(&record.organization, Some(&record.id), record.revision).await
        } else {
            Announced::default()
        };
        let put = self.inner.store.put_project(record, expected).await;
        // Also where the store failed: it may have done it.
        self.inner.cache.changed(&Change::Project(record.organization.clone(), record.id.clone()));
        self.settle_write(announced, &put).await;
        put.map_err(parent_refused)?;
        tracing::info!(
            target: "keygate::admin",
            action = "project updated",
            by = %actor.principal(),
            organization_id = %record.organization,
            project_id = %record.id,
            status = ?record.status,
            max_keys = ?record.max_keys,
            limits = ?record.limits,
            key_limits = ?record.key_limits,
            policy = ?record.policy,
            defaults = ?record.defaults,
            "project updated"
        );
        Ok(())
    }
}

/// A parent's record that was there and is gone is no key that is not found.
pub(super) fn parent_refused(refusal: WriteRefusal) -> ManageError {
    match refusal {
        WriteRefusal::Absent => ManageError::ParentNotFound,
        refusal => refusal.into(),
    }
}
