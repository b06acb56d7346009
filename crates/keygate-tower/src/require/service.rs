use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use keygate_core::context::Admission;
use keygate_http::gate::{Requirement, WithoutKey};
use tower_service::Service;

use super::future::ResponseFuture;
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that refuses requests whose key does not cover a scope or permission.
///
/// Made by [`RequireScope`](super::RequireScope) and
/// [`RequirePermission`](super::RequirePermission). See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct Require<S, R = ProblemRejection> {
    pub(super) inner: S,
    pub(super) requirement: Arc<Requirement>,
    pub(super) rejection: R,
}

impl<S, R> Require<S, R> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, B2> Service<Request<B>> for Require<S, R>
where
    S: Service<Request<B>, Response = Response<B2>>,
    R: Reject<B2>,
{
    type Response = Response<B2>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B2>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let without_key = request.extensions().get::<WithoutKey>().copied();
        let admission = request.extensions_mut().get_mut::<Admission>();
        match self.requirement.check(admission, without_key, "ApiKeyLayer") {
            Ok(()) => ResponseFuture::inner(self.inner.call(request)),
            Err(denial) => ResponseFuture::rejected(refuse(&self.rejection, self.requirement.refuse(&denial), denial)),
        }
    }
}
