//! `keygate ring`: which secrets keys still need.

use comfy_table::Cell;
use keygate::ring::EntryId;
use serde_json::json;

use crate::args::{RingCommand, SettingArgs};
use crate::failure::Failure;
use crate::open::{Absent, open, read_settings};
use crate::output::{self, table};

/// Runs a command on the secret ring.
pub(crate) async fn run(command: &RingCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let RingCommand::Show = command;
    let desk = open(&read_settings(settings)?, Absent::Refused).await?;
    let usage = desk.manager.ring_usage(&desk.operator).await.map_err(Failure::refused)?;
    let sealed = desk.manager.audit_ring_usage(&desk.operator).await.map_err(Failure::refused)?;
    let seals = |entry: &EntryId| sealed.get(entry).copied().unwrap_or(0);
    if settings.json {
        let entries = usage
            .iter()
            .map(|(entry, keys)| json!({ "entry": entry, "usable_keys": keys, "audit_seals": seals(entry) }));
        let entries: Vec<_> = entries.collect();
        return output::json(&json!({ "entries": entries }));
    }
    let mut lines = table::with_header(&["RING ENTRY", "USABLE KEYS", "AUDIT SEALS"], table::Stream::Out);
    for (entry, keys) in &usage {
        lines.add_row([Cell::new(entry), Cell::new(keys), Cell::new(seals(entry))]);
    }
    output::text(&table::render(&lines))
}
