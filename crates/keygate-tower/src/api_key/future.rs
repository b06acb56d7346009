use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_core::manager::Pending;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::request::HttpGate;
use super::underway::Underway;
use crate::reject::{Reject, refuse};

pin_project! {
    /// Response future of [`ApiKeyService`](super::ApiKeyService).
    ///
    /// Dropping it while the key is being checked gives up the check and drops the request; the inner service was
    /// not called. Dropping it after that drops the inner service's future, and the request is counted as cancelled.
    pub struct ResponseFuture<S, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, R, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R, B>
    where
        S: Service<Request<B>>,
    {
        Rejected { response: Option<S::Response> },
        Checking { check: Option<Box<Check<S, R, B>>> },
        Inner { #[pin] inner: S::Future, underway: Option<Underway> },
    }
}

/// A check that waits for the store. It lives in a box of its own, so that a request which need not wait does not
/// carry room for it.
struct Check<S, R, B> {
    decision: Pin<Box<dyn Future<Output = Result<Admission, Denial>> + Send>>,
    held: Held<S, R, B>,
}

/// What is held back until the decision: the request, and the inner service that was ready for it.
pub(super) struct Held<S, R, B> {
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) gate: Arc<HttpGate>,
    pub(super) rejection: R,
}

impl<S, R, B> ResponseFuture<S, R, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn rejected(response: S::Response) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(super) fn checking(pending: Pending, held: Held<S, R, B>) -> Self {
        let check = Box::new(Check { decision: Box::pin(pending.resolve()), held });
        Self { state: State::Checking { check: Some(check) } }
    }

    /// `underway` is of an admitted request; one without a key has none.
    pub(super) fn inner(inner: S::Future, underway: Option<Underway>) -> Self {
        Self { state: State::Inner { inner, underway } }
    }
}

impl<S, R, B, B2> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<B>, Response = Response<B2>>,
    R: Reject<B2>,
{
    type Output = Result<Response<B2>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (decision, held) = match this.state.as_mut().project() {
                StateProjection::Inner { inner, underway } => {
                    // Not in the future while it is polled: a panic drops it on its way, and not when the future goes.
                    let held = underway.take();
                    let Poll::Ready(mut result) = inner.poll(cx) else {
                        *underway = held;
                        return Poll::Pending;
                    };
                    if let Some(held) = held {
                        held.end(&mut result);
                    }
                    return Poll::Ready(result);
                }
                // What was taken was given: a future that is polled after its end stays silent.
                StateProjection::Rejected { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProjection::Checking { check } => {
                    let Some(checking) = check else { return Poll::Pending };
                    let decision = ready!(checking.decision.as_mut().poll(cx));
                    let Some(checked) = check.take() else { return Poll::Pending };
                    (decision, checked.held)
                }
            };
            match held.go_on(decision) {
                Ok((inner, underway)) => this.state.set(State::Inner { inner, underway: Some(underway) }),
                Err(response) => return Poll::Ready(Ok(response)),
            }
        }
    }
}

impl<S, R, B, B2> Held<S, R, B>
where
    S: Service<Request<B>, Response = Response<B2>>,
    R: Reject<B2>,
{
    /// Calls the inner service, or says what to answer in its stead.
    fn go_on(mut self, decision: Result<Admission, Denial>) -> Result<(S::Future, Underway), Response<B2>> {
        match decision {
            Ok(admission) => {
                let underway = self.gate.admit(&mut self.request, admission);
                Ok((self.service.call(self.request), underway))
            }
            Err(denial) => {
                let answer = self.gate.refuse(&denial, &mut self.request);
                Err(refuse(&self.rejection, answer, denial))
            }
        }
    }
}

impl<S, R, B> fmt::Debug for ResponseFuture<S, R, B>
where
    S: Service<Request<B>>,
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
