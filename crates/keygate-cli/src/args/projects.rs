//! `keygate projects`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::manager::ProjectUpdate;
use keygate::names::{OrganizationId, ProjectId};

use super::limits::ProjectLimitArgs;
use super::organizations::{QuotaArg, quota};
use super::rules::RuleArgs;
use super::values::{organization, project};
use crate::failure::Failure;

/// Commands on projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// Show a project
    ///
    /// One that nobody has set up exists with the defaults: it is active, and without limits.
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// Change how many keys a project may have, how much may be asked of them together, and what they have to be
    ///
    /// What is not named stays as it is. Limits are those of the next request, and what was used in the present windows
    /// counts; keys beyond a quota that is lowered stay.
    #[command(after_help = UPDATE)]
    Update {
        #[command(flatten)]
        project: ProjectArgs,
        #[command(flatten)]
        asked: Box<UpdateProjectArgs>,
    },
    /// Refuse all keys of a project until it is resumed
    ///
    /// No key of it changes: those that are usable now are usable again once it is resumed.
    #[command(after_help = SUSPEND)]
    Suspend {
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// Let the keys of a suspended project be used again
    #[command(after_help = RESUME)]
    Resume {
        #[command(flatten)]
        project: ProjectArgs,
    },
}

const SHOW: &str = "\
Examples:
  keygate projects show web --org acme
  keygate projects show web --org acme --json";
const UPDATE: &str = "\
Examples:
  keygate projects update web --org acme --limit minute=1000 --burst 50
  keygate projects update web --org acme --limit none --json
  keygate projects update web --org acme --max-keys 20
  keygate projects update web --org acme --policy '{\"allowed_environments\":[\"prod\"]}' --key-limit minute=100";
const SUSPEND: &str = "\
Examples:
  keygate projects suspend web --org acme";
const RESUME: &str = "\
Examples:
  keygate projects resume web --org acme";

/// The project a command is about.
#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    /// The project's id
    #[arg(value_name = "PROJECT", value_parser = project)]
    pub(crate) id: ProjectId,
    /// The organization it is of
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
}

/// What is to change of a project.
#[derive(Debug, Args)]
pub(crate) struct UpdateProjectArgs {
    /// How many keys it may have, expired and revoked ones aside, or default, which is as many as its organization has room for
    #[arg(long, value_name = "N", value_parser = quota)]
    max_keys: Option<QuotaArg>,
    #[command(flatten)]
    limits: ProjectLimitArgs,
    #[command(flatten)]
    rules: RuleArgs,
}

impl UpdateProjectArgs {
    /// All of it, which is something.
    pub(crate) fn update(&self) -> Result<ProjectUpdate, Failure> {
        let mut update = ProjectUpdate::default();
        update.max_keys = self.max_keys.map(|QuotaArg(quota)| quota);
        update.limits = self.limits.change()?;
        update.key_limits = self.limits.key_change()?;
        update.policy = self.rules.policy();
        update.defaults = self.rules.defaults();
        if update == ProjectUpdate::default() {
            return Err(Failure::usage("nothing is to change: say what, with --limit or --policy, for example"));
        }
        Ok(update)
    }
}
