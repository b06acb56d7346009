//! `keygate anomalies`.

use keygate::manager::FindingPage;

use crate::args::{AnomaliesArgs, SettingArgs};
use crate::desk::{Desk, Whose};
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output::{self, finding_table};

/// Shows what was unusual in the use of keys.
pub(crate) async fn run(args: &AnomaliesArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let AnomaliesArgs { id, org, limit, cursor } = args;
    let whose = id.map(Whose::Key).or_else(|| org.clone().map(Whose::Organization));
    let whose = whose.ok_or_else(|| Failure::usage("name a KEY_ID, or an organization with --org"))?;
    let desk = Desk::open(settings, Absent::Refused).await?;
    let page = desk.findings(&whose, usize::from(*limit), *cursor).await?;
    if settings.json {
        return output::json(&page);
    }
    let FindingPage { findings, next_cursor, .. } = page;
    if findings.is_empty() {
        note("nothing unusual was found");
    } else {
        output::text(&finding_table::render(&findings, &whose))?;
    }
    if let Some(cursor) = next_cursor {
        note(format!("there may be more: --cursor {cursor} goes on from here"));
    }
    Ok(())
}
