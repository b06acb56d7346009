//! An instance of the API: its settings, and its router.

use std::sync::Arc;

use axum::Router;
use keygate_core::manager::ApiKeyManager;
use keygate_http::client_address::TrustedProxies;
use keygate_tower::ApiKeyLayer;

use crate::routes;

/// The management API, before it is a router. Made by [`Admin::new`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Admin {
    manager: ApiKeyManager,
    proxies: TrustedProxies,
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
}

impl State {
    pub(crate) fn manager(&self) -> &ApiKeyManager {
        &self.shared.manager
    }

    /// Whose word for a request's origin counts.
    pub(crate) fn proxies(&self) -> &TrustedProxies {
        &self.shared.proxies
    }
}

impl Admin {
    /// The API over this manager, which trusts no proxy.
    pub fn new(manager: ApiKeyManager) -> Self {
        Self { manager, proxies: TrustedProxies::none() }
    }

    /// Takes these proxies' word for where a request comes from, as
    /// [`ApiKeyLayer::trusted_proxies`](keygate_tower::ApiKeyLayer::trusted_proxies) does.
    pub fn trusted_proxies(mut self, proxies: impl Into<TrustedProxies>) -> Self {
        self.proxies = proxies.into();
        self
    }

    /// The router. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, or client addresses are not known.
    pub fn router(self) -> Router {
        let Self { manager, proxies } = self;
        // Management stands outside the environments: an operator's key of one reaches the keys of all.
        let guard = ApiKeyLayer::new(manager.clone()).any_environment().trusted_proxies(proxies.clone());
        let state = State { shared: Arc::new(Shared { manager, proxies }) };
        routes::router(guard).with_state(state)
    }
}
