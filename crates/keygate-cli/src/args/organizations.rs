//! `keygate organizations`: its commands and their flags.

use clap::{Args, Subcommand};
use keygate::limits::MAX_LIMIT;
use keygate::names::OrganizationId;

use super::values::organization;

/// Commands on organizations.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationsCommand {
    /// Set up an organization, with how many keys it may have
    ///
    /// An organization that nobody has set up exists with the defaults, so this is for those that are to have quotas of
    /// their own. One that has been set up or suspended before is refused, and left as it is.
    #[command(after_help = CREATE)]
    Create {
        #[command(flatten)]
        organization: OrganizationArg,
        #[command(flatten)]
        quotas: QuotaArgs,
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
  keygate organizations create acme --max-keys-per-user 3 --json";
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

/// How many keys there may be. Expired and revoked keys do not count.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// How many keys it may have, expired and revoked ones aside [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MAX_LIMIT))]
    pub(crate) max_keys: Option<u64>,
    /// How many keys each of its users may have, expired and revoked ones aside [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MAX_LIMIT))]
    pub(crate) max_keys_per_user: Option<u64>,
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
