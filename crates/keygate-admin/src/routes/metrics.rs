//! The figures of this instance, for Prometheus. They need no key, and do not wait in line.

use axum::extract::State as StateOf;
use axum::response::IntoResponse;
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;

/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures for Prometheus
///
/// Of the cache, of how changes are told, of limits, of requests and their durations, of refusals. They name no key and no
/// organization.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "metrics", security(()),
    responses((status = 200, description = "The figures.", body = String, content_type = "text/plain")),
)]
async fn metrics(StateOf(state): StateOf<State>) -> impl IntoResponse {
    let store = state.look().await;
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")];
    (headers, state.metrics().render(state.manager(), store))
}
