//! `keygate roles`: named sets of permissions of an organization.

use serde_json::json;

use crate::args::{RolesCommand, SettingArgs};
use crate::desk::Desk;
use crate::failure::Failure;
use crate::open::Absent;
use crate::output;
use crate::output::role::{role_lines, role_table};

/// Runs a command on roles.
pub(crate) async fn run(command: &RolesCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = || Desk::open(settings, Absent::Refused);
    match command {
        RolesCommand::List { org } => {
            let roles = desk().await?.roles(org).await?;
            if settings.json {
                return output::json(&json!({ "roles": roles }));
            }
            output::text(&role_table(&roles))
        }
        RolesCommand::Show { role } => {
            let shown = desk().await?.role(&role.org, &role.name).await?;
            if settings.json { output::json(&shown) } else { output::text(&role_lines(&shown)) }
        }
        RolesCommand::Set { role, asked } => {
            let asked = asked.role()?;
            let set = desk().await?.put_role(&role.org, &role.name, &asked).await?;
            if settings.json { output::json(&set) } else { output::text(&role_lines(&set)) }
        }
        RolesCommand::Remove { role } => {
            desk().await?.delete_role(&role.org, &role.name).await?;
            if settings.json {
                return output::json(&json!({ "organization_id": role.org, "role": role.name, "removed": true }));
            }
            output::text(&format!("{} of {} is gone", role.name, role.org))
        }
    }
}
