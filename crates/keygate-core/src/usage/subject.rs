//! Of whom requests are counted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::KeyId;
use crate::names::{OrganizationId, ProjectId, UserId};
use crate::record::Key;

/// A key, or what stands above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// One key.
    Key(KeyId),
    /// All keys of a user.
    User(OrganizationId, UserId),
    /// All keys of a project.
    Project(OrganizationId, ProjectId),
    /// All keys of an organization.
    Organization(OrganizationId),
}

impl Subject {
    /// All that a request of this key is counted of.
    pub fn of(key: &Key) -> impl Iterator<Item = Self> {
        let organization = &key.organization;
        let project = key.project.iter().map(|project| Self::Project(organization.clone(), project.clone()));
        [Self::Key(key.id), Self::User(organization.clone(), key.user.clone())]
            .into_iter()
            .chain(project)
            .chain([Self::Organization(organization.clone())])
    }
}

impl fmt::Display for Subject {
    /// `key:<id>`, `user:<organization>:<user>` and so on. No two have the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::User(organization, user) => write!(f, "user:{organization}:{user}"),
            Self::Project(organization, project) => write!(f, "project:{organization}:{project}"),
            Self::Organization(organization) => write!(f, "organization:{organization}"),
        }
    }
}
