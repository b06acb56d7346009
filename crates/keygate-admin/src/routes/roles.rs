//! Roles of an organization: list, show, put, take away.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::NewRole as RoleOf;
use keygate_core::names::{Description, OrganizationId, RoleName};
use keygate_core::record::NamedRole;
use keygate_core::scope::ScopeSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::problem::Problem;
use crate::schema::{OrganizationIdShape, RoleListShape, RoleNameShape, RoleShape, ScopeShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(list), ManagementPermission::KeysRead))
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(put, delete), ManagementPermission::OrganizationSettings))
}

/// What a role is to be, all of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    /// What keys may do whose user has it, beside what they were given.
    #[schema(value_type = Vec<ScopeShape>, max_items = 64)]
    permissions: ScopeSet,
    /// What it is for. Nothing by default.
    #[serde(default)]
    #[schema(value_type = String, max_length = 500)]
    description: Description,
}

/// All roles of an organization, by their names.
#[derive(Debug, Serialize)]
struct RoleList {
    roles: Vec<NamedRole>,
}

fn tagged(role: NamedRole) -> Response {
    Tagged { revision: role.role.revision, body: role }.into_response()
}

/// List the roles of an organization
///
/// There are at most 100.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/roles", tag = "roles", operation_id = "listRoles",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    responses((status = 200, description = "Its roles.", body = RoleListShape)),
)]
async fn list(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let roles = state.manager().roles(&caller.actor, &organization).await?;
    Ok(JsonAnswer(RoleList { roles }).into_response())
}

/// Show a role
#[utoipa::path(
    get, path = "/v1/organizations/{org}/roles/{role}", tag = "roles", operation_id = "showRole",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("role" = RoleNameShape, Path, description = "The role's name."),
    ),
    responses(
        (status = 200, description = "The role.", body = RoleShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 404, description = "There is no such role."),
    ),
)]
async fn show(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, name)): Path<(OrganizationId, RoleName)>,
) -> Result<Response, Problem> {
    Ok(tagged(state.manager().role(&caller.actor, &organization, &name).await?))
}

/// Make a role, or put another in its place
///
/// A key may do what it was given and a role of its user covers: what is changed here weakens or strengthens the keys of all
/// users who have the role, everywhere within the bound of a revocation. What the role covers and did not cover before must
/// be covered by the caller's `grantable`.
#[utoipa::path(
    put, path = "/v1/organizations/{org}/roles/{role}", tag = "roles", operation_id = "putRole",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("role" = RoleNameShape, Path, description = "The role's name."),
        IfMatchHeader,
    ),
    request_body(content = NewRole),
    responses(
        (status = 200, description = "The role as it now is.", body = RoleShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is of the operator's own organization (`reserved`), or keeps changing \
            (`revision_conflict`)."),
        (status = 412, description = "It has changed since: `revision_conflict`. One that is not there has the revision 0."),
    ),
)]
async fn put(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, name)): Path<(OrganizationId, RoleName)>,
    if_match: IfMatch,
    Json(NewRole { permissions, description }): Json<NewRole>,
) -> Result<Response, Problem> {
    let new = RoleOf { description, permissions };
    let put = state.manager().put_role(&caller.actor, &organization, &name, &new, if_match.expected()).await;
    Ok(tagged(put.map_err(|error| if_match.problem(error))?))
}

/// Take a role away
///
/// Whoever has it can do nothing by it from now on. Its name stays among the roles of users: a role that is made under it later
/// is theirs.
#[utoipa::path(
    delete, path = "/v1/organizations/{org}/roles/{role}", tag = "roles", operation_id = "deleteRole",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("role" = RoleNameShape, Path, description = "The role's name."),
        IfMatchHeader,
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such role."),
        (status = 409, description = "It is of the operator's own organization (`reserved`), or keeps changing \
            (`revision_conflict`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
    ),
)]
async fn delete(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, name)): Path<(OrganizationId, RoleName)>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let deleted = state.manager().delete_role(&caller.actor, &organization, &name, if_match.expected()).await;
    deleted.map_err(|error| if_match.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
