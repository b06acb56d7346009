//! Notices that nobody took.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::GivenUp;
use keygate_core::names::OrganizationId;
use keygate_core::notice::NoticeId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{guarded, paging};
use crate::admin::State;
use crate::body::{OptionalJson, Path, Query};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::schema::{GivenUpPageShape, OrganizationIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(given_up), ManagementPermission::OrganizationSettings))
        .routes(guarded(routes!(redrive), ManagementPermission::OrganizationSettings))
}

/// How much of the list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// How many notices are to be told of at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Notices that were given up.
#[derive(Debug, Serialize)]
struct GivenUpNotices {
    notices: Vec<GivenUp>,
}

/// Which notices are to be sent again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Redrive {
    /// This one; all that were given up by default.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^msg_[0-9a-f]{32}$")]
    notice_id: Option<NoticeId>,
}

/// How many notices are sent again.
#[derive(Debug, Serialize, ToSchema)]
struct Redriven {
    /// So many.
    redriven: u64,
}

/// Tell which notices of an organization were given up
///
/// The newest first. A notice is given up when somebody did not take it for some three days, and kept until it is sent again;
/// the newest 1,000 of an organization are kept.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/notices", tag = "notices", operation_id = "givenUpNotices",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), Asked),
    responses((status = 200, description = "Notices that were given up.", body = GivenUpPageShape)),
)]
async fn given_up(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<JsonAnswer<GivenUpNotices>, Problem> {
    let limit = paging::length(asked.limit)?;
    let notices = state.manager().notices_given_up(&caller.actor, &organization, limit).await?;
    Ok(JsonAnswer(GivenUpNotices { notices }))
}

/// Send notices again that were given up
///
/// To those who have not taken them, from the beginning.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/notices:redrive", tag = "notices", operation_id = "redriveNotices",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    request_body(content = Option<Redrive>),
    responses(
        (status = 200, description = "How many are sent again: all for which there is room.", body = Redriven),
        (status = 409, description = "Too many notices wait already (`too_many_notices`)."),
    ),
)]
async fn redrive(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    OptionalJson(asked): OptionalJson<Redrive>,
) -> Result<JsonAnswer<Redriven>, Problem> {
    let redriven = state.manager().redrive_notices(&caller.actor, &organization, asked.notice_id).await?;
    Ok(JsonAnswer(Redriven { redriven }))
}
