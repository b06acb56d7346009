//! The key a call is made with.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::record::{Key, KeyState};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::caller::Caller;
use crate::left::{Left, left_of};
use crate::problem::Problem;
use crate::schema::OwnKeyShape;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Debug, Serialize)]
struct OwnKey {
    #[serde(flatten)]
    key: Key,
    state: KeyState,
    management: Vec<&'static str>,
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
        .filter(|permission| key.permissions.covers(&permission.scope()))
        .filter(|permission| key.organization.is_system() || !permission.is_operators())
        .map(ManagementPermission::as_str)
        .collect();
    // A key in another state is not let in.
    Ok(JsonAnswer(OwnKey { key, state: KeyState::Active, management, limits_left }))
}
