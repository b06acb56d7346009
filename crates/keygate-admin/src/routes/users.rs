//! Users of an organization: show, change.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::UserUpdate;
use keygate_core::names::{OrganizationId, RoleName, UserId};
use keygate_core::record::{KeyDefaults, KeyPolicy, UserStatus};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::etag::{IfMatch, IfMatchHeader, Tagged};
use crate::fields::{Object, Word, given, named, object};
use crate::limits::{NewLimits, limits_named};
use crate::problem::Problem;
use crate::schema::{
    ChangedUserShape, NewKeyDefaultsShape, NewKeyPolicyShape, OrganizationIdShape, RoleNameShape, UserIdShape,
    UserShape, UserStatusShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(show), ManagementPermission::KeysRead))
        .routes(guarded(routes!(put), ManagementPermission::OrganizationSettings))
}

/// What is to be configured for a user. What is not named stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// Whether its keys may be used. `offboarded` revokes them all, for good, and no more are made for it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = UserStatusShape, required = false)]
    status: Option<Word<UserStatus>>,
    /// Its roles: its keys may do what they were given and one of these covers, and with none at all nothing that needs a
    /// permission. Null caps nothing.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Vec<RoleNameShape>>, max_items = 32)]
    roles: Option<Option<Vec<RoleName>>>,
    /// How many keys it may have; null goes back to what its organization says of each user.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<Option<u64>>,
    /// How much may be asked of all its keys together, of which `{}` is without limit; null goes back to what its organization
    /// says of each user.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewLimits>)]
    limits: Option<Option<Object<NewLimits>>>,
    /// What its keys have to be, beside what the policies of its organization and of their projects say; null takes the policy
    /// away. Keys that are there go on as they are.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyPolicyShape>)]
    policy: Option<Option<Object<KeyPolicy>>>,
    /// What its new keys are where nobody says, before what their project and its organization say; null takes the defaults
    /// away.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<NewKeyDefaultsShape>)]
    defaults: Option<Option<Object<KeyDefaults>>>,
}

impl NewUser {
    fn update(self) -> Result<UserUpdate, Problem> {
        Ok(UserUpdate {
            status: self.status.map(|Word(status)| status),
            roles: self.roles,
            max_keys: self.max_keys,
            limits: limits_named("limits", self.limits)?,
            policy: self.policy.map(object),
            defaults: self.defaults.map(object),
        })
    }
}

/// Show a user
///
/// A user that nobody configured exists with the defaults: it is active, nothing caps its keys, and what its
/// organization says of each user is true of it.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/users/{user}", tag = "users", operation_id = "showUser",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("user" = UserIdShape, Path, description = "The user's id."),
    ),
    responses(
        (status = 200, description = "The user.", body = UserShape, headers(("ETag" = String, description = "Its revision."))),
    ),
)]
async fn show(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<Response, Problem> {
    let record = state.manager().user(&caller.actor, &organization, &user).await?;
    Ok(Tagged { revision: record.revision, body: record }.into_response())
}

/// Configure a user
///
/// Its roles cap all its keys at once, everywhere within the bound of a revocation; suspending it refuses them until it is
/// active again. Offboarding revokes them, up to 15 seconds long in one call, and needs the permission `keys:write` too. What its roles cover and did not cover before
/// must be covered by the caller's `grantable`, and to take the cap away by `**`. Limits are those of the next request with any of
/// its keys: what was used in the present windows counts; keys beyond a quota that is lowered stay.
#[utoipa::path(
    put, path = "/v1/organizations/{org}/users/{user}", tag = "users", operation_id = "putUser",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is of."),
        ("user" = UserIdShape, Path, description = "The user's id."),
        IfMatchHeader,
    ),
    request_body(content = NewUser),
    responses(
        (status = 200, description = "The user as it now is.", body = ChangedUserShape, headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "It is of the operator's own organization (`reserved`), keeps changing \
            (`revision_conflict`), or has left and not all its keys are revoked yet (`still_offboarding`)."),
        (status = 412, description = "It has changed since: `revision_conflict`."),
    ),
)]
async fn put(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, user)): Path<(OrganizationId, UserId)>,
    if_match: IfMatch,
    Json(new): Json<NewUser>,
) -> Result<Response, Problem> {
    if new.status.as_ref().is_some_and(|Word(status)| *status == UserStatus::Offboarded) {
        caller.demand(ManagementPermission::KeysWrite)?;
    }
    let (manager, update) = (state.manager(), new.update()?);
    let changed = manager.update_user(&caller.actor, &organization, &user, &update, if_match.expected()).await;
    let body = changed.map_err(|error| if_match.problem(error))?;
    Ok(Tagged { revision: body.user.revision, body }.into_response())
}
