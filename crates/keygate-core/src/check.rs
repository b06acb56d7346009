//! The decision over a genuine key: pure, synchronous, in one fixed order. Nothing here is ever cached; a hit in a
//! cache runs it again (CVE-2021-32701, GHSA-84rm).

use chrono::{DateTime, Utc};

use crate::context::RequestView;
use crate::denial::{Denial, DenialReason};
use crate::names::Environment;
use crate::record::{Key, KeyStatus, ParentStatus, Parents};

/// Decides whether a key whose secret was presented may be used for this request at this time. The first check that
/// fails gives the reason: organization and project, status, not-before and expiry, environment, client address,
/// scopes, permissions. Limits come after it, so that a denial burns nothing: whatever is asked of a key is asked here.
///
/// `environment` is where this service runs; the context's own environment is taken before it.
///
/// # Errors
/// The denial.
pub fn check<'a>(
    key: &Key,
    parents: &Parents,
    context: impl Into<RequestView<'a>>,
    environment: Option<Environment>,
    now: DateTime<Utc>,
) -> Result<(), Denial> {
    let context = context.into();
    let deny = |reason| Err(Denial::new(reason).for_key(key.id));

    if parents.organization.as_ref().is_some_and(|organization| organization.status == ParentStatus::Suspended) {
        return deny(DenialReason::OrganizationSuspended);
    }
    if parents.project.as_ref().is_some_and(|project| project.status == ParentStatus::Suspended) {
        return deny(DenialReason::ProjectSuspended);
    }
    match key.status.status {
        KeyStatus::Active => {}
        KeyStatus::Inactive => return deny(DenialReason::KeyInactive),
        KeyStatus::Revoked => return deny(DenialReason::KeyRevoked),
    }
    if key.not_before.is_some_and(|begin| now < begin) {
        return deny(DenialReason::KeyNotYetValid);
    }
    if key.is_expired(now) {
        return deny(DenialReason::KeyExpired);
    }
    if context.environment().or(environment).is_some_and(|here| here != key.environment) {
        return deny(DenialReason::EnvironmentMismatch);
    }
    let from_allowed = |address| key.allowed_ips.contains(address);
    if !key.allowed_ips.is_empty() && !context.client_address().is_some_and(from_allowed) {
        return deny(DenialReason::IpNotAllowed);
    }
    if let Some(scope) = context.scopes().iter().find(|scope| !key.scopes.covers(scope)) {
        return deny(DenialReason::ScopeNotAuthorized).map_err(|denial: Denial| denial.requiring(scope.clone()));
    }
    if let Some(permission) = context.permissions().iter().find(|permission| !key.permissions.covers(permission)) {
        return deny(DenialReason::PermissionDenied).map_err(|denial: Denial| denial.requiring(permission.clone()));
    }
    Ok(())
}
