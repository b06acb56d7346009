//! An instance of the API: its settings, and its router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use keygate_core::manager::{ApiKeyManager, StoreState};
use keygate_http::client_address::TrustedProxies;
use keygate_http::location::LocationSource;
use keygate_tower::ApiKeyLayer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::ending::Ending;
use crate::metrics::Metrics;
use crate::middleware::access_log;
use crate::middleware::limits::{Limits, panicked};
use crate::probe::Probe;
use crate::routes;

/// The management API, before it is a router. Made by [`Admin::new`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Admin {
    manager: ApiKeyManager,
    proxies: TrustedProxies,
    locations: LocationSource,
    limits: Limits,
    ending: Ending,
}

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct State {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manager: ApiKeyManager,
    proxies: TrustedProxies,
    ending: Ending,
    metrics: Arc<Metrics>,
    probe: Probe,
}

impl State {
    pub(crate) fn manager(&self) -> &ApiKeyManager {
        &self.shared.manager
    }

    /// Whose word for a request's origin counts.
    pub(crate) fn proxies(&self) -> &TrustedProxies {
        &self.shared.proxies
    }

    /// Whether the server is about to end.
    pub(crate) fn ending(&self) -> &Ending {
        &self.shared.ending
    }

    /// The figures.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What the store is like, as of a second ago at most.
    pub(crate) async fn look(&self) -> StoreState {
        self.shared.probe.look(&self.shared.manager).await
    }
}

impl Admin {
    /// The API over this manager, which trusts no proxy and takes 512 requests at once, of 256 KiB each, for 30 s.
    pub fn new(manager: ApiKeyManager) -> Self {
        Self {
            manager,
            proxies: TrustedProxies::none(),
            locations: LocationSource::none(),
            limits: Limits::default(),
            ending: Ending::default(),
        }
    }

    /// Takes these proxies' word for where a request comes from, as
    /// [`ApiKeyLayer::trusted_proxies`](keygate_tower::ApiKeyLayer::trusted_proxies) does.
    pub fn trusted_proxies(mut self, proxies: impl Into<TrustedProxies>) -> Self {
        self.proxies = proxies.into();
        self
    }

    /// Where clients are, as usage is told apart by: of those who manage keys, and of those whose requests a proxy asks
    /// about. Nowhere if never called.
    pub fn location(mut self, source: impl Into<LocationSource>) -> Self {
        self.locations = source.into();
        self
    }

    /// The largest body of a request, in bytes; 256 KiB if never called. A larger one is refused with 413. Some calls
    /// take less.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.limits.body = bytes;
        self
    }

    /// How long a request may take until its answer begins; 30 s if never called. One that takes longer is given up, and
    /// answered with 504: a change may have been made all the same.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limits.time = limit;
        self
    }

    /// How many requests are taken on at once; 512 if never called, and 1 at least. What comes beyond is refused with 503
    /// and not kept waiting. Forward-auth is counted by itself, and has room for as many; health and figures are not
    /// counted, and always answered.
    pub fn at_once(mut self, requests: usize) -> Self {
        self.limits.at_once = requests.max(1);
        self
    }

    /// The way to say that the server is about to end, so that `/readyz` says so.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// The router. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, or client addresses are not known.
    ///
    /// It writes one event for each request to the log, with the target `keygate::access` and without anything that may
    /// be a key, and answers with the request's name in `X-Request-Id`.
    pub fn router(self) -> Router {
        let Self { manager, proxies, locations, limits, ending } = self;
        // Management stands outside the environments: an operator's key of one reaches the keys of all.
        let guard = ApiKeyLayer::new(manager.clone()).any_environment().trusted_proxies(proxies.clone());
        let guard = guard.location(locations.clone());
        let metrics = Arc::new(Metrics::new(&manager));
        let shared = Shared { manager, proxies, ending, metrics: Arc::clone(&metrics), probe: Probe::default() };
        let state = State { shared: Arc::new(shared) };
        let (managed, authorize) = routes::router(guard, locations, &state);
        // Forward-auth has room of its own: however much is managed, the services behind a proxy go on.
        limits
            .before(managed, Arc::clone(&metrics))
            .merge(limits.before(authorize, metrics))
            .merge(routes::unlimited())
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(routes::answer_nginx_always))
            .layer(from_fn_with_state(state.clone(), access_log::log))
            .with_state(state)
    }
}
