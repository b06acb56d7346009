//! `keygate webhooks` and `keygate notices`.

use crate::args::{NoticesCommand, SettingArgs, WebhooksCommand};
use crate::desk::{Desk, NewSecret};
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output::{self, notice_table};

/// Shows and changes where notices are sent.
pub(crate) async fn run_webhooks(command: &WebhooksCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = Desk::open(settings, Absent::Refused).await?;
    match command {
        WebhooksCommand::List(of) => {
            let webhooks = desk.webhooks(&of.org).await?;
            if settings.json {
                return output::json(&webhooks);
            }
            if webhooks.webhooks.is_empty() {
                note("it has no webhook");
                return Ok(());
            }
            output::text(&notice_table::webhooks(&webhooks.webhooks))
        }
        WebhooksCommand::Create { of, url, events } => {
            show_secret(&desk.create_webhook(&of.org, url, events).await?, settings)
        }
        WebhooksCommand::RenewSecret(one) => {
            show_secret(&desk.renew_webhook_secret(&one.of.org, one.id).await?, settings)
        }
        WebhooksCommand::Delete(one) => {
            desk.delete_webhook(&one.of.org, one.id).await?;
            if settings.json {
                return output::json(&serde_json::json!({ "webhook_id": one.id }));
            }
            output::text(&format!("{} is gone", one.id))
        }
        WebhooksCommand::Test(of) => {
            let posted = desk.test_webhooks(&of.org).await?;
            if settings.json {
                return output::json(&posted);
            }
            output::text(&format!("{} is on its way, as soon as a server runs", posted.notice_id))
        }
    }
}

/// Shows notices that were given up, and has them sent again.
pub(crate) async fn run_notices(command: &NoticesCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = Desk::open(settings, Absent::Refused).await?;
    match command {
        NoticesCommand::List { of, limit } => {
            let given_up = desk.given_up(&of.org, usize::from(*limit)).await?;
            if settings.json {
                return output::json(&given_up);
            }
            if given_up.notices.is_empty() {
                note("no notice was given up");
                return Ok(());
            }
            output::text(&notice_table::given_up(&given_up.notices))
        }
        NoticesCommand::Redrive { of, id } => {
            let redriven = desk.redrive(&of.org, *id).await?;
            if settings.json {
                return output::json(&redriven);
            }
            output::text(&format!("{} sent again, as soon as a server runs", redriven.redriven))
        }
    }
}

fn show_secret(made: &NewSecret, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(made);
    }
    output::text(&made.webhook.webhook_id.to_string())?;
    match &made.secret {
        Some(secret) => {
            output::text(secret)?;
            note(
                "this is the secret that its notices are signed with: hand it to whoever receives there, it is not shown again",
            );
        }
        None => note("its secret was in an answer that was lost: keygate webhooks renew-secret makes another"),
    }
    Ok(())
}
