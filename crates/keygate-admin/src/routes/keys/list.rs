//! Listing keys.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use chrono::TimeDelta;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::{KeyFilter, KeyPage, MAX_EXPIRY_DAYS};
use keygate_core::names::{Environment, OrganizationId, ProjectId, Tag, UserId};
use keygate_core::record::KeyState;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::{guarded, paging};
use crate::schema::{
    EnvironmentShape, KeyPageShape, KeyStateShape, OrganizationIdShape, ProjectIdShape, TagShape, UserIdShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(list), ManagementPermission::KeysRead))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only those in this state.
    #[param(value_type = Option<KeyStateShape>)]
    status: Option<KeyState>,
    /// Only those of this user.
    #[param(value_type = Option<UserIdShape>)]
    user_id: Option<UserId>,
    /// Only those of this project.
    #[param(value_type = Option<ProjectIdShape>)]
    project_id: Option<ProjectId>,
    /// Only those with this tag.
    #[param(value_type = Option<TagShape>)]
    tag: Option<Tag>,
    /// Only those for this environment.
    #[param(value_type = Option<EnvironmentShape>)]
    environment: Option<Environment>,
    /// Only those that end within so many days, and have neither ended nor been revoked yet.
    #[param(minimum = 1, maximum = 36_500)]
    expiring_within_days: Option<u32>,
    /// Only those that were made at least so many days ago, and not used since, not even in vain.
    #[param(minimum = 1, maximum = 36_500)]
    unused_for_days: Option<u32>,
    /// How many keys are to be on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// List the keys of an organization
///
/// Newest first. A page for which many keys had to be looked through may be short, or empty, and still have a next one.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/keys", tag = "keys", operation_id = "listKeys",
    params(("org" = OrganizationIdShape, Path, description = "The organization."), Asked),
    responses((status = 200, description = "A page of keys.", body = KeyPageShape)),
)]
async fn list(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<JsonAnswer<KeyPage>, Problem> {
    let limit = paging::length(asked.limit)?;
    let expiring_within = within("expiring_within_days", asked.expiring_within_days)?;
    let unused_for = within("unused_for_days", asked.unused_for_days)?;
    let cursor = paging::begin(asked.cursor)?;
    let mut filter = KeyFilter::default();
    filter.state = asked.status;
    filter.user = asked.user_id;
    filter.project = asked.project_id;
    filter.tag = asked.tag;
    filter.environment = asked.environment;
    filter.expiring_within = expiring_within;
    filter.unused_for = unused_for;
    let page = state.manager().list(&caller.actor, &organization, &filter, limit, cursor).await?;
    Ok(JsonAnswer(page))
}

/// So many days, as this parameter says.
fn within(name: &str, days: Option<u32>) -> Result<Option<TimeDelta>, Problem> {
    if days.is_some_and(|days| !(1..=MAX_EXPIRY_DAYS).contains(&days)) {
        return Err(Problem::invalid(format!("{name}: must be 1 to {MAX_EXPIRY_DAYS}")));
    }
    Ok(days.map(|days| TimeDelta::days(days.into())))
}
