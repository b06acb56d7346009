//! `keygate webhooks` and `keygate notices`: their commands and their flags.

use clap::{Args, Subcommand};
use keygate::names::OrganizationId;
use keygate::notice::{NoticeId, NoticeKind, WebhookId, WebhookUrl};

use super::values::organization;

const WEBHOOKS: &str = "\
Examples:
  keygate webhooks create --org acme https://example.com/keygate
  keygate webhooks create --org acme https://example.com/keygate --event key.revoked --event key.expiring
  keygate webhooks renew-secret --org acme wh_000102030405060708090a0b0c0d0e0f
  keygate webhooks delete --org acme wh_000102030405060708090a0b0c0d0e0f
  keygate webhooks test --org acme
  keygate webhooks list --org acme --json | jq -r '.webhooks[] | [.webhook_id, .url] | @tsv'";

const NOTICES: &str = "\
Examples:
  keygate notices list --org acme
  keygate notices redrive --org acme";

/// Commands on webhooks.
#[derive(Debug, Subcommand)]
#[command(after_help = WEBHOOKS)]
pub(crate) enum WebhooksCommand {
    /// List where notices of an organization are sent
    ///
    /// The secrets that they are signed with are not shown again.
    #[command(after_help = WEBHOOKS)]
    List(OfOrganization),
    /// Have notices of an organization sent somewhere, and show the secret that they are signed with
    ///
    /// The secret is shown once, and for whoever receives there: any library of the Standard Webhooks verifies with it.
    #[command(after_help = WEBHOOKS)]
    Create {
        #[command(flatten)]
        of: OfOrganization,
        /// Where to: a public https address
        #[arg(value_name = "URL", value_parser = |text: &str| WebhookUrl::new(text).map_err(|error| error.to_string()))]
        url: WebhookUrl,
        /// Of what it is told (repeatable); of everything by default
        #[arg(long = "event", value_name = "KIND")]
        events: Vec<NoticeKind>,
    },
    /// Take a webhook away
    ///
    /// What is on its way to it is sent no more.
    #[command(after_help = WEBHOOKS)]
    Delete(OneWebhook),
    /// Give a webhook another secret, and have notices sent there again where it was disabled
    ///
    /// The secret before signs too for 24 hours.
    #[command(after_help = WEBHOOKS)]
    RenewSecret(OneWebhook),
    /// Send a notice of kind "test" to all webhooks of an organization
    ///
    /// A server that runs brings it.
    #[command(after_help = WEBHOOKS)]
    Test(OfOrganization),
}

/// Commands on notices.
#[derive(Debug, Subcommand)]
#[command(after_help = NOTICES)]
pub(crate) enum NoticesCommand {
    /// List notices that were given up, because somebody did not take them for some three days
    #[command(after_help = NOTICES)]
    List {
        #[command(flatten)]
        of: OfOrganization,
        /// The most notices to list
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Send notices again that were given up
    #[command(after_help = NOTICES)]
    Redrive {
        #[command(flatten)]
        of: OfOrganization,
        /// This notice alone; all that were given up by default
        #[arg(value_name = "NOTICE_ID")]
        id: Option<NoticeId>,
    },
}

/// The organization that is meant.
#[derive(Debug, Args)]
pub(crate) struct OfOrganization {
    /// The organization
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
}

/// The webhook that is meant.
#[derive(Debug, Args)]
pub(crate) struct OneWebhook {
    #[command(flatten)]
    pub(crate) of: OfOrganization,
    /// The webhook's id
    #[arg(value_name = "WEBHOOK_ID")]
    pub(crate) id: WebhookId,
}
