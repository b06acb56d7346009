//! Making a key.

use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::{CreatedOnce, NewKey};
use keygate_core::names::{Description, Environment, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate_core::network::CidrSet;
use keygate_core::record::{Key, Metadata, RotationSchedule, SecurityTier, Sensitive};
use keygate_core::scope::ScopeSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::expiry::expiry;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::etag::Tagged;
use crate::fields::{Object, Time, Word, named};
use crate::idempotency::{Idempotency, IdempotencyHeader, replayed};
use crate::limits::NewLimits;
use crate::location::Mount;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{
    CreatedKeyShape, EnvironmentShape, NetworkShape, NewRotationShape, OrganizationIdShape, PolicyProblemShape,
    ProjectIdShape, ScopeShape, SecurityTierShape, TagShape, UserIdShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(create), ManagementPermission::KeysWrite))
}

/// A key to be made. All but its owner has a default, which null stands for too, unless it says otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
struct Asked {
    /// Its owner.
    #[schema(value_type = UserIdShape)]
    user_id: UserId,
    /// The project it is for. None by default.
    #[schema(value_type = Option<ProjectIdShape>)]
    project_id: Option<ProjectId>,
    /// What people call it: no control or invisible characters. `Unnamed key` by default.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, example = "nightly report")]
    name: Option<KeyName>,
    /// What it is for: no control or invisible characters. Empty by default.
    #[schema(value_type = Option<String>, max_length = 500)]
    description: Option<Description>,
    /// What its holder may do. Nothing by default; everything for an operator's key, of the organization `system`.
    #[schema(value_type = Option<Vec<ScopeShape>>, max_items = 64)]
    permissions: Option<ScopeSet>,
    /// What it may be used on. The scope `default` by default; an empty list is nothing that asks for a scope.
    #[schema(value_type = Option<Vec<ScopeShape>>, max_items = 64)]
    scopes: Option<ScopeSet>,
    /// What its holder may hand on to keys of their own making. Nothing by default; everything for an operator's key.
    #[schema(value_type = Option<Vec<ScopeShape>>, max_items = 64)]
    grantable: Option<ScopeSet>,
    /// How much may be asked of it. By default what its project or else its organization says of new keys (`key_limits`), or
    /// else the limits of its security tier, and none for a key that may verify others; `{}` is without limit.
    #[schema(value_type = Option<NewLimits>)]
    limits: Option<Object<NewLimits>>,
    /// Networks it may be used from; an empty list is anywhere. By default what its project or else its organization says of new
    /// keys (`defaults`), or else anywhere.
    #[schema(value_type = Option<Vec<NetworkShape>>, max_items = 64)]
    allowed_ips: Option<CidrSet>,
    /// Where it may be used. The server's environment by default.
    #[schema(value_type = Option<EnvironmentShape>)]
    environment: Option<Environment>,
    /// In how many days it ends. By default as its project or else its organization says of new keys (`defaults`), or else in 90,
    /// and within the longest life that their policies allow; an operator's key never ends by default. Goes without
    /// `expires_at`.
    #[schema(minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// When it ends: a time to come, at most 36,500 days away. An explicit null is never.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Time>>,
    /// Before when it is refused: a time before its end. From the beginning by default.
    #[schema(value_type = Option<String>, format = DateTime)]
    not_before: Option<Time>,
    /// Words it is found by. None by default.
    #[schema(value_type = Option<Vec<TagShape>>, max_items = 32)]
    tags: Option<Vec<Tag>>,
    /// Your own fields, at most 4,096 bytes as compact JSON. Shown with the key: no place for secrets.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// Fields of your own that are kept encrypted, at most 32 and 4,096 bytes as compact JSON. They are not shown with the
    /// key, but for their names: `GET /v1/keys/{key_id}/sensitive` opens them.
    #[schema(value_type = Option<Object>)]
    sensitive: Option<Sensitive>,
    /// How carefully it is kept. By default what its project or else its organization says of new keys (`defaults`), or else
    /// `standard`.
    #[schema(value_type = Option<SecurityTierShape>)]
    security_tier: Option<Word<SecurityTier>>,
    /// When it is to be rotated. Without a schedule by default.
    #[schema(value_type = Option<NewRotationShape>)]
    rotation: Option<Object<RotationSchedule>>,
    /// Whether whoever holds it may claim its successor with it, once it was rotated. False by default.
    #[schema(value_type = Option<bool>)]
    hand_over: Option<bool>,
}

impl Asked {
    fn of(self, organization: OrganizationId) -> Result<NewKey, Problem> {
        let mut new = NewKey::new(organization, self.user_id);
        new.project = self.project_id;
        new.name = self.name;
        new.description = self.description.unwrap_or_default();
        // An operator's key for which one of the two is said is not one that may do everything.
        if self.permissions.is_some() || self.grantable.is_some() {
            new.permissions = self.permissions.unwrap_or_default();
            new.grantable = self.grantable.unwrap_or_default();
        }
        new.scopes = self.scopes;
        new.limits = self.limits.map(|Object(limits)| limits.into());
        new.allowed_ips = self.allowed_ips;
        new.environment = self.environment;
        new.expiry = expiry(self.expires_in_days, self.expires_at)?.unwrap_or(new.expiry);
        new.not_before = self.not_before.map(|Time(time)| time);
        new.tags = self.tags.unwrap_or_default();
        new.metadata = self.metadata.unwrap_or_default();
        new.sensitive = self.sensitive.unwrap_or_default();
        new.security_tier = self.security_tier.map(|Word(tier)| tier);
        new.rotation_schedule = self.rotation.map(|Object(schedule)| schedule);
        new.hand_over = self.hand_over.unwrap_or_default();
        Ok(new)
    }
}

/// A key that was made for an earlier request, whose answer alone showed its text.
#[derive(Debug, Serialize)]
struct CreatedBefore {
    key: (),
    #[serde(flatten)]
    record: Key,
}

/// Make a key
///
/// The answer is the only one that ever shows the key. Permissions, scopes (the scope `default` too) and grantable patterns
/// must be covered by what the caller's key may grant.
///
/// With `Idempotency-Key` a request may be sent again when its answer was lost: for 24 hours one key is made, and whoever
/// repeats the request is shown that key without its text. If it has been erased meanwhile the answer is 404.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/keys", tag = "keys", operation_id = "createKey",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization it is for."),
        IdempotencyHeader,
    ),
    request_body(content = Asked),
    responses(
        (status = 201, description = "It is made.", body = CreatedKeyShape, headers(
            ("Location" = String, description = "Where it is shown."),
            ("ETag" = String, description = "Its revision."),
            ("Idempotent-Replayed" = String, description = "`true` where an earlier request had made it."),
        )),
        (status = 409, description = "The quota of the organization, of the user or of the project is reached: `quota_reached`."),
        (status = 422, description = "A field is unknown, missing, or holds what it must not (`invalid_field`); the key would \
            not be within a policy of its organization, its project or its user (`policy_violated`, with `policy` and `level`); or the \
            `Idempotency-Key` was used for another request (`idempotency_key_reused`).", body = PolicyProblemShape,
            content_type = "application/problem+json"),
    ),
)]
async fn create(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    mount: Mount,
    Idempotency(idempotency): Idempotency,
    Json(asked): Json<Asked>,
) -> Result<Response, Problem> {
    let new = asked.of(organization)?;
    let manager = state.manager();
    let outcome = match &idempotency {
        None => CreatedOnce::Now(manager.create(&caller.actor, new).await?),
        Some(key) => manager.create_once(&caller.actor, new, key).await?,
    };
    Ok(match outcome {
        CreatedOnce::Now(created) => {
            let location = mount.key(created.key.id);
            (StatusCode::CREATED, location, Tagged { revision: created.key.revision, body: created }).into_response()
        }
        CreatedOnce::Before(record) => {
            let location = mount.key(record.id);
            let body = Tagged { revision: record.revision, body: CreatedBefore { key: (), record } };
            replayed((StatusCode::CREATED, location, body))
        }
    })
}
