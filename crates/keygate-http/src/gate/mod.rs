//! What a layer or a middleware was told, and what becomes of a request by it.
//!
//! A [`Gate`] is all of an adapter that is not its framework: an adapter reads a request's lines and its peer, asks
//! [`Gate::judge`], and does as the [`Verdict`] says. A [`Requirement`] is the same for what a part of a service needs
//! of the key, and a [`RouteCost`] for what it costs. So a rule stands here once, and every framework has it.
//!
//! Everything a gate requires of a key is part of the question to the manager, and so checked before any limit is
//! charged. A [`Requirement`] looks at a key that has been let in already, and charged; where it denies the request, the
//! charge is given back.
//!
//! A request that is admitted is [followed](Gate::follow) to its answer: an adapter keeps a [`Followed`] with it, which knows
//! what the response is to tell of limits and counts how it was answered, or that nobody waited for it.
//!
//! # What is counted
//!
//! The manager counts each request of a key that it knows, when it is decided over: what was decided, of which
//! [endpoint](Asked::route), from which address and [location](crate::location). It is counted of the key, its user, its
//! project and its organization. A request that is admitted is counted a second time when it is answered, by the class of
//! the status: a requirement within that denies it is an answer of 4xx, and not another denial. One whose future is dropped
//! before there is a response is counted as `cancelled`; a client that goes away in the middle of the body is not.
//!
//! Nobody is counted for a request without a key, nor for a text that is no key of this deployment
//! ([`UsageStatistics::forged`](keygate_core::usage::UsageStatistics::forged)).
//!
//! The endpoint is the pattern of the route, never the path, of which there are too many: `/reports/{id}`. A request that no
//! route matched has none.
//!
//! # Example
//!
//! ```
//! use keygate_core::denial::DenialReason;
//! # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::manager::Attempt;
//! use keygate_core::scope::Scope;
//! use keygate_http::gate::{Asked, Gate, Verdict, WithoutKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! let gate = Gate::new(manager).require_scope(Scope::new("reports:read")?).optional();
//!
//! let asked = Asked::new("GET", "/reports", None);
//! let request = [("Host", "api.example")];
//! assert!(matches!(gate.judge(asked, &request[..], None), Verdict::Pass(WithoutKey::Optional)));
//!
//! let request = [("X-API-Key", "no key of ours")];
//! let Verdict::Attempt(Attempt::Decided(Err(denial))) = gate.judge(asked, &request[..], None) else {
//!     panic!("a text that is no key needs no store to be refused");
//! };
//! assert_eq!(denial.reason(), DenialReason::MalformedKey);
//! assert_eq!(gate.refuse(&denial).status, 401);
//! # Ok(())
//! # }
//! ```

mod asked;
mod cost_rule;
mod endpoint_rule;
mod followed;
mod refusal;
mod requirement;
mod route_cost;
mod verdict;

use std::net::IpAddr;

use keygate_core::context::{Admission, RequestContext, RequestView};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::{ApiKeyManager, Attempt};
use keygate_core::names::Environment;
use keygate_core::scope::Scope;

pub use self::asked::Asked;
use self::cost_rule::CostRule;
use self::endpoint_rule::EndpointRule;
pub use self::followed::Followed;
use self::refusal::refuse_telling;
pub use self::refusal::{explain, refuse};
pub use self::requirement::Requirement;
pub use self::route_cost::RouteCost;
pub use self::verdict::{Verdict, WithoutKey};
use crate::answer::{Answer, Realm};
use crate::client_address::{TrustedProxies, client_address};
use crate::credentials::CredentialSources;
use crate::headers::Headers;
use crate::location::LocationSource;
use crate::metrics;
use crate::preflight::is_preflight;

/// Decides which requests go on to a service. See the [module docs](self) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct Gate {
    manager: ApiKeyManager,
    sources: CredentialSources,
    proxies: TrustedProxies,
    /// What is the same for every request: the environment, and the scopes and permissions that are required.
    context: RequestContext,
    cost: Option<CostRule>,
    endpoint: Option<EndpointRule>,
    location: LocationSource,
    optional: bool,
    allow_preflight: bool,
    tells_limits: bool,
    records_span_fields: bool,
    realm: Realm,
}

impl Gate {
    /// A gate that asks this manager about the key in `Authorization: Bearer` or `X-API-Key`, trusts no proxy, needs no
    /// particular scope, and charges 1 for each request.
    pub fn new(manager: ApiKeyManager) -> Self {
        Self {
            manager,
            sources: CredentialSources::default(),
            proxies: TrustedProxies::none(),
            context: RequestContext::new(),
            cost: None,
            endpoint: None,
            location: LocationSource::none(),
            optional: false,
            allow_preflight: false,
            tells_limits: true,
            records_span_fields: false,
            realm: Realm::default(),
        }
    }

    /// Reads credentials from these places. Sources without any place refuse every request.
    pub fn credentials(mut self, sources: CredentialSources) -> Self {
        self.sources = sources;
        self
    }

    /// Takes these proxies' word for where a request comes from.
    pub fn trusted_proxies(mut self, proxies: impl Into<TrustedProxies>) -> Self {
        self.proxies = proxies.into();
        self
    }

    /// Takes keys of this environment, and not of the manager's own.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.context = self.context.in_environment(environment);
        self
    }

    /// Takes keys of every environment: for what stands outside the environments, such as the management of keys.
    pub fn any_environment(mut self) -> Self {
        self.context = self.context.in_any_environment();
        self
    }

    /// Lets only keys through whose scopes cover this one. Called again, a key needs both.
    pub fn require_scope(mut self, scope: Scope) -> Self {
        self.context = self.context.needing_scope(scope);
        self
    }

    /// Lets only keys through whose permissions cover this one. Called again, a key needs both.
    pub fn require_permission(mut self, permission: Scope) -> Self {
        self.context = self.context.needing_permission(permission);
        self
    }

    /// Charges each request what `cost` says of it, in the place of 1. It is asked before anything is known of the key; 0
    /// charges nothing, and no limit refuses it.
    pub fn cost(mut self, cost: impl Fn(Asked<'_>) -> u64 + Send + Sync + 'static) -> Self {
        self.cost = Some(CostRule::new(cost));
        self
    }

    /// Counts each request as for the endpoint that `endpoint` says, and for none where it says `None`, in the place of the
    /// [route](Asked::route). What it says must take few values, or most are counted as `other`.
    pub fn endpoint(mut self, endpoint: impl for<'a> Fn(Asked<'a>) -> Option<&'a str> + Send + Sync + 'static) -> Self {
        self.endpoint = Some(EndpointRule::new(endpoint));
        self
    }

    /// Counts with each request where its client is. See [`location`](crate::location).
    pub fn location(mut self, source: impl Into<LocationSource>) -> Self {
        self.location = source.into();
        self
    }

    /// Whether `key_id`, `organization_id` and `user_id` of an admitted request are recorded on the current span of
    /// `tracing`, as far as it declares fields of these names. They are not if this is never called: who uses a service is
    /// for its logs only where somebody wants that.
    pub fn record_span_fields(mut self, records: bool) -> Self {
        self.records_span_fields = records;
        self
    }

    /// Whether responses tell of limits in `RateLimit-Policy` and `RateLimit`. They do if this is never called.
    pub fn rate_limit_headers(mut self, tells: bool) -> Self {
        self.tells_limits = tells;
        self
    }

    /// Lets a request without any key through. One with a key that is not valid is still refused, and so is one with
    /// several: who sends a key means to be known by it.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets CORS preflights through, which browsers send without credentials.
    pub fn allow_preflight(mut self) -> Self {
        self.allow_preflight = true;
        self
    }

    /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
    pub fn realm(mut self, realm: Realm) -> Self {
        self.realm = realm;
        self
    }

    /// Says what is to become of a request: `peer` is the other end of its connection, where that is known.
    pub fn judge<H: Headers + ?Sized>(&self, asked: Asked<'_>, headers: &H, peer: Option<IpAddr>) -> Verdict {
        let context = RequestView::from(&self.context);
        let context = match &self.cost {
            None => context,
            Some(rule) => context.costing(rule.cost(asked)),
        };
        let endpoint = match &self.endpoint {
            None => asked.route,
            Some(rule) => rule.endpoint(asked),
        };
        self.judge_with(context.for_endpoint(endpoint), asked, headers, peer)
    }

    /// [`judge`](Self::judge), for a gate that is told with each request what this one needs: `context` stands in the
    /// place of the environment, the scopes, the permissions, the cost and the endpoint the gate was made with. The client's
    /// address is that of the request all the same, and so is the location, unless the context has one.
    pub fn judge_for<H: Headers + ?Sized>(
        &self,
        context: &RequestContext,
        asked: Asked<'_>,
        headers: &H,
        peer: Option<IpAddr>,
    ) -> Verdict {
        self.judge_with(context.into(), asked, headers, peer)
    }

    fn judge_with<H: Headers + ?Sized>(
        &self,
        context: RequestView<'_>,
        asked: Asked<'_>,
        headers: &H,
        peer: Option<IpAddr>,
    ) -> Verdict {
        if self.allow_preflight && is_preflight(asked.method, headers) {
            return Verdict::Pass(WithoutKey::Preflight);
        }
        match self.sources.read(headers, asked.query) {
            Ok(credential) => {
                let address = client_address(peer, headers, &self.proxies);
                let context = context.at_address(address);
                let located = || self.location.locate(peer, address, headers, &self.proxies);
                let context = context.from_location(context.location().or_else(located));
                Verdict::Attempt(self.manager.attempt(credential.as_bytes(), context))
            }
            Err(denial) if self.optional && denial.reason() == DenialReason::MissingKey => {
                Verdict::Pass(WithoutKey::Optional)
            }
            Err(denial) => Verdict::Attempt(Attempt::Decided(Err(denial))),
        }
    }

    /// Writes a refusal to the log, counts it for the [`metrics`], and gives the answer to it.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Answer {
        metrics::denied(denial.reason());
        refuse_telling(denial, &self.realm, self.tells_limits)
    }

    /// Follows an admitted request to its answer. To be called once for each, within the request's span.
    pub fn follow(&self, admission: &Admission) -> Followed {
        self.let_in(admission);
        Followed::new(admission, self.tells_limits)
    }

    /// The same for a request whose answer is given elsewhere, as forward-auth's are: it is counted for the [`metrics`], and how it
    /// was answered is not.
    pub fn let_in(&self, admission: &Admission) {
        metrics::admitted();
        if self.records_span_fields {
            record_span_fields(admission);
        }
    }

    /// The headers a credential may stand in, in lower case, to be marked as sensitive.
    pub fn credential_headers(&self) -> impl Iterator<Item = &str> {
        self.sources.header_names()
    }
}

/// A span ignores what it did not declare, and none is made where nobody listens.
fn record_span_fields(admission: &Admission) {
    let span = tracing::Span::current();
    span.record("key_id", tracing::field::display(admission.id));
    span.record("organization_id", admission.organization.as_str());
    span.record("user_id", admission.user.as_str());
}
