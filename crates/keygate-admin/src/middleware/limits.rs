//! How much a request may take, and what is answered where it is too much.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use http::StatusCode;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::TimeoutLayer;
use tower::timeout::error::Elapsed;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::metrics::Metrics;
use crate::problem::Problem;

/// How long a body may pause: who says that one comes and sends none is given up before its time.
const BODY_PAUSE: Duration = Duration::from_secs(5);

/// What requests may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The bytes of a body.
    pub(crate) body: usize,
    /// Until the answer begins.
    pub(crate) time: Duration,
    /// How many at once.
    pub(crate) at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 256 * 1024, time: Duration::from_secs(30), at_once: 512 }
    }
}

impl Limits {
    /// Puts the limits before all routes, which share them. One request too many is refused at once: in a line it would
    /// only be late.
    pub(crate) fn before<S>(self, routes: Router<S>, metrics: Arc<Metrics>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let time = self.time;
        let refuse = move |error: BoxError| {
            let problem = refusal(&*error, time, &metrics);
            async move { problem }
        };
        let limits = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(refuse))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(self.at_once))
            .layer(TimeoutLayer::new(time));
        routes
            .layer(DefaultBodyLimit::max(self.body))
            .layer(RequestBodyTimeoutLayer::new(BODY_PAUSE.min(time)))
            .layer(limits)
    }
}

fn refusal(error: &(dyn std::error::Error + Send + Sync + 'static), time: Duration, metrics: &Metrics) -> Problem {
    if error.is::<Overloaded>() {
        metrics.shed();
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Busy",
            "More is asked at once than this server takes on; try again shortly.",
        );
    }
    if error.is::<Elapsed>() {
        return Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timed_out",
            "Timed out",
            format!(
                "It was not done within {} s. A change may have been made all the same: look before you try again, or \
                 send an Idempotency-Key.",
                time.as_secs_f64()
            ),
        );
    }
    tracing::error!("a layer of the management API failed in a way that it should not");
    internal()
}

/// What a handler that panicked is answered with. What it said is for the log of panics, and may hold anything.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a call of the management API panicked");
    internal().into_response()
}

fn internal() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "Internal error",
        "Something went wrong here, and not with the request.",
    )
}
