//! `keygate organizations`: what stands above keys.

use comfy_table::{Cell, Color, ColumnConstraint};
use keygate::manager::{KeyFilter, OrganizationUpdate};
use keygate::names::OrganizationId;
use keygate::record::{OrganizationRecord, ParentStatus, Quota};

use crate::args::{OrganizationsCommand, QuotaArgs, SettingArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::table::{Stream, bare, render};

/// Runs a command on organizations.
pub(crate) async fn run(command: &OrganizationsCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let absent = match command {
        OrganizationsCommand::Create { .. } => Absent::Made,
        _ => Absent::Refused,
    };
    let desk = Desk::open(settings, absent).await?;
    match command {
        OrganizationsCommand::Create { organization, quotas } => {
            show(&create(&desk, &organization.id, quotas).await?, settings)
        }
        OrganizationsCommand::Show { organization } => show(&desk.organization(&organization.id).await?, settings),
        OrganizationsCommand::Suspend { organization } => suspend(&desk, &organization.id, settings).await,
        OrganizationsCommand::Resume { organization } => resume(&desk, &organization.id, settings).await,
    }
}

async fn create(desk: &Desk, id: &OrganizationId, quotas: &QuotaArgs) -> Result<OrganizationRecord, Failure> {
    match desk.create_organization(id, &quotas_of(quotas)).await {
        Err(error) if error.is("already_exists") => Err(Failure::refused(format!(
            "the organization {id} exists already: keygate organizations show {id} shows it"
        ))),
        outcome => Ok(outcome?),
    }
}

fn quotas_of(quotas: &QuotaArgs) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.max_keys = Some(quotas.max_keys);
    update.max_keys_per_user = Some(quotas.max_keys_per_user);
    update
}

async fn suspend(desk: &Desk, id: &OrganizationId, settings: &SettingArgs) -> Result<(), Failure> {
    let record = set_status(desk, id, ParentStatus::Suspended).await?;
    // A mistyped id must not look like a stopped organization. The suspension stands, whatever comes of this.
    let keys = desk.list(id, &KeyFilter::default(), 1, None).await;
    if keys.is_ok_and(|page| page.keys.is_empty() && page.next_cursor.is_none()) {
        note(format!("{id} has no keys"));
    }
    tell(&record, settings, "suspended: its keys are refused")
}

async fn resume(desk: &Desk, id: &OrganizationId, settings: &SettingArgs) -> Result<(), Failure> {
    let record = set_status(desk, id, ParentStatus::Active).await?;
    tell(&record, settings, "active")
}

async fn set_status(desk: &Desk, id: &OrganizationId, status: ParentStatus) -> Result<OrganizationRecord, Failure> {
    let mut update = OrganizationUpdate::default();
    update.status = Some(status);
    Ok(desk.update_organization(id, &update).await?)
}

fn tell(record: &OrganizationRecord, settings: &SettingArgs, what: &str) -> Result<(), Failure> {
    if settings.json { output::json(record) } else { output::text(&format!("{} is {what}", record.id)) }
}

fn show(record: &OrganizationRecord, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(record);
    }
    let default = Quota::default();
    let quota = |own: Option<u64>, default: u64| match own {
        Some(own) => Cell::new(own),
        None => Cell::new(format!("{default}, the default")),
    };
    let status = match record.status {
        ParentStatus::Active => Cell::new("active").fg(Color::Green),
        ParentStatus::Suspended => Cell::new("suspended").fg(Color::Red),
    };
    let mut table = bare(Stream::Out);
    table.add_row([Cell::new("organization"), Cell::new(&record.id)]);
    table.add_row([Cell::new("status"), status]);
    table.add_row([Cell::new("most keys"), quota(record.max_keys, default.per_organization)]);
    table.add_row([Cell::new("most keys of a user"), quota(record.max_keys_per_user, default.per_user)]);
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    output::text(&render(&table))
}
