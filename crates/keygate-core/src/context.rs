//! What goes into a decision beside the key, and what an admitted request carries out of it.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::Entry;
use crate::denial::{Denial, DenialReason};
use crate::limiter::policy::{Policy, Standing};
use crate::limiter::{Charge, Quick};
use crate::names::{Environment, OrganizationId};
use crate::record::{Key, Superseded};
use crate::scope::Scope;
use crate::usage::location::Location;
use crate::usage::outcome::Answered;
use crate::usage::period::Hour;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How much of the key's limits the request takes. 1 by default; 0 takes nothing, and no limit refuses it.
    pub cost: u64,
    /// What the request is for, as its usage is told apart: the pattern of a route (`/reports/{id}`), never a path, of which
    /// there are too many.
    pub endpoint: Option<Arc<str>>,
    /// Where the client is, as a resolver says.
    pub location: Option<Location>,
}

impl Default for RequestContext {
    fn default() -> Self {
        Self {
            client_address: None,
            environment: RequiredEnvironment::default(),
            organization: None,
            scopes: Arc::default(),
            permissions: Arc::default(),
            cost: 1,
            endpoint: None,
            location: None,
        }
    }
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

    /// With what the request takes of the key's limits.
    #[must_use]
    pub fn costing(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// With what it is for, as its usage is told apart.
    #[must_use]
    pub fn for_endpoint(mut self, endpoint: impl Into<Arc<str>>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// With where the client is.
    #[must_use]
    pub fn from_location(mut self, location: Location) -> Self {
        self.location = Some(location);
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
    cost: u64,
    endpoint: Option<&'a str>,
    location: Option<Location>,
    context: &'a RequestContext,
}

impl<'a> RequestView<'a> {
    /// With this address in the place of the context's own.
    #[must_use]
    pub fn at_address(self, client_address: Option<IpAddr>) -> Self {
        Self { client_address, ..self }
    }

    /// With this cost in the place of the context's own.
    #[must_use]
    pub fn costing(self, cost: u64) -> Self {
        Self { cost, ..self }
    }

    /// With this endpoint in the place of the context's own.
    #[must_use]
    pub fn for_endpoint(self, endpoint: Option<&'a str>) -> Self {
        Self { endpoint, ..self }
    }

    /// With this location in the place of the context's own.
    #[must_use]
    pub fn from_location(self, location: Option<Location>) -> Self {
        Self { location, ..self }
    }

    /// What the request is for, as its usage is told apart.
    #[must_use]
    pub fn endpoint(self) -> Option<&'a str> {
        self.endpoint
    }

    /// Where the client is.
    #[must_use]
    pub fn location(self) -> Option<Location> {
        self.location
    }

    /// How much of the key's limits the request takes.
    #[must_use]
    pub fn cost(self) -> u64 {
        self.cost
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

    /// The same, shared by all requests that the context is lent to.
    pub(crate) fn shared_scopes(self) -> &'a Arc<[Scope]> {
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
        let Self { client_address, cost, endpoint, location, context } = self;
        let endpoint = endpoint.map(|endpoint| match &context.endpoint {
            Some(own) if **own == *endpoint => Arc::clone(own),
            _ => Arc::from(endpoint),
        });
        RequestContext { client_address, cost, endpoint, location, ..context.clone() }
    }
}

impl<'a> From<&'a RequestContext> for RequestView<'a> {
    fn from(context: &'a RequestContext) -> Self {
        let RequestContext { client_address, cost, ref endpoint, location, .. } = *context;
        Self { client_address, cost, endpoint: endpoint.as_deref(), location, context }
    }
}

/// The list with one more. A context is cloned by requests that wait and changed by none, so the list is shared.
fn with(asked: &[Scope], more: Scope) -> Arc<[Scope]> {
    asked.iter().cloned().chain([more]).collect()
}

/// A request was let in: by which key, and what else its handler may want to know. Reads as the [`Key`].
///
/// Cheap to clone: clones share the key with each other and with the cache. What the request was charged is the
/// original's alone, so that it is given back once: a clone gives nothing back.
pub struct Admission {
    entry: Arc<Entry>,
    charge: Charge,
    /// That its request is counted in.
    hour: Hour,
    /// It was let in without a look at limits, as there are none. Where there was a look there may be none, too.
    is_unlimited: bool,
}

impl Clone for Admission {
    fn clone(&self) -> Self {
        let Self { hour, is_unlimited, .. } = *self;
        Self { entry: Arc::clone(&self.entry), charge: Charge::default(), hour, is_unlimited }
    }
}

impl Admission {
    pub(crate) fn new(entry: Arc<Entry>, charge: Charge) -> Self {
        Self { entry, charge, hour: Hour::default(), is_unlimited: false }
    }

    /// Of a request that nothing limits.
    pub(crate) fn unlimited(entry: Arc<Entry>, cost: u64) -> Self {
        Self { is_unlimited: true, ..Self::new(entry, Charge::to_nothing(cost)) }
    }

    pub(crate) fn counted_in(self, hour: Hour) -> Self {
        Self { hour, ..self }
    }

    /// What counts the answer to the request. For adapters: once for each request.
    pub fn recording(&self) -> Recording {
        Recording { entry: Arc::clone(&self.entry), hour: self.hour, answered: None }
    }

    /// By which key the request's was replaced, and when: `None` while it was not.
    #[must_use]
    pub fn superseded(&self) -> Option<Superseded> {
        self.entry.superseded()
    }

    /// What is left of each limit of the key, its user, its project and its organization, as far as this instance knows.
    /// Empty where nothing is limited.
    #[must_use]
    pub fn limits(&self) -> Vec<Standing> {
        self.entry.limits().map_or_else(Vec::new, |limited| limited.set().standings().collect())
    }

    /// The limit of which least is left.
    #[must_use]
    pub fn tightest_limit(&self) -> Option<Standing> {
        self.entry.tightest_limit()
    }

    /// All that is limited, as `write` writes it: once for each key, and then again as it was written. For adapters.
    #[must_use]
    pub fn policies(&self, write: impl FnOnce(&[Policy]) -> Bytes) -> Option<Bytes> {
        if self.is_unlimited {
            return None;
        }
        self.entry.limits()?.set().text(write)
    }

    /// What the request was charged. A clone was charged nothing.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.charge.cost()
    }

    /// Gives back what the request was charged: something further in has denied it. It charges nothing any more.
    pub fn refund(&mut self) {
        self.lower_cost(0);
    }

    fn lower_cost(&mut self, cost: u64) {
        let back = self.charge.cost().saturating_sub(cost);
        if back > 0
            && let Some(limited) = self.entry.limits()
        {
            limited.set().put_back(&mut self.charge, back);
        }
    }

    /// Has the request cost so much, in the place of what it was charged; `None` where the store has to be asked, and
    /// then nothing is changed. Of the original: a clone is charged as if for another request.
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::RateLimitExceeded`], or [`DenialReason::StoreUnavailable`]. What was charged
    /// before is given back.
    pub fn recharge_at_once(&mut self, cost: u64) -> Option<Result<(), Denial>> {
        let before = self.charge.cost();
        if cost <= before {
            self.lower_cost(cost);
            return Some(Ok(()));
        }
        let limited = self.entry.limits()?;
        if let Some(denial) = limited.set().too_costly(cost) {
            return Some(Err(self.denied(denial)));
        }
        match limited.set().charge_now(&mut self.charge, cost - before) {
            Quick::Charged => Some(Ok(())),
            Quick::Ask => None,
            Quick::Denied(denial) => Some(Err(self.denied(denial))),
        }
    }

    /// The same, asking the store where it must.
    ///
    /// # Errors
    /// As [`recharge_at_once`](Self::recharge_at_once).
    pub async fn recharge(&mut self, cost: u64) -> Result<(), Denial> {
        if let Some(recharged) = self.recharge_at_once(cost) {
            return recharged;
        }
        let Some(limited) = self.entry.limits() else { return Ok(()) };
        let more = cost.saturating_sub(self.charge.cost());
        limited.set().charge(&mut self.charge, more).await.map_err(|denial| self.denied(denial))
    }

    fn denied(&mut self, denial: Denial) -> Denial {
        self.refund();
        denial.for_key(self.key().id)
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

    /// Lets the request go on if the key's permissions cover `permission`, and its owner's roles do, as they were known when the
    /// request was let in, or later.
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::PermissionDenied`].
    pub fn require_permission(&self, permission: &Scope) -> Result<(), Denial> {
        require(self.entry.permits(permission), DenialReason::PermissionDenied, self.key(), permission)
    }

    /// What the key may do: what [it was given](Key::permissions), as far as the roles of its owner cover it. Where they cap it
    /// these are 256 at most: fewer than it may do, never more.
    #[must_use]
    pub fn effective_permissions(&self) -> Vec<Scope> {
        self.entry.effective_permissions()
    }

    /// What the roles of the key's owner cover, in order: the key may do what [it was given](Key::permissions) and one of
    /// these covers. `None` where nothing caps it.
    #[must_use]
    pub fn owner_permissions(&self) -> Option<Vec<Scope>> {
        self.entry.cap()
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

/// Counts how a request that was let in is answered. Dropped without an answer, it counts that nobody waited for one: so is
/// a request that its client gave up, wherever its future was.
#[must_use]
pub struct Recording {
    entry: Arc<Entry>,
    hour: Hour,
    answered: Option<Answered>,
}

impl Recording {
    /// The limit of the request's key, or above it, of which least is left.
    #[must_use]
    pub fn tightest_limit(&self) -> Option<Standing> {
        self.entry.tightest_limit()
    }

    /// By which key the request's was replaced, and when: `None` while it was not.
    #[must_use]
    pub fn superseded(&self) -> Option<Superseded> {
        self.entry.superseded()
    }

    /// The key's metadata, as it was when the request was let in.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.entry.key()
    }

    /// It was answered with this HTTP status.
    pub fn answered(self, status: u16) {
        self.came_to(Answered::of_status(status));
    }

    /// It came to this.
    pub fn came_to(mut self, answered: Answered) {
        self.answered = Some(answered);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.entry.answered(self.hour, self.answered.unwrap_or(Answered::Cancelled));
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("key", &self.key().id).finish_non_exhaustive()
    }
}
