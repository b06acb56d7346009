use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::{Error, HttpResponse};
use keygate_core::denial::Denial;
use keygate_core::manager::ApiKeyManager;
use keygate_core::names::Environment;
use keygate_core::scope::Scope;
use keygate_http::answer::{Answer, Realm};
use keygate_http::client_address::TrustedProxies;
use keygate_http::credentials::CredentialSources;
use keygate_http::gate::{Asked, Gate};
use keygate_http::location::LocationSource;

use super::routes::Routes;
use super::service::ApiKeyService;
use crate::reject::{ProblemRejection, Reject};

/// Middleware that lets a request through only with an API key.
///
/// Clones share their settings. See the [module docs](super) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct ApiKeyTransform<R = ProblemRejection> {
    gate: Arc<Gate>,
    rejection: R,
}

impl ApiKeyTransform {
    /// A middleware that asks this manager about the key in `Authorization: Bearer` or `X-API-Key`, trusts no proxy,
    /// needs no particular scope, and refuses with problem+json.
    pub fn new(manager: ApiKeyManager) -> Self {
        Self { gate: Arc::new(Gate::new(manager)), rejection: ProblemRejection }
    }
}

impl<R> ApiKeyTransform<R> {
    /// Reads credentials from these places. Sources without any place refuse every request.
    pub fn credentials(self, sources: CredentialSources) -> Self {
        self.with(|gate| gate.credentials(sources))
    }

    /// Takes these proxies' word for where a request comes from. An empty set trusts nobody.
    pub fn trusted_proxies(self, proxies: impl Into<TrustedProxies>) -> Self {
        let proxies = proxies.into();
        self.with(|gate| gate.trusted_proxies(proxies))
    }

    /// Takes keys of this environment, and not of the manager's own.
    pub fn environment(self, environment: Environment) -> Self {
        self.with(|gate| gate.environment(environment))
    }

    /// Takes keys of every environment: for what stands outside the environments, such as the management of keys.
    pub fn any_environment(self) -> Self {
        self.with(Gate::any_environment)
    }

    /// Lets only keys through whose scopes cover this one. Called again, a key needs both.
    ///
    /// For what some routes need, see [`RequireScope`](crate::RequireScope).
    pub fn require_scope(self, scope: Scope) -> Self {
        self.with(|gate| gate.require_scope(scope))
    }

    /// Lets only keys through whose permissions cover this one. Called again, a key needs both.
    pub fn require_permission(self, permission: Scope) -> Self {
        self.with(|gate| gate.require_permission(permission))
    }

    /// Charges each request what `cost` says of it, in the place of 1. It is asked before anything is known of the key; 0
    /// charges nothing, and no limit refuses it.
    ///
    /// For what one route costs, see [`Cost`](crate::Cost).
    pub fn cost(self, cost: impl Fn(Asked<'_>) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.cost(cost))
    }

    /// Counts each request as for the endpoint that `endpoint` says, and for none where it says `None`, in the place of the
    /// [route](Asked::route) that was matched. What it says must take few values, or most are counted as `other`.
    pub fn endpoint(self, endpoint: impl for<'a> Fn(Asked<'a>) -> Option<&'a str> + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.endpoint(endpoint))
    }

    /// Counts with each request where its client is: a header that the trusted proxies write, a database, or a closure. See
    /// [`keygate_http::location`].
    pub fn location(self, source: impl Into<LocationSource>) -> Self {
        let source = source.into();
        self.with(|gate| gate.location(source))
    }

    /// Whether `key_id`, `organization_id` and `user_id` of an admitted request are recorded on the current span of
    /// `tracing`, as far as it declares fields of these names. They are not if this is never called.
    pub fn record_span_fields(self, records: bool) -> Self {
        self.with(|gate| gate.record_span_fields(records))
    }

    /// Whether responses tell of limits in `RateLimit-Policy` and `RateLimit`. They do if this is never called; see
    /// [`keygate_http::rate_limit`]. A response that has either header already is left as it is.
    pub fn rate_limit_headers(self, tells: bool) -> Self {
        self.with(|gate| gate.rate_limit_headers(tells))
    }

    /// Lets a request without any key through, without an [`Admission`](keygate_core::context::Admission). A request
    /// with a key that is not valid is still refused, and so is one with several: who sends a key means to be known
    /// by it.
    pub fn optional(self) -> Self {
        self.with(Gate::optional)
    }

    /// Lets CORS preflights through, which browsers send without credentials. Needed only where the middleware that
    /// answers them stands within this one; outside of it is the better place.
    pub fn allow_preflight(self) -> Self {
        self.with(Gate::allow_preflight)
    }

    /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
    pub fn realm(self, realm: Realm) -> Self {
        self.with(|gate| gate.realm(realm))
    }

    /// Refuses with the responses that `reject` makes. It gets the denial and the answer keygate would give.
    pub fn on_reject<F>(self, reject: F) -> ApiKeyTransform<F>
    where
        F: Fn(&Denial, Answer) -> HttpResponse,
    {
        self.rejection(reject)
    }

    /// Refuses with the responses of this [`Reject`](crate::Reject).
    pub fn rejection<R2>(self, rejection: R2) -> ApiKeyTransform<R2> {
        ApiKeyTransform { gate: self.gate, rejection }
    }

    fn with(self, change: impl FnOnce(Gate) -> Gate) -> Self {
        Self { gate: Arc::new(change(Arc::unwrap_or_clone(self.gate))), rejection: self.rejection }
    }
}

impl<S, R, B> Transform<S, ServiceRequest> for ApiKeyTransform<R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    R: Reject + Clone,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = ApiKeyService<S, R>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let (gate, rejection) = (Arc::clone(&self.gate), self.rejection.clone());
        let credentials = Rc::new(gate.credential_headers().collect());
        let routes = Rc::new(Routes::new());
        ready(Ok(ApiKeyService { inner: Rc::new(inner), gate, credentials, routes, rejection }))
    }
}
