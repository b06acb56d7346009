//! Roles: named sets of permissions of an organization.

use super::act::Act;
use super::create::check_grants;
use super::parents::parent_refused;
use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::coherence::{Change, Watcher};
use crate::names::{Description, NameError, OrganizationId, RoleName};
use crate::record::{MAX_ROLE_PERMISSIONS, MAX_ROLES, MAX_ROLES_BYTES, NamedRole, Revision, Role, RolesRecord};
use crate::scope::{Scope, ScopeSet};

/// How often a change is tried again after another came in between.
const ATTEMPTS: usize = 16;

/// What a role is to be, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRole {
    /// What it is for.
    pub description: Description,
    /// What keys may do whose owner has it.
    pub permissions: ScopeSet,
}

impl ApiKeyManager {
    /// All roles of an organization, by their names: at most [`MAX_ROLES`].
    ///
    /// # Errors
    /// When it is not within the actor's reach, or the store fails.
    pub async fn roles(&self, actor: &Actor, organization: &OrganizationId) -> Result<Vec<NamedRole>, ManageError> {
        let held = self.read_roles(actor, organization).await?;
        Ok(held.iter().flat_map(|held| held.roles.keys().filter_map(|name| held.named(name))).collect())
    }

    /// A role.
    ///
    /// # Errors
    /// When there is none of the name, or as of [`roles`](Self::roles).
    pub async fn role(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        name: &RoleName,
    ) -> Result<NamedRole, ManageError> {
        let held = self.read_roles(actor, organization).await?;
        held.and_then(|held| held.named(name)).ok_or(ManageError::NoSuchRole)
    }

    async fn read_roles(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<Option<RolesRecord>, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        Ok(self.inner.store.parents(organization, None).await?.roles)
    }

    /// Makes a role, or puts another in its place. Keys of its users can do what the new one covers from now on, everywhere
    /// within the bound of a revocation. With `expected` that is done only if it still has that revision; one that is not
    /// there has the revision 0.
    ///
    /// # Errors
    /// When the role covers what the actor may not grant, and did not before; there are too many roles, or too many
    /// permissions in them; the organization is not within the actor's reach or is `system`; another change came in between;
    /// or the store fails.
    pub async fn put_role(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        name: &RoleName,
        new: &NewRole,
        expected: Option<Revision>,
    ) -> Result<NamedRole, ManageError> {
        let mut act = self.act(actor, Action::RolePut, target_of(name)).of(organization);
        let put = self
            .change_roles(&mut act, actor, organization, name, |record| {
                let held = record.roles.get(name);
                expect(held, expected)?;
                if held.is_some_and(|held| held.permissions == new.permissions && held.description == new.description) {
                    return Ok(false);
                }
                let gained = |asked: &&Scope| held.is_none_or(|held| !held.permissions.covers(asked));
                let gained = ScopeSet::new(new.permissions.iter().filter(gained).cloned())?;
                check_grants(actor, [&gained])?;
                let role = Role {
                    revision: record.revision,
                    description: new.description.clone(),
                    permissions: new.permissions.clone(),
                };
                record.roles.insert(name.clone(), role);
                check_size(record)?;
                Ok(true)
            })
            .await;
        let record = act.close(put).await?;
        record.named(name).ok_or(ManageError::NoSuchRole)
    }

    /// Takes a role away. Who has it can do nothing by it from now on: its name stays among the roles of users, and a role that
    /// is made under it later is theirs.
    ///
    /// # Errors
    /// When there is no such role, or as of [`put_role`](Self::put_role).
    pub async fn delete_role(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        name: &RoleName,
        expected: Option<Revision>,
    ) -> Result<(), ManageError> {
        let delete = |record: &mut RolesRecord| {
            expect(record.roles.get(name), expected)?;
            record.roles.remove(name).map(|_| true).ok_or(ManageError::NoSuchRole)
        };
        let mut act = self.act(actor, Action::RoleDelete, target_of(name)).of(organization);
        let deleted = self.change_roles(&mut act, actor, organization, name, delete).await.map(drop);
        act.close(deleted).await
    }

    /// Changes the roles of an organization as `change` does, which says whether there is anything to write. The record it
    /// is given has its next revision already.
    async fn change_roles(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        name: &RoleName,
        change: impl Fn(&mut RolesRecord) -> Result<bool, ManageError> + Send,
    ) -> Result<RolesRecord, ManageError> {
        check_governed(actor, organization)?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            self.confirm_current().await?;
            let held = self.inner.store.parents(organization, None).await?.roles;
            let found = held.as_ref().map(|held| held.revision);
            let mut record = held.unwrap_or_else(|| RolesRecord::new(organization.clone()));
            record.revision = found.map_or(record.revision, Revision::next);
            let before = record.roles.get(name).cloned();
            if !change(&mut record)? {
                return Ok(record);
            }
            act.begin(organization, Changes::between(&before, &record.roles.get(name))).await?;
            match self.put_roles(&record, found).await {
                Ok(()) => {
                    tracing::info!(
                        target: "keygate::admin",
                        action = "roles updated",
                        by = %actor.principal(),
                        organization_id = %organization,
                        revision = %record.revision,
                        "roles updated"
                    );
                    return Ok(record);
                }
                Err(conflict @ ManageError::Conflict { .. }) => last = Some(conflict),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ManageError::ParentNotFound))
    }

    /// Sees to it that the users of an organization are looked for, from before the first of them is written.
    pub(super) async fn govern(&self, organization: &OrganizationId) -> Result<RolesRecord, ManageError> {
        let held = || async { Ok::<_, ManageError>(self.inner.store.parents(organization, None).await?.roles) };
        if let Some(held) = held().await? {
            return Ok(held);
        }
        let record = RolesRecord::new(organization.clone());
        match self.put_roles(&record, None).await {
            Ok(()) => Ok(record),
            // Somebody else has.
            Err(conflict @ ManageError::Conflict { .. }) => held().await?.ok_or(conflict),
            Err(error) => Err(error),
        }
    }

    async fn put_roles(&self, record: &RolesRecord, expected: Option<Revision>) -> Result<(), ManageError> {
        let put = self.inner.store.put_roles(record, expected).await;
        // Also where the store failed: it may have done it.
        self.inner.cache.changed(&Change::Organization(record.organization.clone()));
        put.map(drop).map_err(parent_refused)
    }
}

/// Refuses an organization in which this actor has nothing to say about users and roles.
pub(super) fn check_governed(actor: &Actor, organization: &OrganizationId) -> Result<(), ManageError> {
    if !actor.reaches(organization) {
        return Err(ManageError::ParentNotFound);
    }
    if organization.is_system() { Err(ManageError::Reserved) } else { Ok(()) }
}

/// The role that an act is about.
fn target_of(name: &RoleName) -> ActTarget {
    ActTarget { role: Some(name.to_string()), ..ActTarget::default() }
}

fn expect(held: Option<&Role>, expected: Option<Revision>) -> Result<(), ManageError> {
    let found = held.map_or(Revision::UNWRITTEN, |held| held.revision);
    if expected.is_some_and(|expected| expected != found) { Err(ManageError::Conflict { found }) } else { Ok(()) }
}

fn check_size(record: &RolesRecord) -> Result<(), NameError> {
    if record.roles.len() > MAX_ROLES {
        return Err(NameError::new("roles", format!("must be at most {MAX_ROLES} in an organization")));
    }
    let permissions: usize = record.roles.values().map(|role| role.permissions.len()).sum();
    if permissions > MAX_ROLE_PERMISSIONS {
        let problem = format!("must be at most {MAX_ROLE_PERMISSIONS} in all roles of an organization together");
        return Err(NameError::new("permissions", problem));
    }
    let texts = |(name, role): (&RoleName, &Role)| {
        let permissions: usize = role.permissions.iter().map(|permission| permission.as_str().len()).sum();
        name.as_str().len() + role.description.as_str().len() + permissions
    };
    if record.roles.iter().map(texts).sum::<usize>() > MAX_ROLES_BYTES {
        let problem = format!("must be at most {MAX_ROLES_BYTES} bytes of text in an organization");
        return Err(NameError::new("roles", problem));
    }
    Ok(())
}
