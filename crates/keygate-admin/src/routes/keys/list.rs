//! Listing keys.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::KeyPage;
use keygate_core::names::OrganizationId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::which::Which;
use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{KeyPageShape, OrganizationIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(list), ManagementPermission::KeysRead))
}

/// List the keys of an organization
///
/// Newest first. A page for which many keys had to be looked through may be short, or empty, and still have a next one.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/keys", tag = "keys", operation_id = "listKeys",
    params(("org" = OrganizationIdShape, Path, description = "The organization."), Which),
    responses((status = 200, description = "A page of keys.", body = KeyPageShape)),
)]
async fn list(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Which>,
) -> Result<JsonAnswer<KeyPage>, Problem> {
    let (filter, limit, cursor) = asked.read()?;
    Ok(JsonAnswer(state.manager().list(&caller.actor, &organization, &filter, limit, cursor).await?))
}
