//! The calls. Each group is a function that gives its routes with what they need of a key.

mod anomalies;
mod audit;
mod authorize;
mod health;
mod keys;
mod metrics;
mod missing;
mod ndjson;
mod notices;
mod organizations;
mod own;
mod pages;
mod paging;
mod projects;
mod roles;
mod usage;
mod users;
mod verify;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, header};
use keygate_core::actor::ManagementPermission;
use keygate_http::gate::Gate;
use keygate_http::location::LocationSource;
use keygate_tower::ApiKeyLayer;
use keygate_tower::api_key::HttpGate;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

pub(crate) use self::authorize::answer_nginx_always;
use crate::admin::State;
use crate::caller::needs;
use crate::location::Mount;
use crate::middleware::{access_log, refused};
use crate::openapi;

/// All calls: those that manage, and those of proxies.
pub(crate) fn router(guard: ApiKeyLayer, locations: LocationSource, state: &State) -> (Router<State>, Router<State>) {
    let guarded = OpenApiRouter::with_openapi(openapi::begun())
        .merge(organizations::routes())
        .merge(projects::routes())
        .merge(users::routes())
        .merge(roles::routes())
        .merge(keys::routes())
        .merge(usage::routes())
        .merge(anomalies::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(notices::routes())
        .merge(own::routes())
        .merge(verify::routes());
    let (guarded, mut document) = guarded.split_for_parts();
    // On the client's own key, and so without a guard that would let in those alone who manage keys.
    let gate = Gate::new(state.manager().clone()).trusted_proxies(state.proxies().clone()).location(locations);
    let gate = HttpGate::new(gate);
    let (authorize, described) = authorize::routes(gate).split_for_parts();
    document.merge(described);
    document.merge(described_unlimited());
    let refused = from_fn_with_state(state.clone(), refused::record);
    let guarded = missing::add(guarded).layer(refused).layer(from_fn(access_log::note_caller)).layer(guard);
    let guarded = guarded.layer(map_response(keep_nothing));
    let document = Arc::new(openapi::finished(document));
    let document = get(move |mount: Mount| async move {
        let json = openapi::mounted(&document, mount.begin()).to_json().unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], json)
    });
    (Router::new().merge(guarded).merge(pages::routes()).route("/openapi.json", document), authorize)
}

/// Health and figures: whoever watches over the server is answered however much it has to do.
pub(crate) fn unlimited() -> Router<State> {
    watched().into()
}

fn described_unlimited() -> utoipa::openapi::OpenApi {
    watched().into_openapi()
}

fn watched() -> OpenApiRouter<State> {
    health::routes().merge(metrics::routes())
}

/// Routes that need this permission of a key.
pub(crate) fn guarded(
    routes: UtoipaMethodRouter<State>,
    permission: ManagementPermission,
) -> UtoipaMethodRouter<State> {
    let (schemas, mut paths, methods) = routes;
    for operation in paths.paths.values_mut().flat_map(openapi::operations) {
        let description = operation.description.get_or_insert_default();
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&format!("Needs the permission `{permission}`."));
    }
    (schemas, paths, methods.layer(needs(permission)))
}

/// Answers are one caller's alone, and no cache may keep them.
async fn keep_nothing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
