//! Projects of an organization: show, change.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use keygate_core::actor::ManagementPermission;
use keygate_core::limits::Limits;
use keygate_core::manager::ProjectUpdate;
use keygate_core::names::{OrganizationId, ProjectId};
use keygate_core::record::{KeyDefaults, KeyPolicy, ParentStatus, ProjectRecord, Revision};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::fields::{Object, Word, named, object};
use crate::limits::{NewLimits, limits_named, limits_or_null};
use crate::problem::Problem;
use crate::schema::{
    KeyDefaultsShape, KeyPolicyShape, LimitsShape, NewKeyDefaultsShape, NewKeyPolicyShape, OrganizationIdShape,
    ParentStatusShape, ProjectIdShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(replace), ManagementPermission::OrganizationSettings))
}

/// What is to be configured for a project, all of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProject {
    /// Whether its keys may be used.
    #[schema(value_type = ParentStatusShape)]
    status: Word<ParentStatus>,
    /// How many keys it may have; null is as many as its organization has room for, and it stays as it is where it is left out.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<Option<u64>>,
    /// How much may be asked of all its keys together; null is without limit.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<NewLimits>, required)]
    limits: Option<Object<NewLimits>>,
    /// The limits of its new keys for which none are said; null goes back to those of its organization, and they stay as they
    /// are where they are left out.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewLimits>)]
    key_limits: Option<Option<Object<NewLimits>>>,
    /// What its keys have to be, beside what its organization's policy says; null is nothing, and it stays as it is where it is
    /// left out. Keys that are there go on as they are.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyPolicyShape>)]
    policy: Option<Option<Object<KeyPolicy>>>,
    /// What its new keys are where nobody says, before what its organization says; null says nothing, and they stay as they are
    /// where they are left out.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyDefaultsShape>)]
    defaults: Option<Option<Object<KeyDefaults>>>,
}

/// A field that may be null and must be there: whoever leaves the limits out is not taken to want none.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

impl NewProject {
    fn update(self) -> Result<ProjectUpdate, Problem> {
        let mut update = ProjectUpdate::default();
        update.status = Some(self.status.0);
        update.max_keys = self.max_keys;
        update.limits = Some(limits_or_null("limits", self.limits)?);
        update.key_limits = limits_named("key_limits", self.key_limits)?;
        update.policy = self.policy.map(object);
        update.defaults = self.defaults.map(object);
        Ok(update)
    }
}

/// What was configured for a project.
#[derive(Debug, Serialize, ToSchema)]
struct Project {
    /// The organization it is of.
    #[schema(value_type = OrganizationIdShape)]
    organization_id: OrganizationId,
    /// Its id.
    #[schema(value_type = ProjectIdShape)]
    project_id: ProjectId,
    /// Counts its writes; 0 for one that nobody configured.
    #[schema(value_type = u64)]
    revision: Revision,
    /// Whether its keys may be used.
    #[schema(value_type = ParentStatusShape)]
    status: ParentStatus,
    /// How many keys it may have; null is as many as its organization has room for.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<u64>,
    /// How much may be asked of all its keys together; null is without limit.
    #[schema(value_type = Option<LimitsShape>, required)]
    limits: Option<Limits>,
    /// The limits of its new keys for which none are said; null is those of its organization.
    #[schema(value_type = Option<LimitsShape>, required)]
    key_limits: Option<Limits>,
    /// What its keys have to be, beside what its organization's policy says; null is nothing.
    #[schema(value_type = Option<KeyPolicyShape>, required)]
    policy: Option<KeyPolicy>,
    /// What new keys are where nobody says; null says nothing.
    #[schema(value_type = Option<KeyDefaultsShape>, required)]
    defaults: Option<KeyDefaults>,
}

impl From<ProjectRecord> for Tagged<Project> {
    fn from(record: ProjectRecord) -> Self {
        let ProjectRecord { organization, id, revision, status, max_keys, limits, key_limits, policy, defaults } =
            record;
        let (organization_id, project_id) = (organization, id);
        let body =
            Project { organization_id, project_id, revision, status, max_keys, limits, key_limits, policy, defaults };
        Self { revision, body }
    }
}

/// Show a project
///
/// A project that nobody configured exists with the defaults: it is active, and without limits.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/projects/{project}", tag = "projects", operation_id = "showProject",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("project" = ProjectIdShape, Path, description = "The project's id."),
    ),
    responses(
        (status = 200, description = "The project.", body = Project, headers(("ETag" = String, description = "Its revision."))),
    ),
)]
async fn show(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, project)): Path<(OrganizationId, ProjectId)>,
) -> Result<Response, Problem> {
    let record = state.manager().project(&caller.actor, &organization, &project).await?;
    Ok(Tagged::<Project>::from(record).into_response())
}

/// Configure a project
///
/// In the place of what was configured, but for `max_keys`, `key_limits`, `policy` and `defaults` where they are left out. Suspending it refuses all its keys until it is active again. Limits are those of the
/// next request with any of its keys: what was used in the present windows counts; keys beyond a quota that is lowered stay.
#[utoipa::path(
    put, path = "/v1/organizations/{org}/projects/{project}", tag = "projects", operation_id = "putProject",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("project" = ProjectIdShape, Path, description = "The project's id."),
        IfMatchHeader,
    ),
    request_body(content = NewProject),
    responses(
        (status = 200, description = "The project as it now is.", body = Project, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is of the operator's own organization (`reserved`), or keeps changing \
            (`revision_conflict`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
    ),
)]
async fn replace(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, project)): Path<(OrganizationId, ProjectId)>,
    if_match: IfMatch,
    Json(new): Json<NewProject>,
) -> Result<Response, Problem> {
    let (manager, update) = (state.manager(), new.update()?);
    let updated = manager.update_project(&caller.actor, &organization, &project, &update, if_match.expected()).await;
    let record = updated.map_err(|error| if_match.problem(error))?;
    Ok(Tagged::<Project>::from(record).into_response())
}
