use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::gate::RouteCost;
use pin_project_lite::pin_project;

use crate::reject::{Reject, refuse};

pin_project! {
    /// Response future of [`CostService`](super::CostService).
    ///
    /// Dropping it while the store is asked drops the request, whose charge stays what it was; the inner service was not
    /// called.
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
        Charging { charging: Option<Box<Charging<S, R>>> },
        Inner { #[pin] inner: S::Future },
    }
}

/// The admission, which is taken out of the request meanwhile, and whether it could be charged.
type Charged = (Admission, Result<(), Denial>);

/// A charge that waits for the store. It lives in a box of its own, so that a request which need not wait does not carry
/// room for it.
struct Charging<S, R> {
    charged: Pin<Box<dyn Future<Output = Charged>>>,
    held: Held<S, R>,
}

/// What is held back until the request is charged: the request, and the inner service it is for.
pub(super) struct Held<S, R> {
    pub(super) service: Rc<S>,
    pub(super) request: ServiceRequest,
    pub(super) cost: Arc<RouteCost>,
    pub(super) rejection: R,
}

impl<S, R> ResponseFuture<S, R>
where
    S: Service<ServiceRequest>,
{
    pub(super) fn rejected(response: ServiceResponse<BoxBody>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(super) fn charging(mut admission: Admission, held: Held<S, R>) -> Self {
        let cost = Arc::clone(&held.cost);
        let charged = Box::pin(async move {
            let charged = cost.ask(&mut admission).await;
            (admission, charged)
        });
        Self { state: State::Charging { charging: Some(Box::new(Charging { charged, held })) } }
    }

    pub(super) fn inner(inner: S::Future) -> Self {
        Self { state: State::Inner { inner } }
    }
}

impl<S, R, B> Future for ResponseFuture<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>>,
    R: Reject,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let ((admission, charged), held) = match this.state.as_mut().project() {
                StateProjection::Inner { inner } => {
                    return inner.poll(cx).map_ok(ServiceResponse::map_into_left_body);
                }
                // What was taken was given: a future that is polled after its end stays silent.
                StateProjection::Rejected { response } => {
                    let refused = response.take().map(ServiceResponse::map_into_right_body);
                    return refused.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProjection::Charging { charging } => {
                    let Some(asking) = charging else { return Poll::Pending };
                    let charged = ready!(asking.charged.as_mut().poll(cx));
                    let Some(asked) = charging.take() else { return Poll::Pending };
                    (charged, asked.held)
                }
            };
            held.request.extensions_mut().insert(admission);
            this.state.set(held.go_on(charged));
        }
    }
}

impl<S, R> Held<S, R>
where
    S: Service<ServiceRequest>,
    R: Reject,
{
    /// Calls the inner service, or answers in its stead.
    fn go_on(self, charged: Result<(), Denial>) -> State<S, R> {
        match charged {
            Ok(()) => State::Inner { inner: self.service.call(self.request) },
            Err(denial) => {
                let response = refuse(&self.rejection, self.cost.refuse(&denial), denial);
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
            State::Charging { .. } => "charging",
            State::Inner { .. } => "inner",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
