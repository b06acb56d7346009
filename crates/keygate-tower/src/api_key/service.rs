use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use keygate_core::manager::{ApiKeyManager, Attempt};
use keygate_http::gate::Verdict;
use tower_layer::Layer;
use tower_service::Service;

use super::future::{Held, ResponseFuture};
use super::layer::ApiKeyLayer;
use super::request::HttpGate;
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that passes a request on only with an API key.
///
/// See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct ApiKeyService<S, R = ProblemRejection> {
    pub(super) inner: S,
    pub(super) gate: Arc<HttpGate>,
    pub(super) rejection: R,
}

impl<S> ApiKeyService<S> {
    /// Puts an [`ApiKeyLayer`] with its defaults before `inner`.
    pub fn new(inner: S, manager: ApiKeyManager) -> Self {
        ApiKeyLayer::new(manager).layer(inner)
    }
}

impl<S, R> ApiKeyService<S, R> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, B2> Service<Request<B>> for ApiKeyService<S, R>
where
    S: Service<Request<B>, Response = Response<B2>> + Clone,
    R: Reject<B2> + Clone,
{
    type Response = Response<B2>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let decision = match self.gate.judge(&mut request) {
            Verdict::Pass(why) => {
                self.gate.pass(&mut request, why);
                return ResponseFuture::inner(self.inner.call(request), None);
            }
            Verdict::Attempt(Attempt::Pending(pending)) => {
                // The service that was polled to readiness is this one; its clone may not be ready.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let (gate, rejection) = (Arc::clone(&self.gate), self.rejection.clone());
                return ResponseFuture::checking(pending, Held { service, request, gate, rejection });
            }
            Verdict::Attempt(Attempt::Decided(decision)) => decision,
        };
        match decision {
            Ok(admission) => {
                let underway = self.gate.admit(&mut request, admission);
                ResponseFuture::inner(self.inner.call(request), Some(underway))
            }
            Err(denial) => {
                let answer = self.gate.refuse(&denial, &mut request);
                ResponseFuture::rejected(refuse(&self.rejection, answer, denial))
            }
        }
    }
}
