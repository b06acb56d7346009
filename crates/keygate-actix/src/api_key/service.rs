use std::rc::Rc;
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use keygate_core::manager::Attempt;
use keygate_http::gate::{Gate, Verdict};

use super::future::{Held, ResponseFuture};
use super::request;
use super::routes::Routes;
use crate::header_lines::CredentialHeaders;
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that lets a request through only with an API key.
///
/// Made by [`ApiKeyTransform`](super::ApiKeyTransform). See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct ApiKeyService<S, R = ProblemRejection> {
    pub(super) inner: Rc<S>,
    pub(super) gate: Arc<Gate>,
    pub(super) credentials: Rc<CredentialHeaders>,
    pub(super) routes: Rc<Routes>,
    pub(super) rejection: R,
}

impl<S, R, B> Service<ServiceRequest> for ApiKeyService<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    R: Reject + Clone,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S, R>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        request::hide_credentials(&self.credentials, &mut request);
        let decision = match request::judge(&self.gate, &self.credentials, &self.routes, &request) {
            Verdict::Pass(why) => {
                request::pass(&request, why);
                return ResponseFuture::inner(self.inner.call(request), None);
            }
            Verdict::Attempt(Attempt::Pending(pending)) => {
                let (gate, rejection) = (Arc::clone(&self.gate), self.rejection.clone());
                let held = Held { service: Rc::clone(&self.inner), request, gate, rejection };
                return ResponseFuture::checking(pending, held);
            }
            Verdict::Attempt(Attempt::Decided(decision)) => decision,
        };
        match decision {
            Ok(admission) => {
                let followed = request::admit(&self.gate, &request, admission);
                ResponseFuture::inner(self.inner.call(request), Some(followed))
            }
            Err(denial) => {
                let answer = request::refuse(&self.gate, &denial, &request);
                let response = refuse(&self.rejection, answer, denial);
                ResponseFuture::rejected(request.into_response(response))
            }
        }
    }
}
