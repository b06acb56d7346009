//! Stopping a key, and letting it be used again.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::Revocation;
use keygate_core::names::Reason;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{OptionalJson, Path, Query};
use crate::caller::Caller;
use crate::etag::Tagged;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{KeyIdShape, KeyShape, RevocationShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(deactivate), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(activate), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(revoke), ManagementPermission::KeysWrite))
}

/// Why it is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StatusChange)]
struct Asked {
    /// Kept with the key and shown with it: no control or invisible characters. None by default.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "on leave")]
    reason: Option<Reason>,
}

/// How a key is revoked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct How {
    /// Whether the answer waits until every instance refuses the key.
    #[param(default = true)]
    wait: Option<bool>,
}

/// Stop a key until it is activated again
///
/// A key that is inactive already stays as it is, its reason included.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/deactivate", tag = "keys", operation_id = "deactivateKey",
    params(("key_id" = KeyIdShape, Path, description = "The key's id.")),
    request_body(content = Option<Asked>),
    responses(
        (status = 200, description = "The key as it now is.", body = KeyShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is revoked, which is final: `key_revoked`."),
    ),
)]
async fn deactivate(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    OptionalJson(asked): OptionalJson<Asked>,
) -> Result<Response, Problem> {
    let key = state.manager().deactivate(&caller.actor, id, asked.reason).await?;
    Ok(Tagged { revision: key.revision, body: key }.into_response())
}

/// Let a deactivated key be used again
///
/// All that the key holds must be covered by what the caller's key may grant. A key that is active already stays as it is.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/activate", tag = "keys", operation_id = "activateKey",
    params(("key_id" = KeyIdShape, Path, description = "The key's id.")),
    request_body(content = Option<Asked>),
    responses(
        (status = 200, description = "The key as it now is.", body = KeyShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is revoked, which is final: `key_revoked`."),
    ),
)]
async fn activate(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    OptionalJson(asked): OptionalJson<Asked>,
) -> Result<Response, Problem> {
    let key = state.manager().activate(&caller.actor, id, asked.reason).await?;
    Ok(Tagged { revision: key.revision, body: key }.into_response())
}

/// Stop a key for good
///
/// The answer waits until every instance refuses the key and says whether that is certain: about half a second where all
/// are connected, up to some seconds where one is cut off. With `wait=false` it does not wait; the key is revoked all the
/// same, and connected instances hear of it within milliseconds. A key that is revoked already stays as it is, its first
/// reason included.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/revoke", tag = "keys", operation_id = "revokeKey",
    params(("key_id" = KeyIdShape, Path, description = "The key's id."), How),
    request_body(content = Option<Asked>),
    responses((status = 200, description = "It is revoked.", body = RevocationShape)),
)]
async fn revoke(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    Query(how): Query<How>,
    OptionalJson(asked): OptionalJson<Asked>,
) -> Result<JsonAnswer<Revocation>, Problem> {
    let manager = state.manager();
    let revocation = if how.wait.unwrap_or(true) {
        manager.revoke_confirmed(&caller.actor, id, asked.reason).await?
    } else {
        manager.revoke(&caller.actor, id, asked.reason).await?
    };
    Ok(JsonAnswer(revocation))
}
