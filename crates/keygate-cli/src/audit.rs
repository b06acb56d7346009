//! `keygate audit`.

use keygate::audit::{AuditVerification, FaultKind, MAX_FAULTS};
use keygate::manager::{AuditOrder, MAX_PAGE};
use keygate::names::OrganizationId;

use crate::args::{AuditArgs, AuditCommand, SettingArgs, WhichArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::keys::Destination;
use crate::open::Absent;
use crate::output::{self, audit_table};

/// Shows, verifies and exports the audit of an organization.
pub(crate) async fn run(args: &AuditArgs, settings: &SettingArgs) -> Result<(), Failure> {
    match &args.command {
        Some(AuditCommand::Verify { org, head }) => verify(org, *head, settings).await,
        Some(AuditCommand::Export { org, which, output }) => export(org, which, output.as_deref(), settings).await,
        None => list(args, settings).await,
    }
}

async fn list(args: &AuditArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let AuditArgs { org, which, limit, cursor, .. } = args;
    let org = org.as_ref().ok_or_else(|| Failure::usage("name an organization with --org"))?;
    let desk = Desk::open(settings, Absent::Refused).await?;
    let page = desk.audit(org, &which.query(), AuditOrder::NewestFirst, usize::from(*limit), *cursor).await?;
    if settings.json {
        return output::json(&page);
    }
    if page.entries.is_empty() {
        note("nothing is written down");
    } else {
        output::text(&audit_table::render(&page.entries))?;
    }
    if let Some(cursor) = page.next_cursor {
        note(format!("there may be more: --cursor {cursor} goes on from here"));
    }
    Ok(())
}

async fn verify(
    org: &OrganizationId,
    head: Option<keygate::audit::AuditHead>,
    settings: &SettingArgs,
) -> Result<(), Failure> {
    let desk = Desk::open(settings, Absent::Refused).await?;
    let found = desk.verify_audit(org, head).await?;
    let told = if settings.json { output::json(&found) } else { output::text(&audit_table::verification(&found)) };
    Failure::or_verdict(told, verdict(org, &found))
}

fn verdict(org: &OrganizationId, found: &AuditVerification) -> Result<(), Failure> {
    if found.intact {
        return Ok(());
    }
    let faults = found.faults_in_all;
    if found.faults.iter().all(|fault| fault.kind == FaultKind::RingEntryMissing) && faults <= MAX_FAULTS as u64 {
        return Err(Failure::refused(format!(
            "it cannot be said whether the audit of {org} is as it was written: it needs ring entries that are not configured \
             here; nothing else was found"
        )));
    }
    Err(Failure::refused(format!("the audit of {org} is not as it was written: {faults} faults were found")))
}

/// Writes entries as they are read: a million do not have to fit into memory.
async fn export(
    org: &OrganizationId,
    which: &WhichArgs,
    file: Option<&std::path::Path>,
    settings: &SettingArgs,
) -> Result<(), Failure> {
    let desk = Desk::open(settings, Absent::Refused).await?;
    let query = which.query();
    let mut page = desk.audit(org, &query, AuditOrder::OldestFirst, MAX_PAGE, None).await?;
    let mut destination = Destination::open(file, settings)?;
    let mut written = 0;
    loop {
        let lines = page.entries.iter().map(output::to_json).collect::<Result<Vec<_>, _>>()?;
        destination.write_lines(lines.iter().map(String::as_str)).map_err(|error| destination.unwritten(&error))?;
        written += lines.len();
        let Some(cursor) = page.next_cursor else { break };
        page = desk.audit(org, &query, AuditOrder::OldestFirst, MAX_PAGE, Some(cursor)).await?;
    }
    destination.finish().map_err(|error| destination.unwritten(&error))?;
    if let Some(file) = destination.name() {
        note(format!("{written} entries of the audit of {org} are in {file}"));
    }
    Ok(())
}
