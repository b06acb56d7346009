//! Keys that were made elsewhere, taken in.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State as StateOf};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::{ImportOutcome, ImportStatus, MAX_IMPORT_BYTES};
use keygate_core::names::OrganizationId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::OperatorCaller;
use crate::limits::NewLimits;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::routes::ndjson::{NDJSON, line};
use crate::schema::{
    EnvironmentShape, KeyIdShape, NetworkShape, NewRotationShape, OrganizationIdShape, ProjectIdShape, ScopeShape,
    SecurityTierShape, TagShape, UserIdShape,
};

pub(super) fn routes() -> OpenApiRouter<State> {
    let (schemas, paths, methods) = guarded(routes!(import), ManagementPermission::KeysImport);
    OpenApiRouter::new().routes((schemas, paths, methods.layer(DefaultBodyLimit::max(MAX_IMPORT_BYTES))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Check everything, and write nothing.
    #[param(default = false)]
    dry_run: Option<bool>,
}

/// A line of an import: either `raw` or `digest`, and what the key is to be. Read by the manager; here for the document.
#[derive(ToSchema)]
#[schema(as = ImportLine)]
#[allow(dead_code)]
struct LineShape {
    /// The text of the key, of a declared pattern: 16 to 512 visible ASCII characters.
    raw: Option<String>,
    /// Its digest, in hexadecimal digits, or in base64 after `base64:`.
    digest: Option<String>,
    /// How the digest was made: `sha256`, `sha512`, `hmac-sha256` or `pbkdf2-sha256`.
    algorithm: Option<String>,
    /// With `hmac-sha256`: the name of the key it was made under, which the server is configured with.
    hmac_key: Option<String>,
    /// With `pbkdf2-sha256`: the salt, written like the digest, or as text after `text:`; at most 128 bytes.
    salt: Option<String>,
    /// With `pbkdf2-sha256`: its iterations.
    #[schema(minimum = 1_000, maximum = 2_000_000)]
    iterations: Option<u32>,
    /// With `pbkdf2-sha256`: the part of the text that a pattern names `lookup`. The key is found by it alone: a line with
    /// the part of another key is refused with `lookup_part_taken`.
    #[schema(min_length = 4, max_length = 64)]
    lookup: Option<String>,
    /// Its owner.
    user_id: UserIdShape,
    /// As of a new key.
    project_id: Option<ProjectIdShape>,
    /// As of a new key.
    name: Option<String>,
    /// As of a new key.
    description: Option<String>,
    /// As of a new key.
    permissions: Option<Vec<ScopeShape>>,
    /// As of a new key.
    scopes: Option<Vec<ScopeShape>>,
    /// As of a new key.
    grantable: Option<Vec<ScopeShape>>,
    /// As of a new key.
    limits: Option<NewLimits>,
    /// As of a new key.
    allowed_ips: Option<Vec<NetworkShape>>,
    /// As of a new key.
    environment: Option<EnvironmentShape>,
    /// As of a new key: an imported key ends in 90 days, unless the line says another end, or none.
    expires_in_days: Option<u32>,
    /// As of a new key: an explicit null is never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// As of a new key.
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// As of a new key.
    tags: Option<Vec<TagShape>>,
    /// As of a new key.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    /// As of a new key.
    security_tier: Option<SecurityTierShape>,
    /// As of a new key.
    rotation: Option<NewRotationShape>,
    /// As of a new key.
    hand_over: Option<bool>,
}

/// What became of a line.
#[derive(ToSchema)]
#[schema(as = ImportOutcome)]
#[allow(dead_code)]
struct OutcomeShape {
    /// The line, counted from 1.
    #[schema(minimum = 1)]
    line: u64,
    /// `created`; in a dry run, it would be. `exists`: it was there, and is left as it is. `refused`: it is not made.
    status: StatusShape,
    /// Its key, where there is one.
    key_id: Option<KeyIdShape>,
    /// Why it was refused: the stable word for it, such as `lookup_part_taken`.
    #[schema(example = "invalid_field")]
    reason: Option<String>,
    /// The same in a sentence for people, which repeats no secret. With `exists`, that a key of its user was found by the
    /// lookup part, is in use, and cannot be compared with the line any more.
    detail: Option<String>,
}

/// What became of a line.
#[derive(ToSchema)]
#[schema(as = ImportStatus, rename_all = "snake_case")]
#[allow(dead_code)]
enum StatusShape {
    /// Its key is made.
    Created,
    /// Its key was there already.
    Exists,
    /// Its key is not made.
    Refused,
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportReport)]
struct Report {
    /// How many keys are made.
    created: usize,
    /// How many were there already.
    exists: usize,
    /// How many lines were refused.
    refused: usize,
    /// What became of each line that is not empty, in their order.
    #[schema(value_type = Vec<OutcomeShape>)]
    lines: Vec<ImportOutcome>,
}

impl From<Vec<ImportOutcome>> for Report {
    fn from(lines: Vec<ImportOutcome>) -> Self {
        let count = |status| lines.iter().filter(|outcome| outcome.status == status).count();
        let (created, exists) = (count(ImportStatus::Created), count(ImportStatus::Exists));
        Self { created, exists, refused: lines.len() - created - exists, lines }
    }
}

/// Take in keys that were made elsewhere
///
/// They keep their text. The body is NDJSON: a JSON object on each line, at most 10,000 of them and 16 MiB. A line that is
/// refused stops none of the others, and one whose key is there already is left alone: an import that was cut off is sent
/// again. A key ends in 90 days unless its line says otherwise: `"expires_at": null` is never. `Accept: application/x-ndjson` is answered with one outcome on each line, anything else with one document.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/keys:import", tag = "keys", operation_id = "importKeys",
    params(("org" = OrganizationIdShape, Path, description = "The organization they are for."), Asked),
    request_body(content = LineShape, content_type = "application/x-ndjson", description = "One key on each line."),
    responses(
        (status = 200, description = "What became of each line.", content(
            (Report = "application/json"),
            (OutcomeShape = "application/x-ndjson"),
        )),
        (status = 409, description = "Keys of the organization `system` are not imported: `reserved`."),
        (status = 422, description = "No pattern is declared, or there are too many lines: `invalid_field`."),
    ),
)]
async fn import(
    StateOf(state): StateOf<State>,
    OperatorCaller(operator): OperatorCaller,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body?;
    let dry_run = asked.dry_run.unwrap_or_default();
    let outcomes = state.manager().import(&operator, &organization, &body, dry_run).await?;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accepts.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == NDJSON) {
        return Ok(axum::Json(Report::from(outcomes)).into_response());
    }
    let mut text = Vec::new();
    for outcome in &outcomes {
        line(&mut text, outcome)?;
    }
    Ok(([(header::CONTENT_TYPE, NDJSON)], text).into_response())
}
