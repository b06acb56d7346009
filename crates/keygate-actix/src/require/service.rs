use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use keygate_core::context::Admission;
use keygate_http::gate::{Requirement, WithoutKey};

use super::future::ResponseFuture;
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that refuses requests whose key does not cover a scope or permission.
///
/// Made by [`RequireScope`](super::RequireScope) and [`RequirePermission`](super::RequirePermission). See the
/// [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct Require<S, R = ProblemRejection> {
    pub(super) inner: S,
    pub(super) requirement: Arc<Requirement>,
    pub(super) rejection: R,
}

impl<S, R, B> Service<ServiceRequest> for Require<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>>,
    R: Reject,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let decision = {
            let mut extensions = request.extensions_mut();
            let without_key = extensions.get::<WithoutKey>().copied();
            self.requirement.check(extensions.get_mut::<Admission>(), without_key, "ApiKeyTransform")
        };
        match decision {
            Ok(()) => ResponseFuture::inner(self.inner.call(request)),
            Err(denial) => {
                let response = refuse(&self.rejection, self.requirement.refuse(&denial), denial);
                ResponseFuture::rejected(request.into_response(response))
            }
        }
    }
}
