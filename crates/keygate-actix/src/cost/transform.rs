use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use keygate_core::denial::Denial;
use keygate_http::answer::{Answer, Realm};
use keygate_http::gate::RouteCost;

use super::service::CostService;
use crate::reject::{ProblemRejection, Reject};

/// Middleware that has requests cost so much of their key's limits, in the place of what the one further out charged.
///
/// See the [module docs](super) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct Cost<R = ProblemRejection> {
    cost: Arc<RouteCost>,
    rejection: R,
}

impl Cost {
    /// A middleware that charges this much; 0 charges nothing. At most 1,000,000,000 can ever be charged at once.
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
    pub fn on_reject<F>(self, reject: F) -> Cost<F>
    where
        F: Fn(&Denial, Answer) -> HttpResponse,
    {
        self.rejection(reject)
    }

    /// Refuses with the responses of this [`Reject`](crate::Reject).
    pub fn rejection<R2>(self, rejection: R2) -> Cost<R2> {
        Cost { cost: self.cost, rejection }
    }

    fn with(self, change: impl FnOnce(RouteCost) -> RouteCost) -> Self {
        Self { cost: Arc::new(change(Arc::unwrap_or_clone(self.cost))), rejection: self.rejection }
    }
}

impl<S, R, B> Transform<S, ServiceRequest> for Cost<R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>>,
    R: Reject + Clone,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = S::Error;
    type Transform = CostService<S, R>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let (cost, rejection) = (Arc::clone(&self.cost), self.rejection.clone());
        ready(Ok(CostService { inner: Rc::new(inner), cost, rejection }))
    }
}
