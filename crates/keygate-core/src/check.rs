//! The decision over a genuine key: pure, synchronous, in one fixed order. Nothing here is ever cached; a hit in a
//! cache runs it again (CVE-2021-32701, GHSA-84rm).

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use smallvec::SmallVec;

use crate::context::{RequestView, RequiredEnvironment};
use crate::denial::{Denial, DenialReason};
use crate::governance::Owner;
use crate::names::Environment;
use crate::network::CidrSet;
use crate::record::{Key, KeyStatus, ParentStatus, Parents, UserStatus};
use crate::scope::{Scope, ScopeSet};

/// One of the checks that a presented text goes through, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// The text has the form of a key.
    Format,
    /// This deployment made it.
    Tag,
    /// There is such a key, and the text is it.
    Secret,
    /// The key is of the one organization that is asked about, where one is.
    Tenant,
    /// Its organization is active.
    Organization,
    /// Its project is active.
    Project,
    /// Its owner is active.
    User,
    /// It is active itself.
    Status,
    /// It has begun.
    NotBefore,
    /// It has not ended.
    Expiry,
    /// It is for this environment.
    Environment,
    /// It may be used from the client's address.
    ClientAddress,
    /// Its scopes cover what it is used on.
    Scopes,
    /// Its permissions cover what its holder wants to do, and its owner's roles do.
    Permissions,
    /// Its limits, and those above it, have room.
    Limits,
}

impl Check {
    /// All of them, in their order.
    pub const ALL: [Self; 15] = [
        Self::Format,
        Self::Tag,
        Self::Secret,
        Self::Tenant,
        Self::Organization,
        Self::Project,
        Self::User,
        Self::Status,
        Self::NotBefore,
        Self::Expiry,
        Self::Environment,
        Self::ClientAddress,
        Self::Scopes,
        Self::Permissions,
        Self::Limits,
    ];
}

/// What stands above a key: its organization and its project, and its owner where anything is known of owners.
#[derive(Debug, Clone, Copy)]
pub struct AboveView<'a> {
    /// Its organization with its roles, and its project.
    pub parents: &'a Parents,
    /// Its owner; `None` caps nothing.
    pub owner: Option<&'a Owner>,
}

impl<'a> From<&'a Parents> for AboveView<'a> {
    fn from(parents: &'a Parents) -> Self {
        Self { parents, owner: None }
    }
}

/// What the checks read of a key. With many keys in use a hit costs what it has to fetch from memory: of a key, with all its fields,
/// this would be here and there in ten lines; side by side it is in three.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Checked {
    status: KeyStatus,
    environment: Environment,
    allowed_ips: CidrSet,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    permissions: ScopeSet,
    scopes: Scopes,
}

/// How many scopes of a key lie in place.
const FEW: usize = 4;

/// The scopes of a key: few of them in place, as most keys have few, and a list is elsewhere in memory.
#[derive(Debug, Clone)]
enum Scopes {
    Few(SmallVec<[Scope; FEW]>),
    Many(ScopeSet),
}

impl Scopes {
    fn of(set: &ScopeSet) -> Self {
        if set.len() <= FEW { Self::Few(set.iter().cloned().collect()) } else { Self::Many(set.clone()) }
    }

    #[inline]
    fn cover(&self, scope: &Scope) -> bool {
        match self {
            Self::Few(scopes) => scopes.iter().any(|held| held.covers(scope)),
            Self::Many(set) => set.covers(scope),
        }
    }

    /// Looks at where most scopes are looked for.
    #[inline]
    fn fetch(&self) -> Option<bool> {
        match self {
            Self::Few(scopes) => scopes.last().map(Scope::is_concrete),
            Self::Many(_) => None,
        }
    }
}

impl Checked {
    /// Looks at its lines of memory.
    #[inline]
    pub(crate) fn fetch(&self) -> (Environment, Option<bool>) {
        (self.environment, self.scopes.fetch())
    }

    pub(crate) fn of(key: &Key) -> Self {
        Self {
            status: key.status.status,
            environment: key.environment,
            allowed_ips: key.allowed_ips.clone(),
            not_before: key.not_before,
            expires_at: key.expires_at,
            permissions: key.permissions.clone(),
            scopes: Scopes::of(&key.scopes),
        }
    }
}

/// What a decision is made of.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a Key,
    /// Of the same key.
    pub(crate) checked: &'a Checked,
    pub(crate) above: AboveView<'a>,
    pub(crate) context: RequestView<'a>,
    /// Where this service runs.
    pub(crate) environment: Option<Environment>,
    pub(crate) now: DateTime<Utc>,
}

/// Decides whether a key whose secret was presented may be used for this request at this time. The first check that
/// fails gives the reason: tenant, organization, project and user, status, not-before and expiry, environment, client
/// address, scopes, permissions. Limits come after it, so that a denial burns nothing: whatever is asked of a key is asked here.
///
/// `environment` is where this service runs; the context's own environment is taken before it.
///
/// # Errors
/// The denial.
pub fn check<'a>(
    key: &Key,
    above: impl Into<AboveView<'a>>,
    context: impl Into<RequestView<'a>>,
    environment: Option<Environment>,
    now: DateTime<Utc>,
) -> Result<(), Denial> {
    let (above, context, checked) = (above.into(), context.into(), &Checked::of(key));
    Subject { key, checked, above, context, environment, now }.decide()
}

impl Subject<'_> {
    /// The decision: the first check that fails gives the reason.
    #[inline]
    pub(crate) fn decide(&self) -> Result<(), Denial> {
        let first_failure = self.run(|_, outcome| match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(denial) => ControlFlow::Break(denial),
        });
        match first_failure {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(denial) => Err(denial),
        }
    }

    /// Runs the checks in their order, for as long as whoever looks at the outcomes wants more.
    #[inline]
    pub(crate) fn run<B>(&self, mut each: impl FnMut(Check, Result<(), Denial>) -> ControlFlow<B>) -> ControlFlow<B> {
        each(Check::Tenant, self.tenant())?;
        each(Check::Organization, self.organization())?;
        each(Check::Project, self.project())?;
        each(Check::User, self.user())?;
        each(Check::Status, self.status())?;
        each(Check::NotBefore, self.not_before())?;
        each(Check::Expiry, self.expiry())?;
        each(Check::Environment, self.environment())?;
        each(Check::ClientAddress, self.client_address())?;
        each(Check::Scopes, self.scopes())?;
        each(Check::Permissions, self.permissions())
    }

    /// The environment a key must be for; `None` is any.
    pub(crate) fn required_environment(&self) -> Option<Environment> {
        match self.context.environment() {
            RequiredEnvironment::OfManager => self.environment,
            RequiredEnvironment::Exactly(environment) => Some(environment),
            RequiredEnvironment::Any => None,
        }
    }

    #[inline]
    fn unless(&self, fails: bool, reason: DenialReason) -> Result<(), Denial> {
        if fails { Err(self.denial(reason)) } else { Ok(()) }
    }

    #[cold]
    fn denial(&self, reason: DenialReason) -> Denial {
        Denial::new(reason).for_key(self.key.id)
    }

    /// Another tenant's key is as good as none.
    #[inline]
    fn tenant(&self) -> Result<(), Denial> {
        let only = self.context.organization();
        self.unless(only.is_some_and(|only| *only != self.key.organization), DenialReason::InvalidKey)
    }

    #[inline]
    fn organization(&self) -> Result<(), Denial> {
        let status = self.above.parents.organization.as_ref().map(|organization| organization.status);
        self.unless(status == Some(ParentStatus::Suspended), DenialReason::OrganizationSuspended)
    }

    #[inline]
    fn project(&self) -> Result<(), Denial> {
        let status = self.above.parents.project.as_ref().map(|project| project.status);
        self.unless(status == Some(ParentStatus::Suspended), DenialReason::ProjectSuspended)
    }

    #[inline]
    fn user(&self) -> Result<(), Denial> {
        let stopped = self.above.owner.is_some_and(|owner| owner.status() != UserStatus::Active);
        self.unless(stopped, DenialReason::UserSuspended)
    }

    #[inline]
    fn status(&self) -> Result<(), Denial> {
        match self.checked.status {
            KeyStatus::Active => Ok(()),
            KeyStatus::Inactive => Err(self.denial(DenialReason::KeyInactive)),
            KeyStatus::Revoked => Err(self.denial(DenialReason::KeyRevoked)),
        }
    }

    #[inline]
    fn not_before(&self) -> Result<(), Denial> {
        self.unless(self.checked.not_before.is_some_and(|begin| self.now < begin), DenialReason::KeyNotYetValid)
    }

    #[inline]
    fn expiry(&self) -> Result<(), Denial> {
        self.unless(self.checked.expires_at.is_some_and(|end| end <= self.now), DenialReason::KeyExpired)
    }

    #[inline]
    fn environment(&self) -> Result<(), Denial> {
        let required = self.required_environment();
        self.unless(required.is_some_and(|here| here != self.checked.environment), DenialReason::EnvironmentMismatch)
    }

    #[inline]
    fn client_address(&self) -> Result<(), Denial> {
        let allowed = &self.checked.allowed_ips;
        let from_allowed = |address| allowed.contains(address);
        let fails = !allowed.is_empty() && !self.context.client_address().is_some_and(from_allowed);
        self.unless(fails, DenialReason::IpNotAllowed)
    }

    #[inline]
    fn scopes(&self) -> Result<(), Denial> {
        match self.context.scopes().iter().find(|scope| !self.checked.scopes.cover(scope)) {
            Some(scope) => Err(self.denial(DenialReason::ScopeNotAuthorized).requiring(scope.clone())),
            None => Ok(()),
        }
    }

    /// Whether the key was given the permission, and its owner covers it.
    pub(crate) fn permits(&self, permission: &Scope) -> bool {
        let AboveView { parents, owner } = self.above;
        self.checked.permissions.covers(permission) && owner.is_none_or(|owner| owner.covers(parents, permission))
    }

    #[inline]
    fn permissions(&self) -> Result<(), Denial> {
        match self.context.permissions().iter().find(|permission| !self.permits(permission)) {
            Some(permission) => Err(self.denial(DenialReason::PermissionDenied).requiring(permission.clone())),
            None => Ok(()),
        }
    }
}
