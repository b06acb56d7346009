//! Organizations: set up, show, change.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::OrganizationUpdate;
use keygate_core::names::OrganizationId;
use keygate_core::record::ParentStatus;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::{Caller, OperatorCaller};
use crate::etag::{IfMatch, Tagged};
use crate::problem::Problem;
use crate::schema::{OrganizationShape, ParentStatusShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(create), ManagementPermission::OrganizationsWrite))
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(update), ManagementPermission::OrganizationsWrite))
}

/// An organization to be set up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrganization {
    /// Its id.
    #[schema(value_type = String, example = "acme", pattern = "^[A-Za-z0-9._-]{1,128}$")]
    organization_id: OrganizationId,
    /// How many keys it may have; null or none is the server's default.
    max_keys: Option<u64>,
    /// How many keys each of its users may have; null or none is the server's default.
    max_keys_per_user: Option<u64>,
}

/// What is to change of an organization. What is not named stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrganizationChange {
    /// Whether its keys may be used.
    #[schema(value_type = Option<ParentStatusShape>)]
    status: Option<ParentStatus>,
    /// How many keys it may have; null goes back to the server's default.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>)]
    max_keys: Option<Option<u64>>,
    /// How many keys each of its users may have; null goes back to the server's default.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>)]
    max_keys_per_user: Option<Option<u64>>,
}

/// A field that may be null: `None` only where it is not there.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Set an organization up
///
/// An organization that nobody has set up exists with the defaults, so this is for those that are to have quotas of
/// their own. The operator's alone.
#[utoipa::path(
    post, path = "/v1/organizations", tag = "organizations", operation_id = "createOrganization",
    responses(
        (status = 201, description = "It is set up.", body = OrganizationShape),
        (status = 409, description = "It was set up before.", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn create(
    StateOf(state): StateOf<State>,
    OperatorCaller(operator): OperatorCaller,
    Json(new): Json<NewOrganization>,
) -> Result<Response, Problem> {
    let mut settings = OrganizationUpdate::default();
    settings.max_keys = Some(new.max_keys);
    settings.max_keys_per_user = Some(new.max_keys_per_user);
    let record = state.manager().create_organization(&operator, &new.organization_id, &settings).await?;
    Ok((StatusCode::CREATED, Tagged { revision: record.revision, body: record }).into_response())
}

/// Show an organization
#[utoipa::path(
    get, path = "/v1/organizations/{org}", tag = "organizations", operation_id = "showOrganization",
    params(("org" = String, Path, description = "The organization's id.")),
    responses(
        (status = 200, description = "The organization.", body = OrganizationShape),
        (status = 404, description = "There is none within the caller's reach.", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn show(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let record = state.manager().organization(&caller.actor, &organization).await?;
    Ok(Tagged { revision: record.revision, body: record }.into_response())
}

/// Change an organization
///
/// Suspending it refuses all its keys until it is active again. The operator's alone.
#[utoipa::path(
    patch, path = "/v1/organizations/{org}", tag = "organizations", operation_id = "updateOrganization",
    params(
        ("org" = String, Path, description = "The organization's id."),
        ("If-Match" = Option<String>, Header, description = "Change it only if it still has this ETag."),
    ),
    responses(
        (status = 200, description = "The organization as it now is.", body = OrganizationShape),
        (status = 409, description = "It is reserved, or keeps changing.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since.", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn update(
    StateOf(state): StateOf<State>,
    OperatorCaller(operator): OperatorCaller,
    Path(organization): Path<OrganizationId>,
    if_match: IfMatch,
    Json(change): Json<OrganizationChange>,
) -> Result<Response, Problem> {
    let mut update = OrganizationUpdate::default();
    update.status = change.status;
    update.max_keys = change.max_keys;
    update.max_keys_per_user = change.max_keys_per_user;
    let updated = state.manager().update_organization(&operator, &organization, &update, if_match.expected()).await;
    let record = updated.map_err(|error| if_match.problem(error))?;
    Ok(Tagged { revision: record.revision, body: record }.into_response())
}
