//! Where notices of an organization are sent.

use axum::Json as JsonAnswer;
use axum::extract::State as StateOf;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::{CreatedWebhook, WebhookOnce, WebhookShown};
use keygate_core::names::OrganizationId;
use keygate_core::notice::{NoticeId, NoticeKind, WebhookId, WebhookUrl};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guarded;
use crate::admin::State;
use crate::body::{Json, Path};
use crate::caller::Caller;
use crate::fields::Word;
use crate::idempotency::{Idempotency, IdempotencyHeader, replayed};
use crate::problem::Problem;
use crate::schema::{CreatedWebhookShape, NoticeKindShape, OrganizationIdShape, WebhookListShape};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(guarded(routes!(list, create, delete_all), ManagementPermission::OrganizationSettings))
        .routes(guarded(routes!(delete), ManagementPermission::OrganizationSettings))
        .routes(guarded(routes!(renew_secret), ManagementPermission::OrganizationSettings))
        .routes(guarded(routes!(test), ManagementPermission::OrganizationSettings))
}

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    /// Where notices are to be sent: a public `https` address.
    #[schema(format = "uri", max_length = 2048, example = "https://example.com/keygate")]
    url: String,
    /// Of what it is to be told; of everything by default.
    #[serde(default)]
    #[schema(value_type = Option<Vec<NoticeKindShape>>)]
    events: Option<Vec<Word<NoticeKind>>>,
}

/// Webhooks.
#[derive(Debug, Serialize)]
struct WebhookList {
    webhooks: Vec<WebhookShown>,
}

/// A webhook whose secret was shown before.
#[derive(Debug, Serialize)]
struct WithoutSecret {
    secret: Option<()>,
    #[serde(flatten)]
    webhook: WebhookShown,
}

/// A notice that was put in the outbox.
#[derive(Debug, Serialize, ToSchema)]
struct PostedNotice {
    /// Its id, which is sent as `webhook-id`.
    #[schema(value_type = String, pattern = "^msg_[0-9a-f]{32}$")]
    notice_id: NoticeId,
}

/// List the webhooks of an organization
///
/// The oldest first. No secret is shown.
#[utoipa::path(
    get, path = "/v1/organizations/{org}/webhooks", tag = "notices", operation_id = "listWebhooks",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    responses((status = 200, description = "Its webhooks.", body = WebhookListShape)),
)]
async fn list(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let webhooks = state.manager().webhooks(&caller.actor, &organization).await?;
    Ok(JsonAnswer(WebhookList { webhooks }).into_response())
}

/// Have notices sent somewhere
///
/// What happens to the organization's keys is sent there from now on, as the [Standard
/// Webhooks](https://www.standardwebhooks.com) have it: a POST of JSON, signed with the secret in this answer, which is not
/// shown again. Whoever receives answers with 2xx within 15 seconds; other answers are tried again for some three days, with
/// the same `webhook-id`. An answer of 410 disables the webhook. Redirects are not followed, and nothing is sent to addresses
/// that are not public. An organization has at most 10. With `Idempotency-Key` a request may be sent again when its answer
/// was lost.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/webhooks", tag = "notices", operation_id = "createWebhook",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id."), IdempotencyHeader),
    request_body(content = NewWebhook),
    responses(
        (status = 201, description = "It is made.", body = CreatedWebhookShape, headers(
            ("Idempotent-Replayed" = String, description = "`true` where an earlier request had made it."),
        )),
        (status = 409, description = "This server sends no webhooks (`no_webhooks`), or others change them (`revision_conflict`)."),
        (status = 422, description = "A field is unknown, missing, or holds what it must not, or there are too many \
            (`invalid_field`); or the `Idempotency-Key` was used for another request (`idempotency_key_reused`)."),
    ),
)]
async fn create(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Idempotency(idempotency): Idempotency,
    Json(new): Json<NewWebhook>,
) -> Result<Response, Problem> {
    let url = WebhookUrl::new(new.url)?;
    let events: Vec<NoticeKind> = new.events.into_iter().flatten().map(|Word(kind)| kind).collect();
    let (manager, actor) = (state.manager(), &caller.actor);
    let made = match &idempotency {
        None => WebhookOnce::Now(manager.create_webhook(actor, &organization, &url, &events).await?),
        Some(key) => manager.create_webhook_once(actor, &organization, &url, &events, key).await?,
    };
    Ok(match made {
        WebhookOnce::Now(created) => (StatusCode::CREATED, JsonAnswer(created)).into_response(),
        WebhookOnce::Before(webhook) => {
            replayed((StatusCode::CREATED, JsonAnswer(WithoutSecret { secret: None, webhook })))
        }
    })
}

/// Take all webhooks of an organization away
#[utoipa::path(
    delete, path = "/v1/organizations/{org}/webhooks", tag = "notices", operation_id = "deleteWebhooks",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    responses((status = 204, description = "It has none.")),
)]
async fn delete_all(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<StatusCode, Problem> {
    state.manager().delete_webhooks(&caller.actor, &organization).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a webhook away
///
/// What is on its way to it is sent no more.
#[utoipa::path(
    delete, path = "/v1/organizations/{org}/webhooks/{webhook_id}", tag = "notices", operation_id = "deleteWebhook",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization's id."),
        ("webhook_id" = String, Path, description = "The webhook's id."),
    ),
    responses((status = 204, description = "It is gone."), (status = 404, description = "There is no such webhook.")),
)]
async fn delete(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, id)): Path<(OrganizationId, WebhookId)>,
) -> Result<StatusCode, Problem> {
    state.manager().delete_webhook(&caller.actor, &organization, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a webhook another secret
///
/// The secret before signs too for 24 hours, so that whoever receives can change over. A webhook that was disabled is sent
/// notices again.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/webhooks/{webhook_id}/secret", tag = "notices",
    operation_id = "renewWebhookSecret",
    params(
        ("org" = OrganizationIdShape, Path, description = "The organization's id."),
        ("webhook_id" = String, Path, description = "The webhook's id."),
    ),
    responses(
        (status = 200, description = "It has another.", body = CreatedWebhookShape),
        (status = 404, description = "There is no such webhook."),
    ),
)]
async fn renew_secret(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path((organization, id)): Path<(OrganizationId, WebhookId)>,
) -> Result<JsonAnswer<CreatedWebhook>, Problem> {
    Ok(JsonAnswer(state.manager().renew_webhook_secret(&caller.actor, &organization, id).await?))
}

/// Send a notice of kind `test` to all webhooks of an organization
///
/// However often that is asked for in a minute, it is sent once.
#[utoipa::path(
    post, path = "/v1/organizations/{org}/webhooks:test", tag = "notices", operation_id = "testWebhooks",
    params(("org" = OrganizationIdShape, Path, description = "The organization's id.")),
    responses(
        (status = 202, description = "It is on its way.", body = PostedNotice),
        (status = 404, description = "It has no webhook."),
        (status = 409, description = "Too many notices wait to be sent to them (`too_many_notices`)."),
    ),
)]
async fn test(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
) -> Result<Response, Problem> {
    let notice_id = state.manager().test_webhooks(&caller.actor, &organization).await?;
    Ok((StatusCode::ACCEPTED, JsonAnswer(PostedNotice { notice_id })).into_response())
}
