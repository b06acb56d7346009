use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use keygate_core::manager::Attempt;

use super::future::{Held, ResponseFuture};
use super::settings::{Settings, Verdict};
use crate::reject::{ProblemRejection, Reject, refuse};

/// Service that lets a request through only with an API key.
///
/// Made by [`ApiKeyTransform`](super::ApiKeyTransform). See the [module docs](super) for an example.
#[derive(Debug, Clone)]
pub struct ApiKeyService<S, R = ProblemRejection> {
    pub(super) inner: Rc<S>,
    pub(super) settings: Arc<Settings>,
    pub(super) rejection: R,
}

impl<S, R, B> Service<ServiceRequest> for ApiKeyService<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>>,
    R: Reject + Clone,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        self.settings.hide_credentials(&mut request);
        let decision = match self.settings.judge(&request) {
            Verdict::Pass(why) => {
                Settings::pass(&request, why);
                return ResponseFuture::inner(self.inner.call(request));
            }
            Verdict::Attempt(Attempt::Pending(pending)) => {
                let (settings, rejection) = (Arc::clone(&self.settings), self.rejection.clone());
                let held = Held { service: Rc::clone(&self.inner), request, settings, rejection };
                return ResponseFuture::checking(pending, held);
            }
            Verdict::Attempt(Attempt::Decided(decision)) => decision,
        };
        match decision.and_then(|admission| self.settings.check_further(admission)) {
            Ok(admission) => {
                Settings::admit(&request, admission);
                ResponseFuture::inner(self.inner.call(request))
            }
            Err(denial) => {
                self.settings.explain(&denial, &request);
                let response = refuse(&self.rejection, &self.settings.realm, denial);
                ResponseFuture::rejected(request.into_response(response))
            }
        }
    }
}
