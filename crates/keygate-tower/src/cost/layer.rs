use std::sync::Arc;

use http::Response;
use keygate_core::denial::Denial;
use keygate_http::answer::{Answer, Realm};
use keygate_http::gate::RouteCost;
use tower_layer::Layer;

use super::service::CostService;
use crate::reject::ProblemRejection;

/// Layer that has requests cost so much of their key's limits, in the place of what the layer further out charged.
///
/// See the [module docs](super) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct Cost<R = ProblemRejection> {
    cost: Arc<RouteCost>,
    rejection: R,
}

impl Cost {
    /// A layer that charges this much; 0 charges nothing. At most 1,000,000,000 can ever be charged at once.
    pub fn new(cost: u64) -> Self {
        Self { cost: Arc::new(RouteCost::new(cost)), rejection: ProblemRejection }
    }
}

impl<R> Cost<R> {
    /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
    pub fn realm(self, realm: Realm) -> Self {
        self.with(|cost| cost.realm(realm))
    }

    /// Whether a refusal tells of limits in `RateLimit-Policy` and `RateLimit`. It does if this is never called.
    pub fn rate_limit_headers(self, tells: bool) -> Self {
        self.with(|cost| cost.rate_limit_headers(tells))
    }

    /// Refuses with the responses that `reject` makes. It gets the denial and the answer keygate would give.
    pub fn on_reject<F, B>(self, reject: F) -> Cost<F>
    where
        F: Fn(&Denial, Answer) -> Response<B>,
    {
        self.rejection(reject)
    }

    /// Refuses with the responses of this [`Reject`](crate::Reject).
    pub fn rejection<R2>(self, rejection: R2) -> Cost<R2> {
        Cost { cost: self.cost, rejection }
    }

    /// Refuses with a gRPC status.
    #[cfg(feature = "tonic")]
    pub fn grpc(self) -> Cost<crate::GrpcRejection> {
        self.rejection(crate::GrpcRejection)
    }

    fn with(self, change: impl FnOnce(RouteCost) -> RouteCost) -> Self {
        Self { cost: Arc::new(change(Arc::unwrap_or_clone(self.cost))), rejection: self.rejection }
    }
}

impl<S, R: Clone> Layer<S> for Cost<R> {
    type Service = CostService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CostService { inner, cost: Arc::clone(&self.cost), rejection: self.rejection.clone() }
    }
}
