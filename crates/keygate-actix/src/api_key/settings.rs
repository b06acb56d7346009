//! What a transform was told, shared by all services it makes.

use std::net::IpAddr;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::{ApiKeyManager, Attempt};
use keygate_http::answer::Realm;
use keygate_http::client_address::{TrustedProxies, client_address};
use keygate_http::credentials::CredentialSources;
use keygate_http::preflight::is_preflight;

use crate::header_lines::{HeaderLines, mark_sensitive};
use crate::require::Requirement;

/// A request that was passed on without a key, and why: what stands within need not take it for one that no
/// [`ApiKeyTransform`](super::ApiKeyTransform) has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutKey {
    /// It carried none, and none is needed.
    Optional,
    /// It is a CORS preflight, and those are let through.
    Preflight,
}

/// What is to become of a request.
pub(super) enum Verdict {
    /// It is passed on without a key.
    Pass(WithoutKey),
    /// It has been decided, or has to wait for the store.
    Attempt(Attempt),
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) manager: ApiKeyManager,
    pub(super) sources: CredentialSources,
    pub(super) proxies: TrustedProxies,
    /// What is the same for every request: the environment, a scope and a permission.
    pub(super) context: RequestContext,
    /// Scopes and permissions beyond the first.
    pub(super) further: Vec<Requirement>,
    pub(super) optional: bool,
    pub(super) allow_preflight: bool,
    pub(super) realm: Realm,
}

impl Settings {
    pub(super) fn new(manager: ApiKeyManager) -> Self {
        Self {
            manager,
            sources: CredentialSources::default(),
            proxies: TrustedProxies::none(),
            context: RequestContext::new(),
            further: Vec::new(),
            optional: false,
            allow_preflight: false,
            realm: Realm::default(),
        }
    }

    pub(super) fn judge(&self, request: &ServiceRequest) -> Verdict {
        let headers = HeaderLines(request.headers());
        if self.allow_preflight && is_preflight(request.method().as_str(), &headers) {
            return Verdict::Pass(WithoutKey::Preflight);
        }
        match self.sources.read(&headers, request.uri().query()) {
            Ok(credential) => {
                let mut context = self.context.clone();
                context.client_address = self.client_address(request);
                Verdict::Attempt(self.manager.attempt(credential.as_bytes(), context))
            }
            Err(denial) if self.optional && denial.reason() == DenialReason::MissingKey => {
                Verdict::Pass(WithoutKey::Optional)
            }
            Err(denial) => Verdict::Attempt(Attempt::Decided(Err(denial))),
        }
    }

    /// Keeps the credential out of `Debug` output. A refused request is marked too: it goes back out with the
    /// response, past every middleware further out.
    pub(super) fn hide_credentials(&self, request: &mut ServiceRequest) {
        mark_sensitive(request.headers_mut(), self.sources.header_names());
    }

    /// The request as a service within may see it once it is admitted.
    pub(super) fn admit(request: &ServiceRequest, admission: Admission) {
        request.extensions_mut().insert(admission);
    }

    /// The request as a service within may see it without a key. An admission of a transform further out is not this
    /// one's word and goes.
    pub(super) fn pass(request: &ServiceRequest, why: WithoutKey) {
        let mut extensions = request.extensions_mut();
        extensions.remove::<Admission>();
        extensions.insert(why);
    }

    /// What the manager was not asked: the scopes and permissions beyond the first.
    pub(super) fn check_further(&self, admission: Admission) -> Result<Admission, Denial> {
        self.further.iter().try_for_each(|requirement| requirement.check(&admission))?;
        Ok(admission)
    }

    fn client_address(&self, request: &ServiceRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        client_address(peer, &HeaderLines(request.headers()), &self.proxies)
    }

    /// Says in the log what nobody can see from outside: a key bound to networks was refused because the server does
    /// not know addresses.
    pub(super) fn explain(&self, denial: &Denial, request: &ServiceRequest) {
        if denial.reason() == DenialReason::IpNotAllowed && self.client_address(request).is_none() {
            tracing::warn!(
                "a key bound to networks was refused because the client's address is not known, as on a Unix socket"
            );
        }
    }
}
