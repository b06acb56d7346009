//! What was unusual in the use of keys.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::FindingPage;
use keygate_core::names::OrganizationId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{guarded, paging};
use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::schema::{FindingPageShape, KeyIdShape, OrganizationIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(of_key), ManagementPermission::UsageRead))
        .routes(guarded(routes!(of_organization), ManagementPermission::UsageRead))
}

/// Which part of the list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// How many findings are to be on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// Tell what was unusual in the use of a key
///
/// Newest first. Findings are kept for 90 days, the newest 1,000 of an organization.
#[utoipa::path(
    get, path = "/v1/keys/{key_id}/anomalies", tag = "usage", operation_id = "keyAnomalies",
    params(("key_id" = KeyIdShape, Path, description = "The key's id."), Asked),
    responses((status = 200, description = "A page of findings.", body = FindingPageShape)),
)]
async fn of_key(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    Query(asked): Query<Asked>,
) -> Result<JsonAnswer<FindingPage>, Problem> {
    let (limit, cursor) = (paging::length(asked.limit)?, paging::begin(asked.cursor)?);
    Ok(JsonAnswer(state.manager().key_findings(&caller.actor, id, limit, cursor).await?))
}

/// Tell what was unusual in the use of an organization's keys
///
/// Newest first. Findings are kept for 90 days, the newest 1,000 of an organization; those of keys that were erased are among
/// them.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/anomalies", tag = "usage", operation_id = "organizationAnomalies",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), Asked),
    responses((status = 200, description = "A page of findings.", body = FindingPageShape)),
)]
async fn of_organization(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<JsonAnswer<FindingPage>, Problem> {
    let (limit, cursor) = (paging::length(asked.limit)?, paging::begin(asked.cursor)?);
    Ok(JsonAnswer(state.manager().findings(&caller.actor, &organization, None, limit, cursor).await?))
}
