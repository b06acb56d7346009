//! How many keys there may be: of an organization, of a user, of a project.

use std::collections::BTreeMap;

use super::owner::UserRecord;
use super::parent::ProjectRecord;
use crate::names::{ProjectId, UserId};

/// How many keys may exist at once. Expired, superseded and revoked keys do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In the organization.
    pub per_organization: u64,
    /// Of one user in it.
    pub per_user: u64,
}

impl Default for Quota {
    /// A million for an organization, ten for a user (the seed's).
    fn default() -> Self {
        Self { per_organization: 1_000_000, per_user: 10 }
    }
}

/// What keys of one organization are held to when they are made: its quota, and those of the users and the projects among them
/// that have one of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The organization's, and that of each user who has none of its own.
    pub quota: Quota,
    /// How many keys these users may have, in the place of [`Quota::per_user`].
    pub users: BTreeMap<UserId, u64>,
    /// How many keys these projects may have. No other is held to any.
    pub projects: BTreeMap<ProjectId, u64>,
}

impl Quotas {
    /// Holds a key's user and its project to what they say themselves, if they do.
    pub fn hold(&mut self, user: Option<&UserRecord>, project: Option<&ProjectRecord>) {
        if let Some((user, most)) = user.and_then(|user| Some((&user.id, user.max_keys?))) {
            self.users.insert(user.clone(), most);
        }
        if let Some((project, most)) = project.and_then(|project| Some((&project.id, project.max_keys?))) {
            self.projects.insert(project.clone(), most);
        }
    }

    /// How many keys a user may have.
    #[must_use]
    pub fn of_user(&self, user: &UserId) -> u64 {
        self.users.get(user).copied().unwrap_or(self.quota.per_user)
    }

    /// A key's project, if it has one, and how many keys that may have, if it is said of it.
    #[must_use]
    pub fn of_project<'p>(&self, project: Option<&'p ProjectId>) -> Option<(&'p ProjectId, u64)> {
        Some((project?, *self.projects.get(project?)?))
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self { quota, ..Self::default() }
    }
}
