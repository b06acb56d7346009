//! Webhooks and notices, on either desk. Their shapes are the management API's.

use keygate::manager::{CreatedWebhook, GivenUp, WebhookShown};
use keygate::names::OrganizationId;
use keygate::notice::{NoticeId, NoticeKind, WebhookId, WebhookUrl};
use serde::{Deserialize, Serialize};

use super::{Desk, NotDone};

/// Webhooks of an organization.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Webhooks {
    pub(crate) webhooks: Vec<WebhookShown>,
}

/// A webhook with a new secret, unless an answer with it was lost.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewSecret {
    pub(crate) secret: Option<String>,
    #[serde(flatten)]
    pub(crate) webhook: WebhookShown,
}

impl From<CreatedWebhook> for NewSecret {
    fn from(created: CreatedWebhook) -> Self {
        let CreatedWebhook { secret, webhook, .. } = created;
        Self { secret: Some(secret.expose().to_string()), webhook }
    }
}

/// Notices that were given up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GivenUpNotices {
    pub(crate) notices: Vec<GivenUp>,
}

/// A notice that is on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PostedNotice {
    pub(crate) notice_id: NoticeId,
}

/// How many notices are sent again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Redriven {
    pub(crate) redriven: u64,
}

impl Desk {
    /// Lists the webhooks of an organization.
    pub(crate) async fn webhooks(&self, organization: &OrganizationId) -> Result<Webhooks, NotDone> {
        match self {
            Self::Store(desk) => desk.webhooks(organization).await,
            Self::Server(desk) => desk.webhooks(organization).await,
        }
    }

    /// Makes a webhook.
    pub(crate) async fn create_webhook(
        &self,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
    ) -> Result<NewSecret, NotDone> {
        match self {
            Self::Store(desk) => desk.create_webhook(organization, url, events).await,
            Self::Server(desk) => desk.create_webhook(organization, url, events).await,
        }
    }

    /// Takes a webhook away.
    pub(crate) async fn delete_webhook(&self, organization: &OrganizationId, id: WebhookId) -> Result<(), NotDone> {
        match self {
            Self::Store(desk) => desk.delete_webhook(organization, id).await,
            Self::Server(desk) => desk.delete_webhook(organization, id).await,
        }
    }

    /// Gives a webhook another secret.
    pub(crate) async fn renew_webhook_secret(
        &self,
        organization: &OrganizationId,
        id: WebhookId,
    ) -> Result<NewSecret, NotDone> {
        match self {
            Self::Store(desk) => desk.renew_webhook_secret(organization, id).await,
            Self::Server(desk) => desk.renew_webhook_secret(organization, id).await,
        }
    }

    /// Sends a test to all webhooks of an organization.
    pub(crate) async fn test_webhooks(&self, organization: &OrganizationId) -> Result<PostedNotice, NotDone> {
        match self {
            Self::Store(desk) => desk.test_webhooks(organization).await,
            Self::Server(desk) => desk.test_webhooks(organization).await,
        }
    }

    /// Lists notices that were given up.
    pub(crate) async fn given_up(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<GivenUpNotices, NotDone> {
        match self {
            Self::Store(desk) => desk.given_up(organization, limit).await,
            Self::Server(desk) => desk.given_up(organization, limit).await,
        }
    }

    /// Has notices sent again.
    pub(crate) async fn redrive(
        &self,
        organization: &OrganizationId,
        id: Option<NoticeId>,
    ) -> Result<Redriven, NotDone> {
        match self {
            Self::Store(desk) => desk.redrive(organization, id).await,
            Self::Server(desk) => desk.redrive(organization, id).await,
        }
    }
}
