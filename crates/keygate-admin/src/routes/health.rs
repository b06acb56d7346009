//! Whether the process is there, and whether it can check keys. Neither needs a key, and neither waits in line.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready))
}

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
struct Liveness {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether requests should be sent here.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether keys can be checked here, and the server is not about to end.
    ready: bool,
    /// The store of keys.
    store: StoreReadiness,
    /// Whether the store is the one that the secrets belong to: `confirmed`, or `unknown` (it does not answer), `emptied`,
    /// `wrong_secret`, `secret_missing`, `damaged`, `unconfirmed`.
    #[schema(example = "confirmed")]
    deployment: &'static str,
    /// How this instance learns of changes to the keys it keeps: `live`, `in_process` or `time_bound`; or `lapsed`,
    /// `unreachable` or `none`, while every request reads the store.
    #[schema(example = "live")]
    coherence: &'static str,
    /// Whether the server is about to end, and finishes what it has begun.
    ending: bool,
}

/// The store of keys.
#[derive(Debug, Serialize, ToSchema)]
struct StoreReadiness {
    /// Whether it answers, as of a second ago at most.
    reachable: bool,
    /// What and where it is, without any password.
    #[schema(example = "redis://127.0.0.1:6379/0")]
    what: String,
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/healthz", tag = "server", operation_id = "liveness", security(()),
    responses((status = 200, description = "It does.", body = Liveness)),
)]
async fn alive() -> Response {
    uncached(axum::Json(Liveness { status: "ok" }))
}

/// Whether requests should be sent here
///
/// The store is asked for it, once a second at most, however often this is.
#[utoipa::path(
    get, path = "/readyz", tag = "server", operation_id = "readiness", security(()),
    responses(
        (status = 200, description = "They should.", body = Readiness),
        (status = 503, description = "They should not, and the body says why.", body = Readiness),
    ),
)]
async fn ready(StateOf(state): StateOf<State>) -> Response {
    let store = state.look().await;
    let ending = state.ending().has_begun();
    let ready = store.is_confirmed() && !ending;
    let manager = state.manager();
    let readiness = Readiness {
        ready,
        store: StoreReadiness { reachable: store.is_reachable(), what: kind_of(&manager.describe_store()) },
        deployment: store.as_str(),
        coherence: manager.coherence().as_str(),
        ending,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached((status, axum::Json(readiness)))
}

/// What kind of store it is. Where it is, is nothing for whoever reaches the server.
fn kind_of(store: &str) -> String {
    store.split(':').next().unwrap_or_default().to_owned()
}

fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
