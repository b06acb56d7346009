use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::Error;
use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_core::manager::Pending;
use keygate_http::gate::{Followed, Gate};
use pin_project_lite::pin_project;

use super::request;
use crate::reject::{Reject, refuse};

pin_project! {
    /// Response future of [`ApiKeyService`](super::ApiKeyService).
    ///
    /// Dropping it while the key is being checked gives up the check and drops the request; the inner service was
    /// not called. Dropping it after that drops the inner service's future, and the request is counted as cancelled.
    pub struct ResponseFuture<S, R>
    where
        S: Service<ServiceRequest>,
    {
        #[pin]
        state: State<S, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R>
    where
        S: Service<ServiceRequest>,
    {
        Rejected { response: Option<ServiceResponse<BoxBody>> },
        Checking { check: Option<Box<Check<S, R>>> },
        Inner { #[pin] inner: S::Future, followed: Option<Followed> },
    }
}

/// A check that waits for the store. It lives in a box of its own, so that a request which need not wait does not
/// carry room for it.
struct Check<S, R> {
    decision: Pin<Box<dyn Future<Output = Result<Admission, Denial>>>>,
    held: Held<S, R>,
}

/// What is held back until the decision: the request, and the inner service it is for. No borrow of the request's
/// extensions is among it: whoever holds one across an await makes the next one who asks panic.
pub(super) struct Held<S, R> {
    pub(super) service: Rc<S>,
    pub(super) request: ServiceRequest,
    pub(super) gate: Arc<Gate>,
    pub(super) rejection: R,
}

impl<S, R> ResponseFuture<S, R>
where
    S: Service<ServiceRequest>,
{
    pub(super) fn rejected(response: ServiceResponse<BoxBody>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(super) fn checking(pending: Pending, held: Held<S, R>) -> Self {
        let check = Box::new(Check { decision: Box::pin(pending.resolve()), held });
        Self { state: State::Checking { check: Some(check) } }
    }

    /// `followed` is of an admitted request; one without a key has none.
    pub(super) fn inner(inner: S::Future, followed: Option<Followed>) -> Self {
        Self { state: State::Inner { inner, followed } }
    }
}

impl<S, R, B> Future for ResponseFuture<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    R: Reject,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (decision, held) = match this.state.as_mut().project() {
                StateProjection::Inner { inner, followed } => {
                    // Not in the future while it is polled: a panic drops it on its way, and not when the future goes.
                    let held = followed.take();
                    let Poll::Ready(mut result) = inner.poll(cx) else {
                        *followed = held;
                        return Poll::Pending;
                    };
                    if let Some(held) = held {
                        request::end(held, &mut result);
                    }
                    return Poll::Ready(result.map(ServiceResponse::map_into_left_body));
                }
                // What was taken was given: a future that is polled after its end stays silent.
                StateProjection::Rejected { response } => {
                    let refused = response.take().map(ServiceResponse::map_into_right_body);
                    return refused.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProjection::Checking { check } => {
                    let Some(checking) = check else { return Poll::Pending };
                    let decision = ready!(checking.decision.as_mut().poll(cx));
                    let Some(checked) = check.take() else { return Poll::Pending };
                    (decision, checked.held)
                }
            };
            this.state.set(held.go_on(decision));
        }
    }
}

impl<S, R> Held<S, R>
where
    S: Service<ServiceRequest>,
    R: Reject,
{
    /// Calls the inner service, or answers in its stead.
    fn go_on(self, decision: Result<Admission, Denial>) -> State<S, R> {
        match decision {
            Ok(admission) => {
                let followed = request::admit(&self.gate, &self.request, admission);
                State::Inner { inner: self.service.call(self.request), followed: Some(followed) }
            }
            Err(denial) => {
                let answer = request::refuse(&self.gate, &denial, &self.request);
                let response = refuse(&self.rejection, answer, denial);
                State::Rejected { response: Some(self.request.into_response(response)) }
            }
        }
    }
}

impl<S, R> fmt::Debug for ResponseFuture<S, R>
where
    S: Service<ServiceRequest>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Rejected { .. } => "rejected",
            State::Checking { .. } => "checking",
            State::Inner { .. } => "inner",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
