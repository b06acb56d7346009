//! Showing a key, changing it, erasing it.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::KeyUpdate;
use keygate_core::names::{Description, KeyName, Tag};
use keygate_core::network::CidrSet;
use keygate_core::record::{Key, Metadata, RotationSchedule, Sensitive};
use keygate_core::scope::ScopeSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::expiry::expiry;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::fields::{Object, Time, given, named};
use crate::left::{Left, left_of};
use crate::limits::NewLimits;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{
    KeyIdShape, KeyShape, NetworkShape, NewRotationShape, PolicyProblemShape, ScopeShape, ShownKeyShape, TagShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(update), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(erase), ManagementPermission::KeysWrite))
}

/// What is to change of a key. What is not named stays as it is; whose it is and where it may be used never changes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyChange)]
struct Asked {
    /// What people call it: no control or invisible characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    name: Option<KeyName>,
    /// What it is for: no control or invisible characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, max_length = 500)]
    description: Option<Description>,
    /// Words it is found by, all of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<TagShape>, required = false, max_items = 32)]
    tags: Option<Vec<Tag>>,
    /// What its holder may do, all of it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<ScopeShape>, required = false, max_items = 64)]
    permissions: Option<ScopeSet>,
    /// What it may be used on, all of it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<ScopeShape>, required = false, max_items = 64)]
    scopes: Option<ScopeSet>,
    /// How much may be asked of it from now on.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = NewLimits, required = false)]
    limits: Option<Object<NewLimits>>,
    /// Networks it may be used from, all of them; empty is anywhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<NetworkShape>, required = false, max_items = 64)]
    allowed_ips: Option<CidrSet>,
    /// In how many days from now it ends. Goes without `expires_at`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// When it ends: a time to come, at most 36,500 days away; null is never.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Time>>,
    /// Your own fields, all of them, at most 4,096 bytes as compact JSON.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object, required = false)]
    metadata: Option<Metadata>,
    /// Those of your fields that are kept encrypted, all of them, at most 32 and 4,096 bytes as compact JSON. They are written
    /// whatever was there, and the key has another `ETag` then.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object, required = false)]
    sensitive: Option<Sensitive>,
    /// When it is to be rotated; null takes the schedule away.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewRotationShape>)]
    rotation: Option<Option<Object<RotationSchedule>>>,
    /// Whether whoever holds it may claim its successor with it. Once it was rotated this can only be taken away, and with it
    /// what may be claimed.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    hand_over: Option<bool>,
}

impl Asked {
    fn update(self) -> Result<KeyUpdate, Problem> {
        let mut update = KeyUpdate::new();
        update.name = self.name;
        update.description = self.description;
        update.tags = self.tags;
        update.permissions = self.permissions;
        update.scopes = self.scopes;
        update.limits = self.limits.map(|Object(limits)| limits.into());
        update.allowed_ips = self.allowed_ips;
        update.expiry = expiry(self.expires_in_days, self.expires_at)?;
        update.metadata = self.metadata;
        update.sensitive = self.sensitive;
        update.rotation_schedule = self.rotation.map(|named| named.map(|Object(schedule)| schedule));
        update.hand_over = self.hand_over;
        Ok(update)
    }
}

/// A key, and what is left of its limits.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    key: Key,
    limits_left: Vec<Left>,
}

/// Show a key
///
/// With what is left of its limits, and of those it shares with its user, its project and its organization. To look takes
/// nothing of them.
#[utoipa::path(
    get, path = "/v1/keys/{key_id}", tag = "keys", operation_id = "showKey",
    params(("key_id" = KeyIdShape, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = ShownKeyShape, headers(("ETag" = String, description = "Its revision.")))),
)]
async fn show(StateOf(state): StateOf<State>, caller: Caller, Path(id): Path<KeyId>) -> Result<Response, Problem> {
    let key = state.manager().get(&caller.actor, id).await?;
    let limits_left = left_of(&state.manager().limits_left_of(&key).await?);
    Ok(Tagged { revision: key.revision, body: Shown { key, limits_left } }.into_response())
}

/// Change a key
///
/// Permissions and scopes must be covered by what the caller's key may grant. So must all that the key holds if it is to be
/// given another end, other limits or other networks, to be handed over, or to be rotated by itself. A change that changes nothing leaves the revision as it is.
#[utoipa::path(
    patch, path = "/v1/keys/{key_id}", tag = "keys", operation_id = "updateKey",
    params(
        ("key_id" = KeyIdShape, Path, description = "The key's id."),
        IfMatchHeader,
    ),
    request_body(content = Asked),
    responses(
        (status = 200, description = "The key as it now is.", body = KeyShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is revoked (`key_revoked`), it keeps changing (`revision_conflict`), or an end to \
            come finds no room in a quota (`quota_reached`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
        (status = 422, description = "A field is unknown, or holds what it must not (`invalid_field`); or what is changed would \
            not be within a policy of its organization, its project or its user (`policy_violated`, with `policy` and `level`).",
            body = PolicyProblemShape, content_type = "application/problem+json"),
    ),
)]
async fn update(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    if_match: IfMatch,
    Json(asked): Json<Asked>,
) -> Result<Response, Problem> {
    let updated = state.manager().update(&caller.actor, id, &asked.update()?, if_match.expected()).await;
    let key = updated.map_err(|error| if_match.problem(error))?;
    Ok(Tagged { revision: key.revision, body: key }.into_response())
}

/// Erase a revoked or expired key
///
/// What is erased cannot be brought back. A key that may still be used is to be revoked first.
#[utoipa::path(
    delete, path = "/v1/keys/{key_id}", tag = "keys", operation_id = "deleteKey",
    params(
        ("key_id" = KeyIdShape, Path, description = "The key's id."),
        IfMatchHeader,
    ),
    responses(
        (status = 204, description = "It is erased."),
        (status = 409, description = "It is still in use (`key_in_use`), or was changed at the same moment (`revision_conflict`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
    ),
)]
async fn erase(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let erased = state.manager().delete(&caller.actor, id, if_match.expected()).await;
    erased.map_err(|error| if_match.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
