//! Whose a key is: the users of an organization, and the roles that they have in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::Revision;
use super::policy::{KeyDefaults, KeyPolicy};
use super::shown;
use crate::limits::Limits;
use crate::names::{Description, OrganizationId, RoleName, UserId};
use crate::scope::{Scope, ScopeSet};

/// The most roles of an organization.
pub const MAX_ROLES: usize = 100;
/// The most permissions of all roles of an organization together: they are read, and kept, as one.
pub const MAX_ROLE_PERMISSIONS: usize = 1_000;
/// The most bytes of their names, descriptions and permissions together.
pub const MAX_ROLES_BYTES: usize = 64 * 1024;
/// The most roles of one user.
pub const MAX_ROLES_OF_USER: usize = 32;

/// A named set of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// That of the organization's [roles](RolesRecord) when it was written last: it only grows, also where a role of the
    /// name was deleted.
    pub revision: Revision,
    /// What it is for.
    #[serde(default)]
    pub description: Description,
    /// What keys may do whose owner has it.
    pub permissions: ScopeSet,
}

/// A role, with its name and whose it is. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedRole {
    /// The organization it is of.
    pub organization_id: OrganizationId,
    /// Its name.
    #[serde(rename = "role")]
    pub name: RoleName,
    /// The role.
    #[serde(flatten)]
    pub role: Role,
}

/// All roles of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolesRecord {
    /// The organization.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Counts its writes.
    pub revision: Revision,
    /// The roles, by their names.
    pub roles: BTreeMap<RoleName, Role>,
}

impl RolesRecord {
    /// The record of an organization that has no roles.
    #[must_use]
    pub fn new(organization: OrganizationId) -> Self {
        Self { organization, revision: Revision::FIRST, roles: BTreeMap::new() }
    }

    /// The role of a name.
    #[must_use]
    pub fn named(&self, name: &RoleName) -> Option<NamedRole> {
        let role = self.roles.get(name)?.clone();
        Some(NamedRole { organization_id: self.organization.clone(), name: name.clone(), role })
    }

    /// Whether one of these roles covers a permission. A role that does not exist covers nothing.
    #[must_use]
    pub fn covers(&self, held: &[RoleName], permission: &Scope) -> bool {
        self.permissions_of(held).any(|permissions| permissions.covers(permission))
    }

    /// The permissions of these roles.
    pub fn permissions_of<'a>(&'a self, held: &'a [RoleName]) -> impl Iterator<Item = &'a ScopeSet> {
        held.iter().filter_map(|name| self.roles.get(name)).map(|role| &role.permissions)
    }
}

/// Whether the keys of a user may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// They may.
    #[default]
    Active,
    /// They are refused until the user is active again.
    Suspended,
    /// The user has left: its keys are revoked, and none is made for it.
    Offboarded,
}

/// What was configured for a user of an organization. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The organization.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Its id.
    #[serde(rename = "user_id")]
    pub id: UserId,
    /// Counts its writes.
    pub revision: Revision,
    /// Whether its keys may be used.
    pub status: UserStatus,
    /// Its roles: its keys may do what they were given and one of these covers. `None` caps nothing, and no role at all
    /// lets its keys do nothing that needs a permission.
    #[serde(default)]
    pub roles: Option<Vec<RoleName>>,
    /// How many keys it may have, in the place of what its organization says of each user.
    #[serde(default)]
    pub max_keys: Option<u64>,
    /// What may be asked of all its keys together, in the place of what its organization says of each user.
    #[serde(default, deserialize_with = "shown::some_limits")]
    pub limits: Option<Limits>,
    /// What its keys have to be, beside what the policies of its organization and of their projects say. Nothing by default.
    #[serde(default, deserialize_with = "shown::policy")]
    pub policy: Option<KeyPolicy>,
    /// What its new keys are where nobody says. What it does not say is their project's, or else its organization's.
    #[serde(default, deserialize_with = "shown::defaults")]
    pub defaults: Option<KeyDefaults>,
}

impl UserRecord {
    /// The record of a user that has just been configured, with the defaults.
    #[must_use]
    pub fn new(organization: OrganizationId, id: UserId) -> Self {
        Self {
            organization,
            id,
            revision: Revision::FIRST,
            status: UserStatus::Active,
            roles: None,
            max_keys: None,
            limits: None,
            policy: None,
            defaults: None,
        }
    }
}
