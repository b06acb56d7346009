//! Webhooks, and notices that were given up, a row for each.

use comfy_table::Cell;
use keygate::manager::{GivenUp, WebhookShown};
use keygate::notice::Receiver;

use super::table::{Stream, render, with_header};
use super::words::{list, safe};

/// Webhooks.
pub(crate) fn webhooks(webhooks: &[WebhookShown]) -> String {
    let mut table = with_header(&["WEBHOOK ID", "URL", "EVENTS", "STATE"], Stream::Out);
    for webhook in webhooks {
        let state = webhook.disabled.as_ref().map_or_else(
            || "active".to_owned(),
            |disabled| format!("disabled {}: {}", disabled.at.format("%Y-%m-%d %H:%M"), safe(&disabled.reason)),
        );
        let row =
            [webhook.webhook_id.to_string(), webhook.url.as_str().to_owned(), list(&webhook.events, "all"), state];
        table.add_row(row.map(Cell::new));
    }
    render(&table)
}

/// Notices that were given up.
pub(crate) fn given_up(notices: &[GivenUp]) -> String {
    let mut table = with_header(&["GIVEN UP (UTC)", "NOTICE ID", "KIND", "BY"], Stream::Out);
    for notice in notices {
        let by = notice.failed.iter().map(|failed| {
            let who = match &failed.receiver {
                Receiver::Notifier(name) => name.clone(),
                Receiver::Webhook(id) => id.to_string(),
            };
            format!("{} ({} times: {})", safe(&who), failed.attempts, safe(&failed.reason))
        });
        let row = [
            notice.given_up_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            notice.notice_id.to_string(),
            notice.notice["type"].as_str().unwrap_or_default().to_owned(),
            by.collect::<Vec<_>>().join("\n"),
        ];
        table.add_row(row.map(|text| Cell::new(safe(&text))));
    }
    render(&table)
}
