//! The key a call is made with.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::Rotation;
use keygate_core::record::{Key, KeyState};
use keygate_core::scope::Scope;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::caller::Caller;
use crate::left::{Left, left_of};
use crate::problem::Problem;
use crate::schema::{OwnKeyShape, RotatedKeyShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(claim))
}

#[derive(Debug, Serialize)]
struct OwnKey {
    #[serde(flatten)]
    key: Key,
    state: KeyState,
    management: Vec<&'static str>,
    owner_permissions: Option<Vec<Scope>>,
    limits_left: Vec<Left>,
}

/// Show the key this call is made with
///
/// Every key may ask. It is shown as the server knew it when it let the call in, and with what its limits, and those it
/// shares with its user, its project and its organization, have left after that.
#[utoipa::path(
    get, path = "/v1/self", tag = "self", operation_id = "showSelf",
    responses((status = 200, description = "The key.", body = OwnKeyShape)),
)]
async fn show(StateOf(state): StateOf<State>, caller: Caller) -> Result<JsonAnswer<OwnKey>, Problem> {
    let key = caller.admission.key().clone();
    let limits_left = left_of(&state.manager().limits_left_of(&key).await?);
    let management = ManagementPermission::ALL
        .into_iter()
        .filter(|permission| caller.admission.require_permission(&permission.scope()).is_ok())
        .filter(|permission| key.organization.is_system() || !permission.is_operators())
        .map(ManagementPermission::as_str)
        .collect();
    // A key in another state is not let in.
    let owner_permissions = caller.admission.owner_permissions();
    Ok(JsonAnswer(OwnKey { key, state: KeyState::Active, management, owner_permissions, limits_left }))
}

/// Claim the successor of the key this call is made with
///
/// For whoever holds a key that was rotated, while that is still good: it hands over the new key. Any key may ask that has
/// `hand_over`, which is off unless its keepers turned it on. A lost answer can be asked for again until the new key is
/// used for the first time. A claim after that is refused, and is written to the log as a warning, because whoever uses the
/// new key and whoever asks may be two. A rotation without an overlap hands nothing over.
#[utoipa::path(
    post, path = "/v1/self/successor", tag = "self", operation_id = "claimSuccessor",
    responses(
        (status = 200, description = "The new key.", body = RotatedKeyShape),
        (status = 409, description = "The key was not rotated (`no_successor`), its successor is not handed over \
            (`successor_not_handed_over`) or is in use already (`successor_in_use`); or the key was stopped or has ended \
            at this very moment (`key_not_active`, `key_revoked`)."),
    ),
)]
async fn claim(StateOf(state): StateOf<State>, caller: Caller) -> Result<JsonAnswer<Rotation>, Problem> {
    Ok(JsonAnswer(state.manager().claim_successor(&caller.admission, caller.actor.from_address()).await?))
}
