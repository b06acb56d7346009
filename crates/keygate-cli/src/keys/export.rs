//! `keygate keys export`: every key, without its secrets, one a line.

use keygate::manager::{KeyFilter, MAX_PAGE};

use super::destination::Destination;
use super::existing;
use crate::args::{ExportArgs, SettingArgs};
use crate::failure::{Failure, note};
use crate::output;

/// Writes the keys as they are read: a million do not have to fit into memory.
pub(crate) async fn run(args: &ExportArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    let filter = KeyFilter::default();
    let mut page = desk.list(&args.org, &filter, MAX_PAGE, None).await?;
    let mut destination = Destination::open(args.output.as_deref(), settings)?;
    let (mut written, mut unreadable) = (0, 0);
    loop {
        let mut lines = page.keys.iter().map(output::to_json).collect::<Result<Vec<_>, _>>()?;
        for key_id in &page.unreadable_key_ids {
            lines.push(output::to_json(&serde_json::json!({ "key_id": key_id, "unreadable": true }))?);
            unreadable += 1;
        }
        destination.write_lines(lines.iter().map(String::as_str)).map_err(|error| destination.unwritten(&error))?;
        written += lines.len();
        let Some(cursor) = page.next_cursor else { break };
        page = desk.list(&args.org, &filter, MAX_PAGE, Some(cursor)).await?;
    }
    destination.finish().map_err(|error| destination.unwritten(&error))?;
    if let Some(file) = destination.name() {
        note(format!("{written} keys of {} are in {file}, without their secrets", args.org));
    }
    match unreadable {
        0 => Ok(()),
        _ => Err(Failure::refused(format!(
            "of {unreadable} of them nothing can be read: their records are damaged, or a newer version has written them"
        ))),
    }
}
