//! Webhooks, and notices that were given up.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// What a notice is of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NoticeKind)]
pub(crate) enum NoticeKindShape {
    /// A key was made.
    #[serde(rename = "key.created")]
    KeyCreated,
    /// A key is to be rotated soon.
    #[serde(rename = "key.rotation_due")]
    KeyRotationDue,
    /// A key has a successor.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// A key ends soon.
    #[serde(rename = "key.expiring")]
    KeyExpiring,
    /// A key has ended.
    #[serde(rename = "key.expired")]
    KeyExpired,
    /// A key was not used for long.
    #[serde(rename = "key.unused")]
    KeyUnused,
    /// A key was stopped until it is activated again.
    #[serde(rename = "key.deactivated")]
    KeyDeactivated,
    /// A key was stopped for good.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// A limit of a key, or of what it belongs to, is used up.
    #[serde(rename = "key.limit_reached")]
    KeyLimitReached,
    /// The use of a key is unlike what it was.
    #[serde(rename = "key.anomaly")]
    KeyAnomaly,
    /// The keys of an organization are refused.
    #[serde(rename = "organization.suspended")]
    OrganizationSuspended,
    /// The keys of a project are refused.
    #[serde(rename = "project.suspended")]
    ProjectSuspended,
    /// Somebody wants to see whether notices arrive.
    #[serde(rename = "test")]
    Test,
}

/// Where notices of an organization are sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookShape {
    /// Its id.
    #[schema(pattern = "^wh_[0-9a-f]{32}$", example = "wh_5f0c8a52b7d94e6f8a3b1c2d3e4f5a6b")]
    webhook_id: String,
    /// Where it is.
    #[schema(format = "uri", example = "https://example.com/keygate")]
    url: String,
    /// Of what it is told; of everything where this is empty.
    events: Vec<NoticeKindShape>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Who made it.
    created_by: String,
    /// Since when, and why, nothing is sent there any more; null where it is.
    #[schema(required)]
    disabled: Option<DisabledShape>,
}

/// That nothing is sent to a webhook any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisabledWebhook)]
pub(crate) struct DisabledShape {
    /// Since when.
    at: DateTime<Utc>,
    /// Why.
    reason: String,
}

/// A webhook with a new secret: the only time the secret is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedWebhook)]
pub(crate) struct CreatedWebhookShape {
    /// What notices are signed with, for whoever receives there. Null in the answer to a request that was answered before.
    #[schema(required, pattern = "^whsec_[A-Za-z0-9+/]+=*$", example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: Option<String>,
    #[serde(flatten)]
    webhook: WebhookShape,
}

/// The webhooks of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookList)]
pub(crate) struct WebhookListShape {
    /// The oldest first.
    webhooks: Vec<WebhookShape>,
}

/// Who has not taken a notice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = NoticeReceiver)]
pub(crate) enum ReceiverShape {
    /// A notifier of the program, by its name.
    Notifier(String),
    /// A webhook, by its id.
    Webhook(String),
}

/// That somebody has not taken a notice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NoticeNotTaken)]
pub(crate) struct FailedShape {
    /// Who it is.
    receiver: ReceiverShape,
    /// How often it was tried.
    attempts: u32,
    /// Why it was not taken the last time.
    reason: String,
}

/// A notice that was given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GivenUpNotice)]
pub(crate) struct GivenUpShape {
    /// The notice's id, which is sent as `webhook-id`.
    #[schema(pattern = "^msg_[0-9a-f]{32}$", example = "msg_5f0c8a52b7d94e6f8a3b1c2d3e4f5a6b")]
    notice_id: String,
    /// When it was given up.
    given_up_at: DateTime<Utc>,
    /// Who has not taken it.
    failed: Vec<FailedShape>,
    /// What is sent.
    notice: NoticeShape,
}

/// A notice as it is sent to webhooks, by the Standard Webhooks specification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notice)]
pub(crate) struct NoticeShape {
    /// What it is of.
    r#type: NoticeKindShape,
    /// When what it tells of was found.
    timestamp: DateTime<Utc>,
    /// What it tells: `organization_id`; of a key `key_id`, `user_id`, `project_id`, `name`, `environment` and
    /// `expires_at`; and what is of its kind.
    data: std::collections::BTreeMap<String, serde_json::Value>,
}

/// Notices that were given up, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GivenUpNotices)]
pub(crate) struct GivenUpPageShape {
    /// The newest first.
    notices: Vec<GivenUpShape>,
}
