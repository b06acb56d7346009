//! Opening what is kept encrypted with a key.

use axum::extract::State as StateOf;
use keygate_core::actor::ManagementPermission;
use keygate_core::key::KeyId;
use keygate_core::manager::OpenedFields;
use keygate_core::names::FieldName;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::schema::{FieldNameShape, KeyIdShape, SensitiveFieldsShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(open), ManagementPermission::KeysSensitive))
}

/// Which fields are opened.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// This one alone; by default all of them. Of a name that the key has no field of, nothing is answered.
    #[param(value_type = Option<FieldNameShape>)]
    field: Option<FieldName>,
}

/// Open the sensitive fields of a key
///
/// Whoever opens them is written to the log, with the names of the fields. Where one of them cannot be opened, none is
/// answered: the problem names those, and the others, which can be asked for one by one.
#[utoipa::path(
    get, path = "/v1/keys/{key_id}/sensitive", tag = "keys", operation_id = "openSensitiveFields",
    params(("key_id" = KeyIdShape, Path, description = "The key's id."), Asked),
    responses(
        (status = 200, description = "The fields.", body = SensitiveFieldsShape),
        (status = 500, description = "A field was changed, or stands where it was not put; `detail` names it: `sensitive_damaged`."),
    ),
)]
async fn open(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(id): Path<KeyId>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<OpenedFields>, Problem> {
    Ok(axum::Json(state.manager().sensitive(&caller.actor, id, asked.field.as_ref()).await?))
}
