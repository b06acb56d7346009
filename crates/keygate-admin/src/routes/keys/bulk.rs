//! The same done to many keys.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use chrono::TimeDelta;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{BulkKeys, BulkOperation, BulkPage, KeyUpdate};
use keygate_core::names::{OrganizationId, Reason};
use keygate_core::scope::ScopeSet;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::which::Which;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::fields::{Object, Word};
use crate::idempotency::Idempotency;
use crate::limits::{NewLimits, limits_of};
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{BulkOutcomeShape, KeyIdShape, OrganizationIdShape, ScopeShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(bulk), ManagementPermission::KeysWrite))
}

/// What is to be done, and to which keys: those of `key_ids`, or those that `filter` admits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bulk)]
struct Asked {
    /// What is to be done to each.
    #[schema(value_type = Operation)]
    operation: Word<Operation>,
    /// The keys; one that is named twice is done once.
    #[schema(value_type = Option<Vec<KeyIdShape>>, max_items = 1000)]
    key_ids: Option<Vec<KeyId>>,
    /// The keys, as a list has them, a page at a time: `limit` and `cursor` are those of the list, and the answer says where
    /// the next page begins. Whoever stops in between goes on with the page at which it stopped.
    #[schema(value_type = Option<Which>)]
    filter: Option<Object<Which>>,
    /// How it is to be done.
    #[schema(value_type = Option<Config>)]
    config: Option<Object<Config>>,
    /// Whether it is only to be said to which keys it would be done. Not by default.
    dry_run: Option<bool>,
}

/// What is done to each of many keys, as the call of this name does it to one.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BulkOperation)]
enum Operation {
    /// Stop it until it is activated again.
    Deactivate,
    /// Let it be used again.
    Activate,
    /// Stop it for good.
    Revoke,
    /// Make its successor.
    Rotate,
    /// Change what its holder may do.
    UpdatePermissions,
    /// Change what it may be used on.
    UpdateScopes,
    /// Change how much may be asked of it.
    UpdateLimits,
}

/// How it is done to each. What the operation has no use for is refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkConfig)]
struct Config {
    /// Why, of `deactivate`, `activate` and `revoke`: kept with each key and shown with it. None by default.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "leaked")]
    reason: Option<Reason>,
    /// Of `rotate`: for how many days each key is good beside its successor. With 0 they are revoked at once. What the key's
    /// schedule says by default, or else 7.
    #[schema(maximum = 365)]
    overlap_days: Option<u32>,
    /// Of `update_permissions`: all of them.
    #[schema(value_type = Option<Vec<ScopeShape>>, max_items = 64)]
    permissions: Option<ScopeSet>,
    /// Of `update_scopes`: all of them.
    #[schema(value_type = Option<Vec<ScopeShape>>, max_items = 64)]
    scopes: Option<ScopeSet>,
    /// Of `update_limits`: all of them.
    #[schema(value_type = Option<NewLimits>)]
    limits: Option<Object<NewLimits>>,
}

impl Config {
    fn operation(mut self, operation: Operation) -> Result<BulkOperation, Problem> {
        let done = match operation {
            Operation::Deactivate => BulkOperation::Deactivate { reason: self.reason.take() },
            Operation::Activate => BulkOperation::Activate { reason: self.reason.take() },
            Operation::Revoke => BulkOperation::Revoke { reason: self.reason.take() },
            Operation::Rotate => {
                let overlap = self.overlap_days.take().map(|days| TimeDelta::days(days.into()));
                BulkOperation::Rotate { overlap }
            }
            Operation::UpdatePermissions | Operation::UpdateScopes | Operation::UpdateLimits => {
                let mut update = KeyUpdate::new();
                match operation {
                    Operation::UpdatePermissions => {
                        update.permissions = Some(needed("permissions", &mut self.permissions)?);
                    }
                    Operation::UpdateScopes => update.scopes = Some(needed("scopes", &mut self.scopes)?),
                    _ => {
                        let limits: Limits = limits_of("config.limits", needed("limits", &mut self.limits)?)?;
                        update.limits = Some(limits);
                    }
                }
                BulkOperation::Update(Box::new(update))
            }
        };
        let Self { reason, overlap_days, permissions, scopes, limits } = self;
        let left = [
            ("reason", reason.is_some()),
            ("overlap_days", overlap_days.is_some()),
            ("permissions", permissions.is_some()),
            ("scopes", scopes.is_some()),
            ("limits", limits.is_some()),
        ];
        match left.iter().find(|(_, is_left)| *is_left) {
            Some((field, _)) => Err(Problem::invalid(format!("config.{field}: is not of this operation"))),
            None => Ok(done),
        }
    }
}

fn needed<T>(field: &str, value: &mut Option<T>) -> Result<T, Problem> {
    value.take().ok_or_else(|| Problem::invalid(format!("config.{field}: is needed for this operation")))
}

/// Do the same to many keys
///
/// To those that are named, at most 1,000, or to a page of those that a filter admits. A failure stops none of the others, and
/// the answer says what became of each. A key of another organization is not found. To do it again is safe: what was done
/// already is done or, of a rotation, refused as `key_superseded`; to rotate by a filter needs its `made_before`, so that
/// successors are not rotated in their turn. The answer to a rotation is the only one that shows the new keys, unless the old
/// ones have `hand_over`. Keys are begun for 15 seconds: of those that are named the rest has failed as `not_begun`, of those that
/// a filter admits it is where `next_cursor` begins. One that the filter admits no more when its turn comes is left alone, as
/// `no_longer_matches`.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/keys:bulk", tag = "keys", operation_id = "bulkKeys",
    params(("org" = OrganizationIdShape, Path, description = "The organization whose keys they are.")),
    request_body(content = Asked),
    responses((status = 200, description = "What became of each.", body = BulkOutcomeShape)),
)]
async fn bulk(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Idempotency(once): Idempotency,
    Json(asked): Json<Asked>,
) -> Result<JsonAnswer<BulkPage>, Problem> {
    let operation = asked.config.unwrap_or_default().0.operation(asked.operation.0)?;
    if once.is_some() && matches!(operation, BulkOperation::Rotate { .. }) {
        // Whoever sends it would rely on an answer with the same keys, which are not kept.
        return Err(Problem::invalid(
            "Idempotency-Key: is not taken here: a rotation that is asked for again is refused as key_superseded",
        ));
    }
    let keys = match (asked.key_ids, asked.filter) {
        (Some(keys), None) => BulkKeys::Named(keys),
        (None, Some(Object(which))) => {
            let (filter, limit, cursor) = which.read()?;
            BulkKeys::Matching { filter, limit, cursor }
        }
        (Some(_), Some(_)) => return Err(Problem::invalid("filter: goes without key_ids")),
        (None, None) => return Err(Problem::invalid("key_ids: is missing, and so is filter: one is needed")),
    };
    let dry_run = asked.dry_run.unwrap_or_default();
    let (manager, actor) = (state.manager(), &caller.actor);
    Ok(JsonAnswer(manager.bulk_of(actor, &organization, &operation, &keys, dry_run).await?))
}
