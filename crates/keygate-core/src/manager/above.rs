//! What stands above the keys of one call: read once for each organization, project and user.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{ApiKeyManager, ManageError};
use crate::names::{OrganizationId, ProjectId, UserId};
use crate::record::{Key, OrganizationRecord, Parents, Quota, Quotas, UserRecord, UserStatus};
use crate::store::{CreateRefusal, Store, StoreError};

/// The most users that a store is asked for at once.
const MOST_USERS: usize = 1_000;

/// What stands above a key: its organization, its project if it has one, and its user, where anything was ever configured of
/// users in its organization.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    pub(super) parents: Arc<Parents>,
    pub(super) user: Option<Arc<UserRecord>>,
}

impl Levels {
    /// Whether anything was ever configured of users in the organization.
    pub(super) fn are_governed(&self) -> bool {
        self.parents.roles.is_some()
    }

    /// Refuses to make a key for a user who has left.
    pub(super) fn check_user(&self) -> Result<(), ManageError> {
        match &self.user {
            Some(user) if user.status == UserStatus::Offboarded => {
                Err(ManageError::Offboarded { user: user.id.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// What stands above the keys of one call. Once the store has failed it is not asked again, as whoever waits would wait for it
/// for each key.
pub(super) struct Above<'a> {
    store: &'a dyn Store,
    parents: HashMap<(OrganizationId, Option<ProjectId>), Arc<Parents>>,
    users: HashMap<OrganizationId, HashMap<UserId, Option<Arc<UserRecord>>>>,
    /// Whose keys are to come, so that these are read together.
    coming: HashMap<OrganizationId, BTreeSet<UserId>>,
    failed: Option<Arc<StoreError>>,
}

impl<'a> Above<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, parents: HashMap::new(), users: HashMap::new(), coming: HashMap::new(), failed: None }
    }

    /// Says whose keys are to come.
    pub(super) fn expect<'u>(&mut self, users: impl IntoIterator<Item = (&'u OrganizationId, &'u UserId)>) {
        for (organization, user) in users {
            match self.coming.get_mut(organization) {
                Some(users) => drop(users.insert(user.clone())),
                None => drop(self.coming.insert(organization.clone(), BTreeSet::from([user.clone()]))),
            }
        }
    }

    /// What stands above keys of this user, in this project or in none.
    pub(super) async fn of(
        &mut self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
        user: &UserId,
    ) -> Result<Levels, Arc<StoreError>> {
        let parents = self.parents(organization, project).await?;
        let user = if parents.roles.is_some() { self.user(organization, user).await? } else { None };
        Ok(Levels { parents, user })
    }

    /// What stands above a key.
    pub(super) async fn of_key(&mut self, key: &Key) -> Result<Levels, Arc<StoreError>> {
        self.of(&key.organization, key.project.as_ref(), &key.user).await
    }

    /// Has what was read be read again, as for the next part of a long call.
    pub(super) fn read_again(&mut self) {
        self.parents.clear();
        self.users.clear();
        self.coming.clear();
    }

    async fn parents(
        &mut self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Arc<Parents>, Arc<StoreError>> {
        let vacant = match self.parents.entry((organization.clone(), project.cloned())) {
            Entry::Occupied(read) => return Ok(Arc::clone(read.get())),
            Entry::Vacant(vacant) => vacant,
        };
        if let Some(error) = &self.failed {
            return Err(Arc::clone(error));
        }
        match self.store.parents(organization, project).await {
            Ok(parents) => Ok(Arc::clone(vacant.insert(Arc::new(parents)))),
            Err(error) => Err(Arc::clone(self.failed.insert(Arc::new(error)))),
        }
    }

    /// What was configured of a user, if anything was.
    pub(super) async fn user(
        &mut self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<Arc<UserRecord>>, Arc<StoreError>> {
        let known = self.users.entry(organization.clone()).or_default();
        if let Some(known) = known.get(user) {
            return Ok(known.clone());
        }
        if let Some(error) = &self.failed {
            return Err(Arc::clone(error));
        }
        let others = self.coming.get(organization).into_iter().flatten();
        let others = others.filter(|other| *other != user && !known.contains_key(*other));
        let asked: Vec<UserId> = std::iter::once(user).chain(others).take(MOST_USERS).cloned().collect();
        match self.store.users(organization, &asked).await {
            Ok(held) => known.extend(asked.into_iter().zip(held.into_iter().map(|held| held.map(Arc::new)))),
            Err(error) => return Err(Arc::clone(self.failed.insert(Arc::new(error)))),
        }
        Ok(known.get(user).cloned().flatten())
    }
}

impl ApiKeyManager {
    /// What stands above one key now.
    pub(super) async fn levels_of(&self, key: &Key) -> Result<Levels, ManageError> {
        Ok(Above::new(&*self.inner.store).of_key(key).await?)
    }

    /// The quota of an organization, the manager's where it has none.
    pub(super) fn quota_of(&self, configured: Option<&OrganizationRecord>) -> Quota {
        let default = self.inner.quota;
        let Some(organization) = configured else { return default };
        Quota {
            per_organization: organization.max_keys.unwrap_or(default.per_organization),
            per_user: organization.max_keys_per_user.unwrap_or(default.per_user),
        }
    }

    /// What keys of one organization are held to: its quotas, the manager's where it has none, and those that their users and
    /// projects have themselves.
    pub(super) fn quotas<'l>(&self, levels: impl IntoIterator<Item = &'l Levels>) -> Quotas {
        let mut quotas = Quotas::from(self.inner.quota);
        for Levels { parents, user } in levels {
            quotas.quota = self.quota_of(parents.organization.as_ref());
            quotas.hold(user.as_deref(), parents.project.as_ref());
        }
        quotas
    }

    /// Refuses an expired key its place among those that count once more, where the quotas are used up. It is no
    /// reservation: updates at the same moment may pass the quota by as many keys, which creation never does.
    pub(super) async fn check_room(
        &self,
        above: &Levels,
        organization: &OrganizationId,
        user: &UserId,
        project: Option<&ProjectId>,
    ) -> Result<(), ManageError> {
        let quotas = self.quotas([above]);
        let used = self.inner.store.quota_use(organization, user).await?;
        let limit = quotas.quota.per_organization;
        if used.organization >= limit {
            return Err(ManageError::Refused(CreateRefusal::OrganizationQuota { limit }));
        }
        let limit = quotas.of_user(user);
        if used.user >= limit {
            return Err(ManageError::Refused(CreateRefusal::UserQuota { limit }));
        }
        if let Some((project, limit)) = quotas.of_project(project)
            && self.inner.store.project_use(organization, project).await? >= limit
        {
            return Err(ManageError::Refused(CreateRefusal::ProjectQuota { limit }));
        }
        Ok(())
    }
}
