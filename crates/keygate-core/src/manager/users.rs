//! Users: the roles that they have, whether their keys may be used, and how many and how much of them.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::create::{EVERYTHING, check_grants};
use super::parents::{check_most, check_rules, parent_refused};
use super::roles::check_governed;
use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::coherence::{Change, Watcher};
use crate::limits::Limits;
use crate::names::{NameError, OrganizationId, RoleName, UserId};
use crate::record::{KeyDefaults, KeyPolicy, MAX_ROLES_OF_USER, Revision, RolesRecord, UserRecord, UserStatus};
use crate::scope::{Scope, ScopeSet};
use crate::store::Listing;

/// How often a change is tried again after another came in between.
const ATTEMPTS: usize = 16;

/// What is to change of a user; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserUpdate {
    /// Whether its keys may be used. To offboard a user revokes all its keys, for good.
    pub status: Option<UserStatus>,
    /// Its roles, at most [`MAX_ROLES_OF_USER`]; `Some(None)` caps nothing.
    pub roles: Option<Option<Vec<RoleName>>>,
    /// How many keys it may have; `Some(None)` goes back to what its organization says of each user.
    pub max_keys: Option<Option<u64>>,
    /// What may be asked of all its keys together; `Some(None)` goes back to what its organization says of each user.
    pub limits: Option<Option<Limits>>,
    /// What its keys have to be; `Some(None)` takes the policy away. Keys that are there go on as they are.
    pub policy: Option<Option<KeyPolicy>>,
    /// What its new keys are where nobody says; `Some(None)` takes the defaults away.
    pub defaults: Option<Option<KeyDefaults>>,
}

impl UserUpdate {
    fn check(&self) -> Result<(), NameError> {
        check_most("max_keys", self.max_keys)?;
        self.limits.flatten().map_or(Ok(()), |limits| limits.check())?;
        check_rules(&self.policy, &self.defaults)
    }

    fn apply(&self, record: &mut UserRecord) {
        record.status = self.status.unwrap_or(record.status);
        self.roles.iter().for_each(|roles| record.roles.clone_from(roles));
        record.max_keys = self.max_keys.unwrap_or(record.max_keys);
        record.limits = self.limits.unwrap_or(record.limits);
        self.policy.iter().for_each(|policy| record.policy.clone_from(policy));
        self.defaults.iter().for_each(|defaults| record.defaults.clone_from(defaults));
    }
}

/// A user after a change. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangedUser {
    /// The user as it now is.
    #[serde(flatten)]
    pub user: UserRecord,
    /// How many keys this call revoked, because the user left.
    #[serde(rename = "revoked_keys")]
    pub revoked: u64,
    /// Whether no key of a user who left is to be revoked any more. Where some are, after 15 seconds or because the store
    /// failed, none of them can be used all the same; to ask again goes on.
    pub complete: bool,
}

impl ApiKeyManager {
    /// Shows a user. One that nobody configured exists with the defaults, and has the revision 0.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn user(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<UserRecord, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        let unwritten =
            || UserRecord { revision: Revision::UNWRITTEN, ..UserRecord::new(organization.clone(), user.clone()) };
        Ok(self.read_user(organization, user).await?.unwrap_or_else(unwritten))
    }

    /// Changes a user: its keys can do what its roles cover from now on, within its limits, and nothing while it is suspended,
    /// everywhere within the bound of a revocation. Lowering its quota stops no key that is there. Offboarding revokes all its
    /// keys, and no more are made for it. Without `expected` the update is applied to whatever is there. With `expected` it is
    /// changed only if it still has that revision; one that nobody configured has the revision 0.
    ///
    /// Dropping the future leaves an offboarded user's keys refused, and perhaps not all of them revoked yet.
    ///
    /// # Errors
    /// When a suspended user is to be active again whose keys can do what the actor may not grant (of a user of more than 10,000
    /// keys, when the actor may not grant everything); not all keys of one who left are revoked yet
    /// ([`StillOffboarding`](ManageError::StillOffboarding)); a limit, the quota or a rule cannot be, or is more than the
    /// organization gives each user and the actor is not the operator; a role is not one of the
    /// organization; the roles cover what the actor may not grant, and the user's did not before; the organization is not within
    /// the actor's reach or is `system`; another change came in between; or the store fails.
    pub async fn update_user(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
        expected: Option<Revision>,
    ) -> Result<ChangedUser, ManageError> {
        let target = ActTarget { user_id: Some(user.to_string()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::UserUpdate, target).of(organization);
        let updated = self.update_user_in(&mut act, actor, organization, user, update, expected).await;
        act.close(updated).await
    }

    async fn update_user_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
        expected: Option<Revision>,
    ) -> Result<ChangedUser, ManageError> {
        check_governed(actor, organization)?;
        update.check()?;
        if update.status.is_some_and(|status| status != UserStatus::Offboarded)
            && let Some(gone) = self.read_user(organization, user).await?
            && gone.status == UserStatus::Offboarded
            && !self.revoke_keys_of(act, actor, &gone).await.1
        {
            return Err(ManageError::StillOffboarding);
        }
        let user = self.put_user(act, actor, organization, user, update, expected).await?;
        if user.status != UserStatus::Offboarded {
            return Ok(ChangedUser { user, revoked: 0, complete: true });
        }
        let (revoked, complete) = self.revoke_keys_of(act, actor, &user).await;
        Ok(ChangedUser { user, revoked, complete })
    }

    async fn put_user(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
        expected: Option<Revision>,
    ) -> Result<UserRecord, ManageError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            self.confirm_current().await?;
            let held = self.read_user(organization, user).await?;
            let found = held.as_ref().map(|held| held.revision);
            let shown = found.unwrap_or(Revision::UNWRITTEN);
            if expected.is_some_and(|expected| expected != shown) {
                return Err(ManageError::Conflict { found: shown });
            }
            let before = held.unwrap_or_else(|| UserRecord::new(organization.clone(), user.clone()));
            let mut record = before.clone();
            update.apply(&mut record);
            if record == before {
                return Ok(UserRecord { revision: shown, ..record });
            }
            if before.status != UserStatus::Active && record.status == UserStatus::Active {
                let keys = Listing::User(organization.clone(), user.clone());
                self.check_keys(actor, &keys, |_| true).await?;
            }
            if actor.operator().is_none() {
                self.check_no_more(organization, &before, &record).await?;
            }
            // Read anew each time: what a role covers may have changed.
            check_roles(actor, &self.govern(organization).await?, &before, &record)?;
            act.begin(organization, Changes::between(&before, &record)).await?;
            record.revision = found.map_or(record.revision, Revision::next);
            let put = self.inner.store.put_user(&record, found).await;
            // Also where the store failed: it may have done it.
            self.inner.cache.changed(&Change::User(organization.clone(), user.clone()));
            match put.map_err(parent_refused) {
                Ok(_) => {
                    tracing::info!(
                        target: "keygate::admin",
                        action = "user updated",
                        by = %actor.principal(),
                        organization_id = %organization,
                        user_id = %user,
                        status = ?record.status,
                        roles = ?record.roles,
                        max_keys = ?record.max_keys,
                        limits = ?record.limits,
                        policy = ?record.policy,
                        defaults = ?record.defaults,
                        "user updated"
                    );
                    return Ok(record);
                }
                Err(conflict @ ManageError::Conflict { .. }) => last = Some(conflict),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ManageError::ParentNotFound))
    }

    /// Refuses to give a user more than its organization gives each: what that is, is the operator's to say.
    async fn check_no_more(
        &self,
        organization: &OrganizationId,
        before: &UserRecord,
        after: &UserRecord,
    ) -> Result<(), ManageError> {
        let max_keys = after.max_keys.filter(|_| after.max_keys != before.max_keys);
        let limits = after.limits.filter(|_| after.limits != before.limits);
        if max_keys.is_none() && limits.is_none() {
            return Ok(());
        }
        let configured = self.inner.store.parents(organization, None).await?.organization;
        let most = self.quota_of(configured.as_ref()).per_user;
        if max_keys.is_some_and(|asked| asked > most) {
            let problem =
                format!("must be at most {most}, as the organization gives each user: more is the operator's to give");
            return Err(NameError::new("max_keys", problem).into());
        }
        let most = configured.and_then(|organization| organization.user_limits);
        match limits.zip(most).and_then(|(asked, most)| asked.first_beyond(&most)) {
            Some(limit) => {
                let problem = format!(
                    "must let in no more by {limit} than the organization's user_limits: more is the operator's to give"
                );
                Err(NameError::new("limits", problem).into())
            }
            None => Ok(()),
        }
    }

    pub(super) async fn read_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<UserRecord>, ManageError> {
        let held = self.inner.store.users(organization, std::slice::from_ref(user)).await?;
        Ok(held.into_iter().next().flatten())
    }
}

/// Refuses roles that are none of the organization, too many, or that cover what the actor may not grant and those before
/// did not.
fn check_roles(actor: &Actor, roles: &RolesRecord, before: &UserRecord, after: &UserRecord) -> Result<(), ManageError> {
    if before.roles == after.roles {
        return Ok(());
    }
    let Some(asked) = &after.roles else {
        // Whoever was capped may do anything it was given.
        return check_grants(actor, [&ScopeSet::of(Scope::literal(EVERYTHING))]);
    };
    if asked.len() > MAX_ROLES_OF_USER {
        return Err(NameError::new("roles", format!("must be at most {MAX_ROLES_OF_USER}")).into());
    }
    let held_before = |name: &RoleName| before.roles.as_ref().is_some_and(|held| held.contains(name));
    if let Some(unknown) = asked.iter().find(|name| !roles.roles.contains_key(*name) && !held_before(name)) {
        return Err(
            NameError::new("roles", format!("must be roles of the organization, which {unknown} is not")).into()
        );
    }
    let Some(held) = &before.roles else { return Ok(()) };
    for permissions in roles.permissions_of(asked) {
        let gained = ScopeSet::new(permissions.iter().filter(|asked| !roles.covers(held, asked)).cloned())?;
        check_grants(actor, [&gained])?;
    }
    Ok(())
}
