//! `keygate users`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::manager::UserUpdate;
use keygate::names::{OrganizationId, RoleName, UserId};

use super::limits::UserLimitArgs;
use super::organizations::{QuotaArg, quota};
use super::rules::RuleArgs;
use super::values::{organization, role, user};
use crate::failure::Failure;

/// Commands on users.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Show a user
    ///
    /// One that nobody has set up exists with the defaults: it is active, nothing caps its keys, and what its organization says
    /// of each user is true of it.
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        user: UserArgs,
    },
    /// Say which roles a user has, how many keys and how much may be asked of them, and what they have to be
    ///
    /// What is not named stays as it is. Its keys may do what they were given and one of its roles covers, from now on and
    /// everywhere. With no role at all they may do nothing that needs a permission. Limits are those of the next request, and
    /// what was used in the present windows counts; keys beyond a quota that is lowered stay.
    #[command(after_help = UPDATE)]
    Update {
        #[command(flatten)]
        user: UserArgs,
        #[command(flatten)]
        asked: Box<UpdateUserArgs>,
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
  keygate users update bob --org acme --uncapped --json
  keygate users update bob --org acme --limit minute=1000 --burst 50 --max-keys 25
  keygate users update bob --org acme --limit default --max-keys default
  keygate users update bob --org acme --policy '{\"longest_life_days\":30}' --defaults '{\"security_tier\":\"high\"}'";
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

/// What is to change of a user.
#[derive(Debug, Args)]
pub(crate) struct UpdateUserArgs {
    #[command(flatten)]
    roles: RolesOfUserArgs,
    /// How many keys it may have, expired and revoked ones aside, or default, which is what its organization says of each user
    #[arg(long, value_name = "N", value_parser = quota)]
    max_keys: Option<QuotaArg>,
    #[command(flatten)]
    limits: UserLimitArgs,
    #[command(flatten)]
    rules: RuleArgs,
}

/// Which roles a user is to have: at most one of these is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct RolesOfUserArgs {
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

impl UpdateUserArgs {
    /// All of it, which is something.
    pub(crate) fn update(&self) -> Result<UserUpdate, Failure> {
        let update = UserUpdate {
            roles: self.roles.change(),
            max_keys: self.max_keys.map(|QuotaArg(quota)| quota),
            limits: self.limits.change()?,
            policy: self.rules.policy(),
            defaults: self.rules.defaults(),
            ..UserUpdate::default()
        };
        if update == UserUpdate::default() {
            return Err(Failure::usage("nothing is to change: say what, with --role or --limit, for example"));
        }
        Ok(update)
    }
}

impl RolesOfUserArgs {
    fn change(&self) -> Option<Option<Vec<RoleName>>> {
        match (self.uncapped, self.no_roles, self.roles.as_slice()) {
            (true, ..) => Some(None),
            (false, false, []) => None,
            _ => Some(Some(self.roles.clone())),
        }
    }
}
