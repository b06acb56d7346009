//! Rotating a key, when that is to be done by itself, and how far it has come.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::{KeyUpdate, ManageError, RotatedOnce, RotationStatus};
use keygate_core::record::{Key, Revision, RotationSchedule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{Json, OptionalJson, Path};
use crate::caller::Caller;
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::idempotency::{Idempotency, IdempotencyHeader, replayed};
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{KeyIdShape, KeyShape, NewRotationShape, RotatedKeyShape, RotationStatusShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(rotate), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(schedule), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(clear), ManagementPermission::KeysWrite))
        .routes(guarded(routes!(finish), ManagementPermission::KeysWrite))
}

/// How a key is to be rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateKey)]
struct Asked {
    /// For how many days the old key is good beside the new one, but no longer than it would have been. With 0, which is for
    /// a key that leaked, it is revoked at once. What its schedule says by default, or else 7.
    #[schema(maximum = 365)]
    overlap_days: Option<u32>,
}

/// A key that was rotated for an earlier request, whose answer alone showed the successor's text.
#[derive(Debug, Serialize)]
struct RotatedBefore {
    old_key_id: KeyId,
    new_key_id: KeyId,
    key: (),
    overlap_expires_at: Option<DateTime<Utc>>,
    successor: Key,
}

/// Where a key is in its rotation, with the revision that a change of it may be bound to.
#[derive(Debug, Serialize)]
struct Shown {
    revision: Revision,
    #[serde(flatten)]
    status: RotationStatus,
}

/// Make a key's successor
///
/// A new key that is in all else what the old one is, and lives as long as that was to live. They share their limits, and
/// the old one counts against no quota any more. Both are good until the overlap is over; answers to requests with the old
/// key say so in `Deprecation`, `Sunset` and `Link`. All that the key holds must be covered by what the caller's key may
/// grant.
///
/// Each key is rotated once, whoever asks: a second request is refused, and names the successor. With `Idempotency-Key` a
/// request may be sent again when its answer was lost: for 24 hours whoever repeats it is shown the successor without its
/// text. The first answer is the only one that shows the new key, unless the old one has `hand_over`: then its holder may
/// claim it. Where it was lost, the successor can be rotated in its turn.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/rotate", tag = "keys", operation_id = "rotateKey",
    params(
        ("key_id" = KeyIdShape, Path, description = "The id of the key to be replaced."),
        IdempotencyHeader,
    ),
    request_body(content = Option<Asked>),
    responses(
        (status = 200, description = "It is rotated.", body = RotatedKeyShape, headers(
            ("Idempotent-Replayed" = String, description = "`true` where an earlier request had rotated it."),
        )),
        (status = 409, description = "It was rotated already (`key_superseded`; `detail` names its successor), is deactivated \
            or has ended (`key_not_active`), is revoked (`key_revoked`), keeps changing (`revision_conflict`), or two earlier \
            keys of its line are good still (`still_overlapping`)."),
        (status = 422, description = "A field is unknown, or holds what it must not (`invalid_field`); or the \
            `Idempotency-Key` was used for another request (`idempotency_key_reused`)."),
    ),
)]
async fn rotate(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    Idempotency(idempotency): Idempotency,
    OptionalJson(asked): OptionalJson<Asked>,
) -> Result<Response, Problem> {
    let overlap = asked.overlap_days.map(|days| TimeDelta::days(days.into()));
    let manager = state.manager();
    let outcome = match &idempotency {
        None => RotatedOnce::Now(manager.rotate(&caller.actor, id, overlap).await?),
        Some(key) => manager.rotate_once(&caller.actor, id, overlap, key).await?,
    };
    Ok(match outcome {
        RotatedOnce::Now(rotation) => JsonAnswer(rotation).into_response(),
        RotatedOnce::Before { old, successor } => replayed(JsonAnswer(RotatedBefore {
            old_key_id: old.id,
            new_key_id: successor.id,
            key: (),
            overlap_expires_at: old.expires_at,
            successor,
        })),
    })
}

/// Show where a key is in its rotation
///
/// Its schedule, when it is next due, and the keys before and after it with when each was last used: what is no longer used
/// can be ended before its time. Last uses may be some seconds behind, and the `ETag` does not count them.
#[utoipa::path(
    get, path = "/v1/keys/{key_id}/rotation", tag = "keys", operation_id = "showRotation",
    params(("key_id" = KeyIdShape, Path, description = "The key's id.")),
    responses((status = 200, description = "Where it is.", body = RotationStatusShape, headers(("ETag" = String, description = "The key's revision.")))),
)]
async fn show(StateOf(state): StateOf<State>, caller: Caller, Path(id): Path<KeyId>) -> Result<Response, Problem> {
    // Before the rest: who changes what changed in between is told of it.
    let revision = state.manager().get(&caller.actor, id).await?.revision;
    status(&state, &caller, id, revision).await
}

/// Set when a key is to be rotated
///
/// In the place of the schedule it has. The interval counts from now if it is another one. With `auto_rotate` the key
/// is rotated by itself when that is due, if it has `hand_over`, so that its holder can claim the new key; without, it waits.
/// Then all that the key holds must be covered by what the caller's key may grant.
/// A key whose end comes earlier is due so long before it that the overlap ends with it.
#[utoipa::path(
    put, path = "/v1/keys/{key_id}/rotation", tag = "keys", operation_id = "scheduleRotation",
    params(
        ("key_id" = KeyIdShape, Path, description = "The key's id."),
        IfMatchHeader,
    ),
    request_body(content = NewRotationShape),
    responses(
        (status = 200, description = "Where it now is.", body = RotationStatusShape, headers(("ETag" = String, description = "The key's revision."))),
        (status = 409, description = "It is revoked (`key_revoked`), or keeps changing (`revision_conflict`)."),
        (status = 412, description = "The key has changed since: `revision_conflict`."),
    ),
)]
async fn schedule(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    if_match: IfMatch,
    Json(asked): Json<RotationSchedule>,
) -> Result<Response, Problem> {
    let revision = set(&state, &caller, id, Some(asked), &if_match).await?;
    status(&state, &caller, id, revision).await
}

/// Take away when a key is to be rotated
///
/// It can still be rotated by hand. A rotation that has begun goes on.
#[utoipa::path(
    delete, path = "/v1/keys/{key_id}/rotation", tag = "keys", operation_id = "unscheduleRotation",
    params(
        ("key_id" = KeyIdShape, Path, description = "The key's id."),
        IfMatchHeader,
    ),
    responses(
        (status = 204, description = "It has no schedule."),
        (status = 409, description = "It is revoked (`key_revoked`), or keeps changing (`revision_conflict`)."),
        (status = 412, description = "The key has changed since: `revision_conflict`."),
    ),
)]
async fn clear(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    set(&state, &caller, id, None, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a rotated key before its overlap is over
///
/// As when nobody uses it any more. Its successor is good as before; if nobody has claimed that, nobody can. A key that has
/// ended stays as it is.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/rotation/finish", tag = "keys", operation_id = "finishRotation",
    params(("key_id" = KeyIdShape, Path, description = "The id of the key that was replaced.")),
    responses(
        (status = 200, description = "The key, which has ended.", body = KeyShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It was not rotated (`no_successor`), is revoked (`key_revoked`), or keeps changing \
            (`revision_conflict`)."),
    ),
)]
async fn finish(StateOf(state): StateOf<State>, caller: Caller, Path(id): Path<KeyId>) -> Result<Response, Problem> {
    let key = state.manager().finish_rotation(&caller.actor, id).await?;
    Ok(Tagged { revision: key.revision, body: key }.into_response())
}

async fn set(
    state: &State,
    caller: &Caller,
    id: KeyId,
    schedule: Option<RotationSchedule>,
    if_match: &IfMatch,
) -> Result<Revision, Problem> {
    let mut update = KeyUpdate::new();
    update.rotation_schedule = Some(schedule);
    let updated = state.manager().update(&caller.actor, id, &update, if_match.expected()).await;
    Ok(updated.map_err(|error| problem(if_match, error))?.revision)
}

/// Here the fields of the schedule stand by themselves.
fn problem(if_match: &IfMatch, error: ManageError) -> Problem {
    if let ManageError::Invalid(invalid) = &error
        && let Some(field) = invalid.field().strip_prefix("rotation ")
    {
        return Problem::invalid(format!("{field}: {invalid}"));
    }
    if_match.problem(error)
}

async fn status(state: &State, caller: &Caller, id: KeyId, revision: Revision) -> Result<Response, Problem> {
    let status = state.manager().rotation(&caller.actor, id).await?;
    Ok(Tagged { revision, body: Shown { revision, status } }.into_response())
}
