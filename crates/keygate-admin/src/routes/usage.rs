//! What keys were used for.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::usage::period::Granularity;
use keygate_core::usage::report::{UsageQuery, UsageReport};
use keygate_core::usage::subject::Subject;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::fields::DayOrTime;
use crate::problem::Problem;
use crate::schema::{GranularityShape, KeyIdShape, OrganizationIdShape, ProjectIdShape, UsageReportShape, UserIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(of_key), ManagementPermission::UsageRead))
        .routes(guarded(routes!(of_organization), ManagementPermission::UsageRead))
}

/// Of when usage of a key is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfKey {
    /// From when on: a day such as `2026-11-01`, which is 00:00 in UTC, or a time as in RFC 3339 (a `+` in it is sent as
    /// `%2B`). The step that it is in counts whole. What is older than what is kept is left out. By default 24 hours, 30
    /// days or 12 months before the end.
    #[param(value_type = Option<String>, example = "2026-11-01")]
    from: Option<DayOrTime>,
    /// Until when, written as `from` is. The step that it is in counts whole, but one that only begins there does not: up
    /// to `2026-12-01` is all of November. Now by default.
    #[param(value_type = Option<String>, example = "2026-12-01")]
    to: Option<DayOrTime>,
    /// In what steps: days by default.
    #[param(value_type = Option<GranularityShape>)]
    granularity: Option<Granularity>,
}

/// Of when, and of whom, usage of an organization is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfOrganization {
    /// Of this user's keys alone. Not together with `project_id`.
    #[param(value_type = Option<UserIdShape>)]
    user_id: Option<UserId>,
    /// Of this project's keys alone. Not together with `user_id`.
    #[param(value_type = Option<ProjectIdShape>)]
    project_id: Option<ProjectId>,
    /// From when on: a day such as `2026-11-01`, which is 00:00 in UTC, or a time as in RFC 3339 (a `+` in it is sent as
    /// `%2B`). The step that it is in counts whole. What is older than what is kept is left out. By default 24 hours, 30
    /// days or 12 months before the end.
    #[param(value_type = Option<String>, example = "2026-11-01")]
    from: Option<DayOrTime>,
    /// Until when, written as `from` is. The step that it is in counts whole, but one that only begins there does not: up
    /// to `2026-12-01` is all of November. Now by default.
    #[param(value_type = Option<String>, example = "2026-12-01")]
    to: Option<DayOrTime>,
    /// In what steps: days by default.
    #[param(value_type = Option<GranularityShape>)]
    granularity: Option<Granularity>,
}

fn query(from: Option<DayOrTime>, to: Option<DayOrTime>, granularity: Option<Granularity>) -> UsageQuery {
    let time = |DayOrTime(time): DayOrTime| time;
    UsageQuery { from: from.map(time), to: to.map(time), granularity: granularity.unwrap_or_default() }
}

/// Tell what a key was used for
///
/// Every request counts that was decided over with this key, let in or not. It is behind by what instances have not told the
/// store yet: a second or so. Hours are kept for 8 days, days for 400, months for 36, breakdowns for 35 days; all of it in
/// UTC, and until the key is erased.
#[utoipa::path(
    get, path = "/v1/keys/{key_id}/usage", tag = "usage", operation_id = "keyUsage",
    params(("key_id" = KeyIdShape, Path, description = "The key's id."), OfKey),
    responses((status = 200, description = "What it was used for.", body = UsageReportShape)),
)]
async fn of_key(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    Query(asked): Query<OfKey>,
) -> Result<JsonAnswer<UsageReport>, Problem> {
    let query = query(asked.from, asked.to, asked.granularity);
    Ok(JsonAnswer(state.manager().key_usage(&caller.actor, id, query).await?))
}

/// Tell what an organization's keys were used for
///
/// Of all its keys together, and which of them were used most; or of all keys of one of its users or projects. Keys that
/// were erased are among the sums.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/usage", tag = "usage", operation_id = "organizationUsage",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), OfOrganization),
    responses((status = 200, description = "What its keys were used for.", body = UsageReportShape)),
)]
async fn of_organization(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<OfOrganization>,
) -> Result<JsonAnswer<UsageReport>, Problem> {
    let OfOrganization { user_id, project_id, from, to, granularity } = asked;
    let subject = match (user_id, project_id) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("project_id: must not be there together with user_id"));
        }
        (Some(user), None) => Subject::User(organization, user),
        (None, Some(project)) => Subject::Project(organization, project),
        (None, None) => Subject::Organization(organization),
    };
    let query = query(from, to, granularity);
    Ok(JsonAnswer(state.manager().usage(&caller.actor, subject, query).await?))
}
