use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::ServiceResponse;
use pin_project_lite::pin_project;

pin_project! {
    /// Response future of [`Require`](super::Require).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Rejected { response: Option<ServiceResponse<BoxBody>> },
        Inner { #[pin] inner: F },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn rejected(response: ServiceResponse<BoxBody>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(super) fn inner(inner: F) -> Self {
        Self { state: State::Inner { inner } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, E>>,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Inner { inner } => inner.poll(cx).map_ok(ServiceResponse::map_into_left_body),
            // What was taken was given: a future that is polled after its end stays silent.
            StateProjection::Rejected { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response.map_into_right_body())))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Rejected { .. } => "rejected",
            State::Inner { .. } => "inner",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
