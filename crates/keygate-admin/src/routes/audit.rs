//! Who did what in an organization, and whether what is written of it is as it was written.

use axum::Json as JsonAnswer;
use axum::body::{Body, Bytes};
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, header};
use keygate_core::actor::{Actor, ManagementPermission};
use keygate_core::audit::{Action, AuditHead, AuditVerification};
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, AuditCursor, AuditOrder, AuditQuery};
use keygate_core::names::{OrganizationId, PrincipalId};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ndjson::{NDJSON, line};
use super::{guarded, paging};
use crate::admin::State;
use crate::body::{Path, Query};
use crate::caller::Caller;
use crate::fields::{DayOrTime, Word};
use crate::problem::Problem;
use crate::schema::{
    AuditEntryShape, AuditOrderShape as OrderShape, AuditPageShape, AuditVerificationShape, KeyIdShape,
    OrganizationIdShape,
};

/// Entries that are read for one part of an export.
const PART: usize = 200;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(list), ManagementPermission::AuditRead))
        .routes(guarded(routes!(verify), ManagementPermission::AuditRead))
}

/// Which entries come first.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    NewestFirst,
    OldestFirst,
}

/// Which part of the audit is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// How many entries are to be on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
    /// Which entries come first; `newest_first` by default.
    #[param(value_type = Option<OrderShape>)]
    order: Option<Word<Order>>,
    /// Only what was done so, such as `key.revoke`.
    #[param(example = "key.revoke")]
    action: Option<String>,
    /// Only what was done by this one: a key id, or a word such as `operator`.
    principal: Option<String>,
    /// Only what was done to this key, alone or with others.
    #[param(value_type = Option<KeyIdShape>)]
    key_id: Option<KeyId>,
    /// Only what was done from this time on: a day, or a time as in RFC 3339.
    #[param(value_type = Option<String>, example = "2026-11-01")]
    from: Option<DayOrTime>,
    /// Only what was done before this time.
    #[param(value_type = Option<String>, example = "2026-12-01")]
    to: Option<DayOrTime>,
}

impl Asked {
    fn query(&self) -> Result<AuditQuery, Problem> {
        let mut query = AuditQuery::default();
        query.action = match &self.action {
            Some(action) => {
                let known: Action = action.parse().map_err(|error| Problem::invalid(format!("action: {error}")))?;
                Some(known.to_string())
            }
            None => None,
        };
        query.principal = match &self.principal {
            Some(principal) => Some(PrincipalId::new(principal)?.to_string()),
            None => None,
        };
        query.key_id = self.key_id;
        query.from = self.from.map(|DayOrTime(time)| time);
        query.to = self.to.map(|DayOrTime(time)| time);
        Ok(query)
    }
}

/// Tell who did what in an organization
///
/// Newest first, or the oldest. What is done is two entries, the intent before it and the outcome after it; what is refused before it is begun
/// is one. With `Accept: application/x-ndjson` all that is asked for is told, one entry on each line, the oldest first; an answer
/// that ends before its time was cut off. The audit of `system` is the operator's.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/audit", tag = "audit", operation_id = "audit",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), Asked),
    responses((status = 200, description = "A page of entries, or all of them.", content(
        (AuditPageShape = "application/json"),
        (AuditEntryShape = "application/x-ndjson"),
    ))),
)]
async fn list(
    StateOf(state): StateOf<State>,
    caller: Caller,
    headers: HeaderMap,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let query = asked.query()?;
    if wants_lines(&headers) {
        if asked.limit.is_some() || asked.cursor.is_some() || asked.order.is_some() {
            return Err(Problem::invalid("limit, cursor, order: are of pages, and not of an export"));
        }
        let manager = state.manager().clone();
        return export(Parts { manager, actor: caller.actor, organization, query, next: Some(None) }).await;
    }
    let (limit, cursor) = (paging::length(asked.limit)?, paging::begin(asked.cursor)?);
    let order = match asked.order {
        Some(Word(Order::OldestFirst)) => AuditOrder::OldestFirst,
        Some(Word(Order::NewestFirst)) | None => AuditOrder::NewestFirst,
    };
    let page = state.manager().audit(&caller.actor, &organization, &query, order, limit, cursor).await?;
    Ok(JsonAnswer(page).into_response())
}

/// Whether NDJSON is asked for.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    types.any(|range| range.trim().eq_ignore_ascii_case(NDJSON))
}

/// What is read next of an export.
struct Parts {
    manager: ApiKeyManager,
    actor: Actor,
    organization: OrganizationId,
    query: AuditQuery,
    /// `None` once the last part is read.
    next: Option<Option<AuditCursor>>,
}

impl Parts {
    /// The next part, in lines.
    async fn read(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(cursor) = self.next else { return Ok(None) };
        let Self { manager, actor, organization, query, .. } = &self;
        let page = manager.audit(actor, organization, query, AuditOrder::OldestFirst, PART, cursor).await?;
        self.next = page.next_cursor.map(Some);
        let mut text = Vec::new();
        for entry in &page.entries {
            line(&mut text, entry)?;
        }
        Ok(Some(text.into()))
    }
}

async fn export(mut parts: Parts) -> Result<Response, Problem> {
    // Before anything is answered, so that what is refused is a problem.
    let first = parts.read().await?.unwrap_or_default();
    let rest = stream::try_unfold((Some(first), parts), |(first, mut parts)| async move {
        let lines = match first {
            Some(first) => Some(first),
            None => parts.read().await.map_err(|_| std::io::Error::other("the audit cannot be read to its end"))?,
        };
        Ok::<_, std::io::Error>(lines.map(|lines| (lines, (None, parts))))
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(rest)).into_response())
}

/// What a verification is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Noted {
    /// The `head` of an earlier verification: whether it is in the chain still.
    #[param(pattern = "^[0-9]+:[0-9a-f]{64}$")]
    head: Option<String>,
}

/// Verify the audit of an organization
///
/// Says whether every entry is as it was written, and where it is not. What was done in the last moments is sealed first.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/audit/verification", tag = "audit", operation_id = "verifyAudit",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), Noted),
    responses((status = 200, description = "What was found, whether or not something is wrong.", body = AuditVerificationShape)),
)]
async fn verify(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(noted): Query<Noted>,
) -> Result<JsonAnswer<AuditVerification>, Problem> {
    let head = noted.head.map(|text| text.parse::<AuditHead>()).transpose();
    let head = head.map_err(|error| Problem::invalid(format!("head: {error}")))?;
    Ok(JsonAnswer(state.manager().verify_audit(&caller.actor, &organization, head).await?))
}
