//! What is answered where there is no such call.

use axum::Router;
use axum::routing::any;
use http::{Method, StatusCode};

use crate::admin::State;
use crate::problem::Problem;

/// Adds the answers for every other path under `/v1`, and for every other method of those that are there.
pub(super) fn add(router: Router<State>) -> Router<State> {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .route("/v1", any(no_such_call))
        .route("/v1/", any(no_such_call))
        .route("/v1/{*rest}", any(no_such_call))
}

async fn no_such_call() -> Problem {
    let detail = "There is no call of this path; /openapi.json describes those there are.";
    Problem::new(StatusCode::NOT_FOUND, "no_such_call", "No such call", detail)
}

async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("This path does not take {method}; the header Allow names the methods it takes.");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
}
