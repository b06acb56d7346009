use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use keygate_core::context::Admission;
use keygate_http::gate::{RouteCost, WithoutKey};
use tower_service::Service;

use super::future::{Held, ResponseFuture};
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that has requests cost so much of their key's limits.
///
/// Made by [`Cost`](super::Cost). See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct CostService<S, R = ProblemRejection> {
    pub(super) inner: S,
    pub(super) cost: Arc<RouteCost>,
    pub(super) rejection: R,
}

impl<S, R> CostService<S, R> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, B2> Service<Request<B>> for CostService<S, R>
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
        let without_key = request.extensions().get::<WithoutKey>().copied();
        let admission = request.extensions_mut().get_mut::<Admission>();
        let charged = match self.cost.charge(admission, without_key, "ApiKeyLayer") {
            Some(charged) => charged,
            // Taken out for as long as the store is asked: what is charged is the original's.
            None => match request.extensions_mut().remove::<Admission>() {
                Some(admission) => {
                    // The service that was polled to readiness is this one; its clone may not be ready.
                    let clone = self.inner.clone();
                    let service = mem::replace(&mut self.inner, clone);
                    let (cost, rejection) = (Arc::clone(&self.cost), self.rejection.clone());
                    return ResponseFuture::charging(admission, Held { service, request, cost, rejection });
                }
                None => Ok(()),
            },
        };
        match charged {
            Ok(()) => ResponseFuture::inner(self.inner.call(request)),
            Err(denial) => ResponseFuture::rejected(refuse(&self.rejection, self.cost.refuse(&denial), denial)),
        }
    }
}
