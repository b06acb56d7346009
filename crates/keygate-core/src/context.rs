//! What goes into a decision beside the key, and what an admitted request carries out of it.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::cache::Entry;
use crate::denial::{Denial, DenialReason};
use crate::names::{Environment, OrganizationId};
use crate::record::Key;
use crate::scope::Scope;

/// Keys of which environment may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequiredEnvironment {
    /// Of the manager's own.
    #[default]
    OfManager,
    /// Of this one.
    Exactly(Environment),
    /// Of any: for what stands outside the environments, such as the management of keys.
    Any,
}

/// What is known of a request, beside its key. Adapters fill it; the checks read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The client's address. A key that may be used from some networks only is refused where it is not known.
    pub client_address: Option<IpAddr>,
    /// Where the key is being used.
    pub environment: RequiredEnvironment,
    /// The one organization whose keys may be used; any other's is [`DenialReason::InvalidKey`]. Any organization's by
    /// default.
    pub organization: Option<OrganizationId>,
    /// What the key is to be used on: its scopes must cover all of these.
    pub scopes: Arc<[Scope]>,
    /// What its holder wants to do: the key's permissions must cover all of these.
    pub permissions: Arc<[Scope]>,
}

impl RequestContext {
    /// A context that says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the client's address.
    #[must_use]
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.client_address = Some(address);
        self
    }

    /// With the environment the key is being used in.
    #[must_use]
    pub fn in_environment(mut self, environment: Environment) -> Self {
        self.environment = RequiredEnvironment::Exactly(environment);
        self
    }

    /// With keys of every environment allowed.
    #[must_use]
    pub fn in_any_environment(mut self) -> Self {
        self.environment = RequiredEnvironment::Any;
        self
    }

    /// With keys of this organization alone allowed.
    #[must_use]
    pub fn within(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// With a scope the key must cover, beside those asked for before.
    #[must_use]
    pub fn needing_scope(mut self, scope: Scope) -> Self {
        self.scopes = with(&self.scopes, scope);
        self
    }

    /// With a permission the key must cover, beside those asked for before.
    #[must_use]
    pub fn needing_permission(mut self, permission: Scope) -> Self {
        self.permissions = with(&self.permissions, permission);
        self
    }
}

/// What is known of a request, lent. A service has one [`RequestContext`] for all its requests and lends it with each
/// one's address: to clone it would have every request write to memory that all of them share.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    client_address: Option<IpAddr>,
    context: &'a RequestContext,
}

impl<'a> RequestView<'a> {
    /// With this address in the place of the context's own.
    #[must_use]
    pub fn at_address(self, client_address: Option<IpAddr>) -> Self {
        Self { client_address, ..self }
    }

    /// The client's address.
    #[must_use]
    pub fn client_address(self) -> Option<IpAddr> {
        self.client_address
    }

    /// Where the key is being used.
    #[must_use]
    pub fn environment(self) -> RequiredEnvironment {
        self.context.environment
    }

    /// The one organization whose keys may be used, if it is one.
    #[must_use]
    pub fn organization(self) -> Option<&'a OrganizationId> {
        self.context.organization.as_ref()
    }

    /// What the key is to be used on.
    #[must_use]
    pub fn scopes(self) -> &'a [Scope] {
        &self.context.scopes
    }

    /// What its holder wants to do.
    #[must_use]
    pub fn permissions(self) -> &'a [Scope] {
        &self.context.permissions
    }

    /// A context of one's own.
    #[must_use]
    pub fn to_context(self) -> RequestContext {
        RequestContext { client_address: self.client_address, ..self.context.clone() }
    }
}

impl<'a> From<&'a RequestContext> for RequestView<'a> {
    fn from(context: &'a RequestContext) -> Self {
        Self { client_address: context.client_address, context }
    }
}

/// The list with one more. A context is cloned by requests that wait and changed by none, so the list is shared.
fn with(asked: &[Scope], more: Scope) -> Arc<[Scope]> {
    asked.iter().cloned().chain([more]).collect()
}

/// A request was let in: by which key, and what else its handler may want to know. Reads as the [`Key`].
///
/// Cheap to clone: clones share the key with each other and with the cache.
#[derive(Clone)]
pub struct Admission {
    entry: Arc<Entry>,
}

impl Admission {
    pub(crate) fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    /// The key's metadata, as it was when the request was let in.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.entry.key()
    }

    /// Lets the request go on if the key's scopes cover `scope`.
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::ScopeNotAuthorized`].
    pub fn require_scope(&self, scope: &Scope) -> Result<(), Denial> {
        require(self.key().scopes.covers(scope), DenialReason::ScopeNotAuthorized, self.key(), scope)
    }

    /// Lets the request go on if the key's permissions cover `permission`.
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::PermissionDenied`].
    pub fn require_permission(&self, permission: &Scope) -> Result<(), Denial> {
        require(self.key().permissions.covers(permission), DenialReason::PermissionDenied, self.key(), permission)
    }
}

fn require(covered: bool, reason: DenialReason, key: &Key, asked: &Scope) -> Result<(), Denial> {
    if covered { Ok(()) } else { Err(Denial::new(reason).for_key(key.id).requiring(asked.clone())) }
}

impl Deref for Admission {
    type Target = Key;
    fn deref(&self) -> &Key {
        self.key()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("key", self.key()).finish()
    }
}
