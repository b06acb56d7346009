use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::gate::RouteCost;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::reject::{Reject, refuse};

pin_project! {
    /// Response future of [`CostService`](super::CostService).
    ///
    /// Dropping it while the store is asked drops the request, whose charge stays what it was; the inner service was not
    /// called.
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
        Charging { charging: Option<Box<Charging<S, R, B>>> },
        Inner { #[pin] inner: S::Future },
    }
}

/// The admission, which is taken out of the request meanwhile, and whether it could be charged.
type Charged = (Admission, Result<(), Denial>);

/// A charge that waits for the store. It lives in a box of its own, so that a request which need not wait does not carry
/// room for it.
struct Charging<S, R, B> {
    charged: Pin<Box<dyn Future<Output = Charged> + Send>>,
    held: Held<S, R, B>,
}

/// What is held back until the request is charged: the request, and the inner service that was ready for it.
pub(super) struct Held<S, R, B> {
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) cost: Arc<RouteCost>,
    pub(super) rejection: R,
}

impl<S, R, B> ResponseFuture<S, R, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn rejected(response: S::Response) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }

    pub(super) fn charging(mut admission: Admission, held: Held<S, R, B>) -> Self {
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

impl<S, R, B, B2> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<B>, Response = Response<B2>>,
    R: Reject<B2>,
{
    type Output = Result<Response<B2>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let ((admission, charged), mut held) = match this.state.as_mut().project() {
                StateProjection::Inner { inner } => return inner.poll(cx),
                // What was taken was given: a future that is polled after its end stays silent.
                StateProjection::Rejected { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProjection::Charging { charging } => {
                    let Some(asking) = charging else { return Poll::Pending };
                    let charged = ready!(asking.charged.as_mut().poll(cx));
                    let Some(asked) = charging.take() else { return Poll::Pending };
                    (charged, asked.held)
                }
            };
            match charged {
                Ok(()) => {
                    held.request.extensions_mut().insert(admission);
                    let inner = held.service.call(held.request);
                    this.state.set(State::Inner { inner });
                }
                Err(denial) => {
                    return Poll::Ready(Ok(refuse(&held.rejection, held.cost.refuse(&denial), denial)));
                }
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
            State::Charging { .. } => "charging",
            State::Inner { .. } => "inner",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
