//! `keygate organizations`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::limits::MAX_LIMIT;
use keygate::manager::OrganizationUpdate;
use keygate::names::OrganizationId;

use super::limits::OrganizationLimitArgs;
use super::rules::RuleArgs;
use super::values::organization;
use crate::failure::Failure;

/// Commands on organizations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationsCommand {
    /// Set up an organization, with how many keys it may have, and how much may be asked of them
    ///
    /// An organization that nobody has set up exists with the defaults, so this is for those that are to have quotas or
    /// limits of their own. One that has been set up or suspended before is refused, and left as it is.
    #[command(after_help = CREATE)]
    Create {
        #[command(flatten)]
        organization: OrganizationArg,
        #[command(flatten)]
        asked: CreateOrganizationArgs,
    },
    /// Change how many keys an organization may have, how much may be asked of them, and what they have to be
    ///
    /// What is not named stays as it is. Limits are those of the next request, and what was used in the present windows
    /// counts; keys beyond a quota that is lowered stay.
    #[command(after_help = UPDATE)]
    Update {
        #[command(flatten)]
        organization: OrganizationArg,
        #[command(flatten)]
        asked: UpdateOrganizationArgs,
    },
    /// Show an organization
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        organization: OrganizationArg,
    },
    /// Refuse all keys of an organization until it is resumed
    ///
    /// No key of it changes: those that are usable now are usable again once it is resumed.
    #[command(after_help = SUSPEND)]
    Suspend {
        #[command(flatten)]
        organization: OrganizationArg,
    },
    /// Let the keys of a suspended organization be used again
    #[command(after_help = RESUME)]
    Resume {
        #[command(flatten)]
        organization: OrganizationArg,
    },
}

const CREATE: &str = "\
Examples:
  keygate organizations create acme --max-keys 1000
  keygate organizations create acme --max-keys-per-user 3 --json
  keygate organizations create acme --limit minute=10000 --limit month=5000000 --burst 500
  keygate organizations create acme --user-limit day=100000 --key-limit minute=100";
const UPDATE: &str = "\
Examples:
  keygate organizations update acme --limit minute=20000 --burst 1000
  keygate organizations update acme --user-limit none --key-limit default
  keygate organizations update acme --max-keys default --json
  keygate organizations update acme --policy '{\"longest_life_days\":365,\"forbid_wildcards\":true}'
  keygate organizations update acme --defaults '{\"expires_in_days\":30}' --policy none";
const SHOW: &str = "\
Examples:
  keygate organizations show acme
  keygate organizations show acme --json";
const SUSPEND: &str = "\
Examples:
  keygate organizations suspend acme";
const RESUME: &str = "\
Examples:
  keygate organizations resume acme";

/// The organization a command is about.
#[derive(Debug, Args)]
pub(crate) struct OrganizationArg {
    /// The organization's id
    #[arg(value_name = "ORG", value_parser = organization)]
    pub(crate) id: OrganizationId,
}

/// What an organization is set up with.
#[derive(Debug, Args)]
pub(crate) struct CreateOrganizationArgs {
    /// How many keys it may have, expired and revoked ones aside [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MAX_LIMIT))]
    max_keys: Option<u64>,
    /// How many keys each of its users may have, expired and revoked ones aside [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MAX_LIMIT))]
    max_keys_per_user: Option<u64>,
    #[command(flatten)]
    limits: OrganizationLimitArgs,
    #[command(flatten)]
    rules: RuleArgs,
}

impl CreateOrganizationArgs {
    /// All of it.
    pub(crate) fn settings(&self) -> Result<OrganizationUpdate, Failure> {
        let mut settings = OrganizationUpdate::default();
        settings.max_keys = Some(self.max_keys);
        settings.max_keys_per_user = Some(self.max_keys_per_user);
        self.limits.put_into(&mut settings)?;
        settings.policy = self.rules.policy();
        settings.defaults = self.rules.defaults();
        Ok(settings)
    }
}

/// What is to change of an organization.
#[derive(Debug, Args)]
pub(crate) struct UpdateOrganizationArgs {
    /// How many keys it may have, expired and revoked ones aside, or default
    #[arg(long, value_name = "N", value_parser = quota)]
    max_keys: Option<QuotaArg>,
    /// How many keys each of its users may have, expired and revoked ones aside, or default
    #[arg(long, value_name = "N", value_parser = quota)]
    max_keys_per_user: Option<QuotaArg>,
    #[command(flatten)]
    limits: OrganizationLimitArgs,
    #[command(flatten)]
    rules: RuleArgs,
}

impl UpdateOrganizationArgs {
    /// All of it, which is something.
    pub(crate) fn update(&self) -> Result<OrganizationUpdate, Failure> {
        let mut update = OrganizationUpdate::default();
        update.max_keys = self.max_keys.map(|QuotaArg(quota)| quota);
        update.max_keys_per_user = self.max_keys_per_user.map(|QuotaArg(quota)| quota);
        self.limits.put_into(&mut update)?;
        update.policy = self.rules.policy();
        update.defaults = self.rules.defaults();
        if update == OrganizationUpdate::default() {
            return Err(Failure::usage("nothing is to change: name it, with --limit or --max-keys, for example"));
        }
        Ok(update)
    }
}

/// How many keys there may be; `None` is the default.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuotaArg(pub(crate) Option<u64>);

/// Reads a number of keys, or `default`.
pub(crate) fn quota(text: &str) -> Result<QuotaArg, String> {
    if text == "default" {
        return Ok(QuotaArg(None));
    }
    let quota = text.parse().ok().filter(|quota| *quota <= MAX_LIMIT);
    quota
        .map(|quota| QuotaArg(Some(quota)))
        .ok_or_else(|| format!("must be a whole number from 0 to {MAX_LIMIT}, or default"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use keygate::record::Quota;

    use crate::args::Cli;

    #[test]
    fn the_help_names_the_defaults_there_are() {
        let mut cli = Cli::command();
        let create = cli.find_subcommand_mut("organizations").and_then(|all| all.find_subcommand_mut("create"));
        let help = create.map(|create| create.render_help().to_string()).unwrap_or_default();
        let words: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let Quota { per_organization, per_user } = Quota::default();
        for default in [per_organization, per_user] {
            assert!(words.contains(&format!("[default: {default}]")), "{help}");
        }
    }
}
