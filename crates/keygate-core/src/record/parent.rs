//! What a key belongs to: its organization and its project. One that nobody configured exists with the defaults.

use serde::{Deserialize, Serialize};

use super::key::Revision;
use super::owner::RolesRecord;
use super::policy::{KeyDefaults, KeyPolicy};
use super::shown;
use crate::limits::Limits;
use crate::names::{OrganizationId, ProjectId};

/// Whether the keys of an organization or a project may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentStatus {
    /// They may.
    #[default]
    Active,
    /// They are refused until it is active again.
    Suspended,
}

/// What was configured for an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRecord {
    /// Its id.
    #[serde(rename = "organization_id")]
    pub id: OrganizationId,
    /// Counts its writes.
    pub revision: Revision,
    /// Whether its keys may be used.
    pub status: ParentStatus,
    /// How many keys it may have; `None` is the manager's default.
    pub max_keys: Option<u64>,
    /// How many keys each of its users may have; `None` is the manager's default.
    pub max_keys_per_user: Option<u64>,
    /// What may be asked of all its keys together. No limit by default.
    #[serde(default, deserialize_with = "shown::some_limits", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What may be asked of all keys of each of its users together. No limit by default.
    #[serde(default, deserialize_with = "shown::some_limits", skip_serializing_if = "Option::is_none")]
    pub user_limits: Option<Limits>,
    /// The limits of new keys for which none are said, in the place of their tier's.
    #[serde(default, deserialize_with = "shown::some_limits", skip_serializing_if = "Option::is_none")]
    pub key_limits: Option<Limits>,
    /// What its keys have to be. Nothing by default.
    #[serde(default, deserialize_with = "shown::policy", skip_serializing_if = "Option::is_none")]
    pub policy: Option<KeyPolicy>,
    /// What new keys are where nobody says.
    #[serde(default, deserialize_with = "shown::defaults", skip_serializing_if = "Option::is_none")]
    pub defaults: Option<KeyDefaults>,
}

impl OrganizationRecord {
    /// The record of an organization that has just been configured, with the defaults.
    #[must_use]
    pub fn new(id: OrganizationId) -> Self {
        Self {
            id,
            revision: Revision::FIRST,
            status: ParentStatus::Active,
            max_keys: None,
            max_keys_per_user: None,
            limits: None,
            user_limits: None,
            key_limits: None,
            policy: None,
            defaults: None,
        }
    }
}

/// What was configured for a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// The organization it belongs to.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Its id.
    #[serde(rename = "project_id")]
    pub id: ProjectId,
    /// Counts its writes.
    pub revision: Revision,
    /// Whether its keys may be used.
    pub status: ParentStatus,
    /// How many keys it may have. As many as its organization has room for by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_keys: Option<u64>,
    /// What may be asked of all its keys together. No limit by default.
    #[serde(default, deserialize_with = "shown::some_limits", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The limits of its new keys for which none are said, in the place of its organization's.
    #[serde(default, deserialize_with = "shown::some_limits", skip_serializing_if = "Option::is_none")]
    pub key_limits: Option<Limits>,
    /// What its keys have to be, beside what its organization's policy says. Nothing by default.
    #[serde(default, deserialize_with = "shown::policy", skip_serializing_if = "Option::is_none")]
    pub policy: Option<KeyPolicy>,
    /// What new keys are where nobody says. What it does not say is its organization's.
    #[serde(default, deserialize_with = "shown::defaults", skip_serializing_if = "Option::is_none")]
    pub defaults: Option<KeyDefaults>,
}

impl ProjectRecord {
    /// The record of a project that has just been configured, with the defaults.
    #[must_use]
    pub fn new(organization: OrganizationId, id: ProjectId) -> Self {
        Self {
            organization,
            id,
            revision: Revision::FIRST,
            status: ParentStatus::Active,
            max_keys: None,
            limits: None,
            key_limits: None,
            policy: None,
            defaults: None,
        }
    }
}

/// What stands above a key. Absent records are parents with the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parents {
    /// Its organization, if configured.
    pub organization: Option<OrganizationRecord>,
    /// Its project, if it has one that is configured.
    pub project: Option<ProjectRecord>,
    /// The roles of its organization, if a user or a role was ever configured in it.
    pub roles: Option<RolesRecord>,
}
