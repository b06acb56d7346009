//! The calls. Each group is a function that gives its routes with what they need of a key.

mod organizations;

use axum::Router;
use axum::routing::get;
use keygate_core::actor::ManagementPermission;
use keygate_tower::ApiKeyLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::admin::State;
use crate::caller::needs;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "keygate",
        description = "API keys: make them, check them, stop them. Every call under /v1 needs a key, in \
                       `Authorization: Bearer` or `X-API-Key`.",
    ),
    security(("key" = [])),
)]
struct Document;

/// All calls.
pub(crate) fn router(guard: ApiKeyLayer) -> Router<State> {
    let guarded = OpenApiRouter::with_openapi(Document::openapi()).merge(organizations::routes());
    let (guarded, mut document) = guarded.split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("API key").build();
    document
        .components
        .get_or_insert_default()
        .security_schemes
        .insert("key".to_owned(), SecurityScheme::Http(bearer).into());
    let json = document.to_json().unwrap_or_default();
    let document = get(move || async move { ([(http::header::CONTENT_TYPE, "application/json")], json) });
    Router::new().merge(guarded.layer(guard)).route("/openapi.json", document)
}

/// Routes that need this permission of a key.
pub(crate) fn guarded(
    routes: UtoipaMethodRouter<State>,
    permission: ManagementPermission,
) -> UtoipaMethodRouter<State> {
    let (schemas, paths, methods) = routes;
    (schemas, paths, methods.layer(needs(permission)))
}
