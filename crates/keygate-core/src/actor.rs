//! Who manages keys. Every management call takes an actor: one without does not compile.

use crate::names::{OrganizationId, PrincipalId};
use crate::scope::ScopeSet;

/// Whoever runs the deployment: the one caller no tenant wall stands before. To have one is to be trusted with
/// every organization's keys, so make it where the process itself is trusted (a command line on the store, a
/// service's own code) and never from something a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    principal: PrincipalId,
}

impl Operator {
    /// The operator, under a name that is recorded as the author of what is done.
    #[must_use]
    pub fn named(principal: PrincipalId) -> Self {
        Self { principal }
    }
}

/// A tenant's administrator: sees and changes one organization's keys, and grants what it may grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAdmin {
    principal: PrincipalId,
    organization: OrganizationId,
    grantable: ScopeSet,
}

impl TenantAdmin {
    /// An administrator of `organization`, who may hand out permissions and scopes that `grantable` covers.
    /// `principal` is recorded as the author of what is done: the id of the key that was presented.
    #[must_use]
    pub fn new(principal: PrincipalId, organization: OrganizationId, grantable: ScopeSet) -> Self {
        Self { principal, organization, grantable }
    }
}

/// Who manages keys: the [`Operator`] or a [`TenantAdmin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Everything, everywhere.
    Operator(Operator),
    /// One organization.
    Tenant(TenantAdmin),
}

impl Actor {
    /// The name recorded as the author of what is done.
    #[must_use]
    pub fn principal(&self) -> &PrincipalId {
        match self {
            Self::Operator(operator) => &operator.principal,
            Self::Tenant(admin) => &admin.principal,
        }
    }

    /// Whether keys of this organization are within its walls.
    #[must_use]
    pub fn reaches(&self, organization: &OrganizationId) -> bool {
        match self {
            Self::Operator(_) => true,
            Self::Tenant(admin) => admin.organization == *organization,
        }
    }

    /// What it may hand out: `None` is anything.
    #[must_use]
    pub fn grantable(&self) -> Option<&ScopeSet> {
        match self {
            Self::Operator(_) => None,
            Self::Tenant(admin) => Some(&admin.grantable),
        }
    }
}

impl From<Operator> for Actor {
    fn from(operator: Operator) -> Self {
        Self::Operator(operator)
    }
}

impl From<TenantAdmin> for Actor {
    fn from(admin: TenantAdmin) -> Self {
        Self::Tenant(admin)
    }
}
