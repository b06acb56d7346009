//! Organizations: set up, show, change.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::limits::Limits;
use keygate_core::manager::{OrganizationOnce, OrganizationUpdate};
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyDefaults, KeyPolicy, OrganizationRecord, ParentStatus, Revision};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::{Caller, OperatorCaller};
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::fields::{Object, Word, given, named, object};
use crate::idempotency::{Idempotency, IdempotencyHeader, replayed};
use crate::limits::{NewLimits, limits_named, limits_or_null};
use crate::location::Mount;
use crate::problem::Problem;
use crate::schema::{
    KeyDefaultsShape, KeyPolicyShape, LimitsShape, NewKeyDefaultsShape, NewKeyPolicyShape, OrganizationIdShape,
    ParentStatusShape,
};

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
    #[schema(value_type = OrganizationIdShape)]
    organization_id: OrganizationId,
    /// How many keys it may have; null or none is the server's default.
    #[schema(maximum = 1_000_000_000_000_u64)]
    max_keys: Option<u64>,
    /// How many keys each of its users may have; null or none is the server's default.
    #[schema(maximum = 1_000_000_000_000_u64)]
    max_keys_per_user: Option<u64>,
    /// How much may be asked of all its keys together. Without limit by default.
    #[schema(value_type = Option<NewLimits>)]
    limits: Option<Object<NewLimits>>,
    /// How much may be asked of all keys of each of its users together. Without limit by default.
    #[schema(value_type = Option<NewLimits>)]
    user_limits: Option<Object<NewLimits>>,
    /// The limits of new keys for which none are said. Those of their security tier by default; `{}` is without limit.
    #[schema(value_type = Option<NewLimits>)]
    key_limits: Option<Object<NewLimits>>,
    /// What its keys have to be. Nothing by default.
    #[schema(value_type = Option<NewKeyPolicyShape>)]
    policy: Option<Object<KeyPolicy>>,
    /// What new keys are where nobody says.
    #[schema(value_type = Option<NewKeyDefaultsShape>)]
    defaults: Option<Object<KeyDefaults>>,
}

/// What is to change of an organization. What is not named stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrganizationChange {
    /// Whether its keys may be used.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ParentStatusShape, required = false)]
    status: Option<Word<ParentStatus>>,
    /// How many keys it may have; null goes back to the server's default.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<Option<u64>>,
    /// How many keys each of its users may have; null goes back to the server's default.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_u64)]
    max_keys_per_user: Option<Option<u64>>,
    /// How much may be asked of all its keys together; null takes the limits away.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewLimits>)]
    limits: Option<Option<Object<NewLimits>>>,
    /// How much may be asked of all keys of each of its users together; null takes the limits away.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewLimits>)]
    user_limits: Option<Option<Object<NewLimits>>>,
    /// The limits of new keys for which none are said; null goes back to those of their security tier. Keys that are there
    /// keep theirs.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewLimits>)]
    key_limits: Option<Option<Object<NewLimits>>>,
    /// What its keys have to be, all of it; null takes the policy away. Keys that are there go on as they are.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyPolicyShape>)]
    policy: Option<Option<Object<KeyPolicy>>>,
    /// What new keys are where nobody says, all of it; null takes the defaults away.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyDefaultsShape>)]
    defaults: Option<Option<Object<KeyDefaults>>>,
}

impl NewOrganization {
    fn settings(&self) -> Result<OrganizationUpdate, Problem> {
        let mut settings = OrganizationUpdate::default();
        settings.max_keys = Some(self.max_keys);
        settings.max_keys_per_user = Some(self.max_keys_per_user);
        settings.limits = Some(limits_or_null("limits", self.limits)?);
        settings.user_limits = Some(limits_or_null("user_limits", self.user_limits)?);
        settings.key_limits = Some(limits_or_null("key_limits", self.key_limits)?);
        settings.policy = Some(self.policy.as_ref().map(|Object(policy)| policy.clone()));
        settings.defaults = Some(self.defaults.as_ref().map(|Object(defaults)| defaults.clone()));
        Ok(settings)
    }
}

impl OrganizationChange {
    fn update(self) -> Result<OrganizationUpdate, Problem> {
        let mut update = OrganizationUpdate::default();
        update.status = self.status.map(|Word(status)| status);
        update.max_keys = self.max_keys;
        update.max_keys_per_user = self.max_keys_per_user;
        update.limits = limits_named("limits", self.limits)?;
        update.user_limits = limits_named("user_limits", self.user_limits)?;
        update.key_limits = limits_named("key_limits", self.key_limits)?;
        update.policy = self.policy.map(object);
        update.defaults = self.defaults.map(object);
        Ok(update)
    }
}

/// What was configured for an organization.
#[derive(Debug, Serialize, ToSchema)]
struct Organization {
    /// Its id.
    #[schema(value_type = OrganizationIdShape)]
    organization_id: OrganizationId,
    /// Counts its writes; 0 for one that nobody configured.
    #[schema(value_type = u64)]
    revision: Revision,
    /// Whether its keys may be used.
    #[schema(value_type = ParentStatusShape)]
    status: ParentStatus,
    /// How many keys it may have; null is the server's default.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<u64>,
    /// How many keys each of its users may have; null is the server's default.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys_per_user: Option<u64>,
    /// How much may be asked of all its keys together; null is without limit.
    #[schema(value_type = Option<LimitsShape>, required)]
    limits: Option<Limits>,
    /// How much may be asked of all keys of each of its users together; null is without limit.
    #[schema(value_type = Option<LimitsShape>, required)]
    user_limits: Option<Limits>,
    /// The limits of new keys for which none are said; null is those of their security tier.
    #[schema(value_type = Option<LimitsShape>, required)]
    key_limits: Option<Limits>,
    /// What its keys have to be; null is nothing.
    #[schema(value_type = Option<KeyPolicyShape>, required)]
    policy: Option<KeyPolicy>,
    /// What new keys are where nobody says; null says nothing.
    #[schema(value_type = Option<KeyDefaultsShape>, required)]
    defaults: Option<KeyDefaults>,
}

impl From<OrganizationRecord> for Tagged<Organization> {
    fn from(record: OrganizationRecord) -> Self {
        let OrganizationRecord {
            id,
            revision,
            status,
            max_keys,
            max_keys_per_user,
            limits,
            user_limits,
            key_limits,
            policy,
            defaults,
        } = record;
        let organization_id = id;
        let body = Organization {
            organization_id,
            revision,
            status,
            max_keys,
            max_keys_per_user,
            limits,
            user_limits,
            key_limits,
            policy,
            defaults,
        };
        Self { revision, body }
    }
}

/// Set an organization up
///
/// An organization that nobody has set up exists with the defaults, so this is for those that are to have quotas or
/// limits of their own. The operator's alone. With `Idempotency-Key` a request may be sent again when its answer was lost.
#[utoipa::path(
    post, path = "/v1/organizations", tag = "organizations", operation_id = "createOrganization",
    params(
        IdempotencyHeader,
    ),
    request_body(content = NewOrganization),
    responses(
        (status = 201, description = "It is set up.", body = Organization, headers(
            ("Location" = String, description = "Where it is shown."),
            ("ETag" = String, description = "Its revision."),
            ("Idempotent-Replayed" = String, description = "`true` where an earlier request had set it up."),
        )),
        (status = 409, description = "It was set up before (`already_exists`), or is the operator's own (`reserved`)."),
        (status = 422, description = "A field is unknown, missing, or holds what it must not (`invalid_field`); or the \
            `Idempotency-Key` was used for another request (`idempotency_key_reused`)."),
    ),
)]
async fn create(
    StateOf(state): StateOf<State>,
    OperatorCaller(operator): OperatorCaller,
    mount: Mount,
    Idempotency(idempotency): Idempotency,
    Json(new): Json<NewOrganization>,
) -> Result<Response, Problem> {
    let settings = new.settings()?;
    let (manager, id) = (state.manager(), &new.organization_id);
    let outcome = match &idempotency {
        None => OrganizationOnce::Now(manager.create_organization(&operator, id, &settings).await?),
        Some(key) => manager.create_organization_once(&operator, id, &settings, key).await?,
    };
    let answer = |record| (StatusCode::CREATED, mount.organization(id), Tagged::<Organization>::from(record));
    Ok(match outcome {
        OrganizationOnce::Now(record) => answer(record).into_response(),
        OrganizationOnce::Before(record) => replayed(answer(record)),
    })
}

/// Show an organization
#[utoipa::path(
    get, path = "/v1/organizations/{org}", tag = "organizations", operation_id = "showOrganization",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    responses(
        (status = 200, description = "The organization.", body = Organization, headers(("ETag" = String, description = "Its revision."))),
    ),
)]
async fn show(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let record = state.manager().organization(&caller.actor, &organization).await?;
    Ok(Tagged::<Organization>::from(record).into_response())
}

/// Change an organization
///
/// Suspending it refuses all its keys until it is active again. Limits are those of the next request with any of its keys:
/// what was used in the present windows counts. The operator's alone.
#[utoipa::path(
    patch, path = "/v1/organizations/{org}", tag = "organizations", operation_id = "updateOrganization",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization's id."),
        IfMatchHeader,
    ),
    request_body(content = OrganizationChange),
    responses(
        (status = 200, description = "The organization as it now is.", body = Organization, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is the operator's own (`reserved`), or keeps changing (`revision_conflict`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
    ),
)]
async fn update(
    StateOf(state): StateOf<State>,
    OperatorCaller(operator): OperatorCaller,
    Path(organization): Path<OrganizationId>,
    if_match: IfMatch,
    Json(change): Json<OrganizationChange>,
) -> Result<Response, Problem> {
    let update = change.update()?;
    let updated = state.manager().update_organization(&operator, &organization, &update, if_match.expected()).await;
    let record = updated.map_err(|error| if_match.problem(error))?;
    Ok(Tagged::<Organization>::from(record).into_response())
}
