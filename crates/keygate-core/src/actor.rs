//! Who manages keys. Every management call takes an actor: one without does not compile.

use std::fmt;
use std::net::IpAddr;

use crate::names::{OrganizationId, PrincipalId};
use crate::record::Key;
use crate::scope::{Scope, ScopeSet};

/// Whoever runs the deployment: the one caller no tenant wall stands before. To have one is to be trusted with
/// every organization's keys, so make it where the process itself is trusted (a command line on the store, a
/// service's own code) and never from something a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    principal: PrincipalId,
    grantable: Option<ScopeSet>,
    from: Option<IpAddr>,
}

impl Operator {
    /// The operator, under a name that is recorded as the author of what is done.
    #[must_use]
    pub fn named(principal: PrincipalId) -> Self {
        Self { principal, grantable: None, from: None }
    }

    /// Who may hand out only what `grantable` covers.
    #[must_use]
    pub fn granting(self, grantable: ScopeSet) -> Self {
        Self { grantable: Some(grantable), ..self }
    }
}

/// A tenant's administrator: sees and changes one organization's keys, and grants what it may grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAdmin {
    principal: PrincipalId,
    organization: OrganizationId,
    grantable: ScopeSet,
    from: Option<IpAddr>,
}

impl TenantAdmin {
    /// An administrator of `organization`, who may hand out permissions and scopes that `grantable` covers.
    /// `principal` is recorded as the author of what is done: the id of the key that was presented.
    #[must_use]
    pub fn new(principal: PrincipalId, organization: OrganizationId, grantable: ScopeSet) -> Self {
        Self { principal, organization, grantable, from: None }
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
    /// Who manages keys with this one, once it has been let in: the operator with a key of the organization
    /// [`system`](OrganizationId::system), with any other a tenant's administrator. Either hands out what the key's
    /// `grantable` covers. Which calls it may make is a matter of the key's permissions, and not looked at here.
    #[must_use]
    pub fn with_key(key: &Key) -> Self {
        let principal = PrincipalId::from(key.id);
        if key.organization.is_system() {
            Self::Operator(Operator::named(principal).granting(key.grantable.clone()))
        } else {
            Self::Tenant(TenantAdmin::new(principal, key.organization.clone(), key.grantable.clone()))
        }
    }

    /// The same, from this address, as far as that is known. The [audit](crate::audit) tells of it.
    #[must_use]
    pub fn at_address(self, from: Option<IpAddr>) -> Self {
        match self {
            Self::Operator(operator) => Self::Operator(Operator { from, ..operator }),
            Self::Tenant(admin) => Self::Tenant(TenantAdmin { from, ..admin }),
        }
    }

    /// From where it is done, as far as that is known.
    #[must_use]
    pub fn from_address(&self) -> Option<IpAddr> {
        match self {
            Self::Operator(operator) => operator.from,
            Self::Tenant(admin) => admin.from,
        }
    }

    /// The operator, if it is the operator.
    #[must_use]
    pub fn operator(&self) -> Option<&Operator> {
        match self {
            Self::Operator(operator) => Some(operator),
            Self::Tenant(_) => None,
        }
    }

    /// The one organization within its walls; `None` is every one.
    #[must_use]
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Operator(_) => None,
            Self::Tenant(admin) => Some(&admin.organization),
        }
    }

    /// The name recorded as the author of what is done.
    #[must_use]
    pub fn principal(&self) -> &PrincipalId {
        match self {
            Self::Operator(operator) => &operator.principal,
            Self::Tenant(admin) => &admin.principal,
        }
    }

    /// Whether keys of this organization are within its walls. Those of [`system`](OrganizationId::system) are within no
    /// tenant's, whatever it is called.
    #[must_use]
    pub fn reaches(&self, organization: &OrganizationId) -> bool {
        self.organization().is_none_or(|own| own == organization && !own.is_system())
    }

    /// What it may hand out: `None` is anything.
    #[must_use]
    pub fn grantable(&self) -> Option<&ScopeSet> {
        match self {
            Self::Operator(operator) => operator.grantable.as_ref(),
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

/// What a key may be permitted to do in the management of keys. Each is a permission like any other, and covered by
/// patterns: a key that holds `keys:*` may do all with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ManagementPermission {
    /// To see keys.
    KeysRead,
    /// To make, change, stop and erase keys.
    KeysWrite,
    /// To read the fields of keys that are kept encrypted.
    KeysSensitive,
    /// To ask whether a key is valid.
    KeysVerify,
    /// To see what keys were used for.
    UsageRead,
    /// To see who did what.
    AuditRead,
    /// To change one's own organization's settings.
    OrganizationSettings,
    /// To set up, suspend and resume organizations, and to set their quotas: the operator's alone.
    OrganizationsWrite,
    /// To bring in keys that were made elsewhere: the operator's alone.
    KeysImport,
}

impl ManagementPermission {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::KeysRead,
        Self::KeysWrite,
        Self::KeysSensitive,
        Self::KeysVerify,
        Self::UsageRead,
        Self::AuditRead,
        Self::OrganizationSettings,
        Self::OrganizationsWrite,
        Self::KeysImport,
    ];

    /// The permission as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::KeysSensitive => "keys:sensitive",
            Self::KeysVerify => "keys:verify",
            Self::UsageRead => "usage:read",
            Self::AuditRead => "audit:read",
            Self::OrganizationSettings => "organization:settings",
            Self::OrganizationsWrite => "organizations:write",
            Self::KeysImport => "keys:import",
        }
    }

    /// The permission in the grammar of scopes.
    #[must_use]
    pub fn scope(self) -> Scope {
        Scope::literal(self.as_str())
    }

    /// Whether only the operator may use it, whoever holds it.
    #[must_use]
    pub fn is_operators(self) -> bool {
        matches!(self, Self::OrganizationsWrite | Self::KeysImport)
    }
}

impl fmt::Display for ManagementPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_a_scope() {
        for permission in ManagementPermission::ALL {
            assert_eq!(Scope::new(permission.as_str()).unwrap(), permission.scope());
        }
    }
}
