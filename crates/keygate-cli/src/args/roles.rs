//! `keygate roles`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::manager::NewRole;
use keygate::names::{Description, OrganizationId, RoleName};
use keygate::scope::{Scope, ScopeSet};

use super::values::{organization, role};
use crate::failure::Failure;

/// Commands on roles.
#[derive(Debug, Subcommand)]
pub(crate) enum RolesCommand {
    /// List the roles of an organization
    #[command(after_help = LIST)]
    List {
        /// The organization
        #[arg(long, value_name = "ID", value_parser = organization)]
        org: OrganizationId,
    },
    /// Show a role
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        role: RoleArgs,
    },
    /// Make a role, or put another in its place
    ///
    /// Keys of users who have it may do what they were given and this covers, from now on and everywhere.
    #[command(after_help = SET)]
    Set {
        #[command(flatten)]
        role: RoleArgs,
        #[command(flatten)]
        asked: NewRoleArgs,
    },
    /// Take a role away
    ///
    /// Whoever has it can do nothing by it any more.
    #[command(after_help = REMOVE)]
    Remove {
        #[command(flatten)]
        role: RoleArgs,
    },
}

const LIST: &str = "\
Examples:
  keygate roles list --org acme
  keygate roles list --org acme --json";
const SHOW: &str = "\
Examples:
  keygate roles show reader --org acme
  keygate roles show reader --org acme --json";
const SET: &str = "\
Examples:
  keygate roles set reader --org acme --permission 'reports:*:read'
  keygate roles set guest --org acme --no-permissions --description 'may look at nothing yet'";
const REMOVE: &str = "\
Examples:
  keygate roles remove reader --org acme";

/// The role a command is about.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// The role's name
    #[arg(value_name = "ROLE", value_parser = role)]
    pub(crate) name: RoleName,
    /// The organization it is of
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
}

/// What a role is to be, all of it.
#[derive(Debug, Args)]
pub(crate) struct NewRoleArgs {
    /// What it covers (repeatable); * stands for one segment, a last ** for one or more
    #[arg(long = "permission", value_name = "PERMISSION", required_unless_present = "no_permissions")]
    permissions: Vec<Scope>,
    /// It covers nothing
    #[arg(long, conflicts_with = "permissions")]
    no_permissions: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: Description,
}

impl NewRoleArgs {
    /// All of it.
    pub(crate) fn role(&self) -> Result<NewRole, Failure> {
        let permissions = ScopeSet::new(self.permissions.iter().cloned());
        let permissions = permissions.map_err(|error| Failure::usage(format!("--permission: {error}")))?;
        Ok(NewRole { description: self.description.clone(), permissions })
    }
}
