//! `keygate organizations`: what stands above keys.

use keygate::manager::{KeyFilter, OrganizationUpdate};
use keygate::names::OrganizationId;
use keygate::record::{OrganizationRecord, ParentStatus};

use crate::args::{OrganizationsCommand, SettingArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::organization::{OrganizationDocument, organization_lines};

/// Runs a command on organizations.
pub(crate) async fn run(command: &OrganizationsCommand, settings: &SettingArgs) -> Result<(), Failure> {
    match command {
        OrganizationsCommand::Create { organization, asked } => {
            let asked = asked.settings()?;
            let desk = Desk::open(settings, Absent::Made).await?;
            show(&create(&desk, &organization.id, &asked).await?, settings)
        }
        OrganizationsCommand::Show { organization } => {
            let desk = existing(settings).await?;
            show(&desk.organization(&organization.id).await?, settings)
        }
        OrganizationsCommand::Update { organization, asked } => {
            let asked = asked.update()?;
            let desk = existing(settings).await?;
            show(&change(&desk, &organization.id, &asked).await?, settings)
        }
        OrganizationsCommand::Suspend { organization } => {
            let desk = existing(settings).await?;
            let suspended = change(&desk, &organization.id, &to(ParentStatus::Suspended)).await?;
            tell(&suspended, settings, "suspended: its keys are refused")
        }
        OrganizationsCommand::Resume { organization } => {
            let desk = existing(settings).await?;
            let resumed = desk.update_organization(&organization.id, &to(ParentStatus::Active)).await?;
            tell(&resumed, settings, "active")
        }
    }
}

/// Opens what has to be there.
async fn existing(settings: &SettingArgs) -> Result<Desk, Failure> {
    Desk::open(settings, Absent::Refused).await
}

async fn create(desk: &Desk, id: &OrganizationId, asked: &OrganizationUpdate) -> Result<OrganizationRecord, Failure> {
    match desk.create_organization(id, asked).await {
        Err(error) if error.is("already_exists") => Err(Failure::refused(format!(
            "the organization {id} exists already: keygate organizations show {id} shows it, and update changes it"
        ))),
        outcome => Ok(outcome?),
    }
}

/// Changes an organization. A mistyped id must not look like one that is stopped or limited now; what was changed stands,
/// whatever comes of looking.
async fn change(desk: &Desk, id: &OrganizationId, asked: &OrganizationUpdate) -> Result<OrganizationRecord, Failure> {
    let record = desk.update_organization(id, asked).await?;
    let keys = desk.list(id, &KeyFilter::default(), 1, None).await;
    if keys.is_ok_and(|page| page.keys.is_empty() && page.next_cursor.is_none()) {
        note(format!("{id} has no keys"));
    }
    Ok(record)
}

fn to(status: ParentStatus) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.status = Some(status);
    update
}

fn tell(record: &OrganizationRecord, settings: &SettingArgs, what: &str) -> Result<(), Failure> {
    if settings.json {
        return output::json(&OrganizationDocument::of(record));
    }
    output::text(&format!("{} is {what}", record.id))
}

fn show(record: &OrganizationRecord, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(&OrganizationDocument::of(record));
    }
    output::text(&organization_lines(record))
}
