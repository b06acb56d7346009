//! `keygate projects`: the parts of an organization that keys may be of.

use keygate::manager::{KeyFilter, ProjectUpdate};
use keygate::record::{ParentStatus, ProjectRecord};

use crate::args::{ProjectArgs, ProjectsCommand, SettingArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::project::{ProjectDocument, project_lines};

/// Runs a command on projects.
pub(crate) async fn run(command: &ProjectsCommand, settings: &SettingArgs) -> Result<(), Failure> {
    match command {
        ProjectsCommand::Show { project } => {
            let desk = existing(settings).await?;
            show(&desk.project(&project.org, &project.id).await?, settings)
        }
        ProjectsCommand::Update { project, asked } => {
            let asked = asked.update()?;
            let desk = existing(settings).await?;
            show(&change(&desk, project, &asked).await?, settings)
        }
        ProjectsCommand::Suspend { project } => {
            let desk = existing(settings).await?;
            let suspended = change(&desk, project, &to(ParentStatus::Suspended)).await?;
            tell(&suspended, settings, "suspended: its keys are refused")
        }
        ProjectsCommand::Resume { project } => {
            let desk = existing(settings).await?;
            let resumed = desk.update_project(&project.org, &project.id, &to(ParentStatus::Active)).await?;
            tell(&resumed, settings, "active")
        }
    }
}

/// Opens what has to be there.
async fn existing(settings: &SettingArgs) -> Result<Desk, Failure> {
    Desk::open(settings, Absent::Refused).await
}

/// Changes a project. A mistyped id must not look like one that is stopped or limited now; what was changed stands,
/// whatever comes of looking.
async fn change(desk: &Desk, project: &ProjectArgs, asked: &ProjectUpdate) -> Result<ProjectRecord, Failure> {
    let ProjectArgs { id, org } = project;
    let record = desk.update_project(org, id, asked).await?;
    let mut filter = KeyFilter::default();
    filter.project = Some(id.clone());
    let keys = desk.list(org, &filter, 1, None).await;
    if keys.is_ok_and(|page| page.keys.is_empty() && page.next_cursor.is_none()) {
        note(format!("{id} of {org} has no keys"));
    }
    Ok(record)
}

fn to(status: ParentStatus) -> ProjectUpdate {
    let mut update = ProjectUpdate::default();
    update.status = Some(status);
    update
}

fn tell(record: &ProjectRecord, settings: &SettingArgs, what: &str) -> Result<(), Failure> {
    if settings.json {
        return output::json(&ProjectDocument::of(record));
    }
    output::text(&format!("{} of {} is {what}", record.id, record.organization))
}

fn show(record: &ProjectRecord, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(&ProjectDocument::of(record));
    }
    output::text(&project_lines(record))
}
