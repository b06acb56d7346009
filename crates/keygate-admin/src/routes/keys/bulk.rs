//! The same done to many keys.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::{BulkOperation, BulkOutcome};
use keygate_core::names::{OrganizationId, Reason};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::fields::{Object, Word};
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{BulkOutcomeShape, KeyIdShape, OrganizationIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(bulk), ManagementPermission::KeysWrite))
}

/// What is to be done, and to which keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bulk)]
struct Asked {
    /// What is to be done to each.
    #[schema(value_type = Operation)]
    operation: Word<Operation>,
    /// The keys; one that is named twice is done once.
    #[schema(value_type = Vec<KeyIdShape>, max_items = 1000)]
    key_ids: Vec<KeyId>,
    /// How it is to be done.
    #[schema(value_type = Option<Config>)]
    config: Option<Object<Config>>,
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
}

/// How it is done to each.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkConfig)]
struct Config {
    /// Why: kept with each key and shown with it. None by default.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "leaked")]
    reason: Option<Reason>,
}

/// Do the same to many keys
///
/// At most 1,000. A failure stops none of the others, and the answer says what became of each. A key of another
/// organization is not found.
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
    Json(asked): Json<Asked>,
) -> Result<JsonAnswer<BulkOutcome>, Problem> {
    let reason = asked.config.unwrap_or_default().0.reason;
    let operation = match asked.operation.0 {
        Operation::Deactivate => BulkOperation::Deactivate { reason },
        Operation::Activate => BulkOperation::Activate { reason },
        Operation::Revoke => BulkOperation::Revoke { reason },
    };
    Ok(JsonAnswer(state.manager().bulk(&caller.actor, &organization, &operation, &asked.key_ids).await?))
}
