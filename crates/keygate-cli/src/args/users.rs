//! `keygate users`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::manager::UserUpdate;
use keygate::names::{OrganizationId, RoleName, UserId};

use super::values::{organization, role, user};

/// Commands on users.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Show a user
    ///
    /// One that nobody has set up exists with the defaults: it is active, and nothing caps its keys.
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        user: UserArgs,
    },
    /// Say which roles a user has
    ///
    /// Its keys may do what they were given and one of its roles covers, from now on and everywhere. With no role at all they
    /// may do nothing that needs a permission.
    #[command(after_help = UPDATE)]
    Update {
        #[command(flatten)]
        user: UserArgs,
        #[command(flatten)]
        asked: RolesOfUserArgs,
    },
    /// Refuse all keys of a user until it is resumed
    ///
    /// No key of it changes: those that are usable now are usable again once it is resumed.
    #[command(after_help = SUSPEND)]
    Suspend {
        #[command(flatten)]
        user: UserArgs,
    },
    /// Let the keys of a suspended user be used again
    ///
    /// One that was offboarded is active again by this too, but its keys stay revoked.
    #[command(after_help = RESUME)]
    Resume {
        #[command(flatten)]
        user: UserArgs,
    },
    /// Revoke all keys of a user who leaves, for good
    ///
    /// No more are made for it until it is resumed. It asks first on a terminal, unless --yes is given; a script is not asked.
    #[command(after_help = OFFBOARD)]
    Offboard {
        #[command(flatten)]
        user: UserArgs,
        /// Do not ask on a terminal either
        #[arg(long, short)]
        yes: bool,
    },
}

const SHOW: &str = "\
Examples:
  keygate users show bob --org acme
  keygate users show bob --org acme --json";
const UPDATE: &str = "\
Examples:
  keygate users update bob --org acme --role reader --role writer
  keygate users update bob --org acme --no-roles
  keygate users update bob --org acme --uncapped --json";
const SUSPEND: &str = "\
Examples:
  keygate users suspend bob --org acme";
const RESUME: &str = "\
Examples:
  keygate users resume bob --org acme";
const OFFBOARD: &str = "\
Examples:
  keygate users offboard bob --org acme
  keygate users offboard bob --org acme --yes --json";

/// The user a command is about.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// The user's id
    #[arg(value_name = "USER", value_parser = user)]
    pub(crate) id: UserId,
    /// The organization it is of
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
}

/// Which roles a user is to have: one of these is said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RolesOfUserArgs {
    /// A role that it has from now on, beside others that are said (repeatable)
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<RoleName>,
    /// It has no role, and its keys may do nothing that needs a permission
    #[arg(long)]
    no_roles: bool,
    /// Nothing caps its keys
    #[arg(long)]
    uncapped: bool,
}

impl RolesOfUserArgs {
    /// All of it.
    pub(crate) fn update(&self) -> UserUpdate {
        let roles = if self.uncapped { None } else { Some(self.roles.clone()) };
        UserUpdate { roles: Some(roles), ..UserUpdate::default() }
    }
}
