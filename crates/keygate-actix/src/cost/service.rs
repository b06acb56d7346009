use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use keygate_core::context::Admission;
use keygate_http::gate::{RouteCost, WithoutKey};

use super::future::{Held, ResponseFuture};
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that has requests cost so much of their key's limits.
///
/// Made by [`Cost`](super::Cost). See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct CostService<S, R = ProblemRejection> {
    pub(super) inner: Rc<S>,
    pub(super) cost: Arc<RouteCost>,
    pub(super) rejection: R,
}

impl<S, R, B> Service<ServiceRequest> for CostService<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>>,
    R: Reject + Clone,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let charged = {
            let mut extensions = request.extensions_mut();
            let without_key = extensions.get::<WithoutKey>().copied();
            self.cost.charge(extensions.get_mut::<Admission>(), without_key, "ApiKeyTransform")
        };
        let charged = match charged {
            Some(charged) => charged,
            // Taken out for as long as the store is asked: what is charged is the original's.
            None => {
                let admission = request.extensions_mut().remove::<Admission>();
                match admission {
                    Some(admission) => {
                        let (cost, rejection) = (Arc::clone(&self.cost), self.rejection.clone());
                        let held = Held { service: Rc::clone(&self.inner), request, cost, rejection };
                        return ResponseFuture::charging(admission, held);
                    }
                    None => Ok(()),
                }
            }
        };
        match charged {
            Ok(()) => ResponseFuture::inner(self.inner.call(request)),
            Err(denial) => {
                let response = refuse(&self.rejection, self.cost.refuse(&denial), denial);
                ResponseFuture::rejected(request.into_response(response))
            }
        }
    }
}
