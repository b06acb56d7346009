//! All keys of an organization, without their secrets.

use axum::body::{Body, Bytes};
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header;
use keygate_core::actor::{Actor, ManagementPermission};
use keygate_core::manager::{ApiKeyManager, Cursor, KeyFilter, MAX_PAGE};
use keygate_core::names::OrganizationId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::State;
use crate::body::Path;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::guarded;
use crate::routes::ndjson::{NDJSON, line};
use crate::schema::{KeyShape, OrganizationIdShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(guarded(routes!(export), ManagementPermission::KeysRead))
}

/// What is read next.
struct Pages {
    manager: ApiKeyManager,
    actor: Actor,
    organization: OrganizationId,
    /// `None` once the last page is read.
    next: Option<Option<Cursor>>,
}

impl Pages {
    /// The next page, in lines.
    async fn read(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(cursor) = self.next else { return Ok(None) };
        let Self { manager, actor, organization, .. } = &self;
        let page = manager.list(actor, organization, &KeyFilter::default(), MAX_PAGE, cursor).await?;
        self.next = page.next_cursor.map(Some);
        let mut text = Vec::new();
        for key in &page.keys {
            line(&mut text, key)?;
        }
        for key_id in &page.unreadable_key_ids {
            line(&mut text, &serde_json::json!({ "key_id": key_id, "unreadable": true }))?;
        }
        Ok(Some(text.into()))
    }
}

/// Export the keys of an organization
///
/// Everything but secrets: one key on each line, in the form it is shown in, newest first, whatever its status. The answer
/// is written as the keys are read; one that ends before its time was cut off. A key whose record cannot be read, because it is
/// damaged or a newer version has written it, is a line of its `key_id` and `unreadable`.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/keys:export", tag = "keys", operation_id = "exportKeys",
    params(("org" = OrganizationIdShape, Path, description = "The organization.")),
    responses((status = 200, description = "All its keys.", body = KeyShape, content_type = "application/x-ndjson")),
)]
async fn export(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let mut pages = Pages { manager: state.manager().clone(), actor: caller.actor, organization, next: Some(None) };
    // Before anything is answered, so that what is refused is a problem.
    let first = pages.read().await?.unwrap_or_default();
    let rest = stream::try_unfold((Some(first), pages), |(first, mut pages)| async move {
        let lines = match first {
            Some(first) => Some(first),
            None => pages.read().await.map_err(|_| std::io::Error::other("the keys cannot be read to their end"))?,
        };
        Ok::<_, std::io::Error>(lines.map(|lines| (lines, (None, pages))))
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(rest)).into_response())
}
