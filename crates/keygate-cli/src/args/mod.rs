//! The command line: its commands, their flags, and what their help says.

mod anomalies;
mod audit;
mod bulk;
mod create;
mod doctor;
mod filter;
mod keys;
mod limits;
mod notices;
mod organizations;
mod projects;
mod roles;
mod rotation;
mod rules;
mod sensitive;
mod serve;
mod settings;
mod update;
mod usage;
mod users;
mod values;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use anomalies::AnomaliesArgs;
pub(crate) use audit::{AuditArgs, AuditCommand, WhichArgs};
pub(crate) use bulk::{BulkArgs, Chosen, OperationArg};
pub(crate) use create::CreateArgs;
pub(crate) use doctor::DoctorArgs;
pub(crate) use keys::{DeleteArgs, ExportArgs, FinalArgs, ImportArgs, KeysCommand, ListArgs, StatusArgs};
pub(crate) use notices::{NoticesCommand, WebhooksCommand};
pub(crate) use organizations::OrganizationsCommand;
pub(crate) use projects::{ProjectArgs, ProjectsCommand};
pub(crate) use roles::RolesCommand;
pub(crate) use rotation::{RotateArgs, RotationCommand, ScheduleArgs};
pub(crate) use sensitive::SensitiveArgs;
pub(crate) use serve::ServeArgs;
pub(crate) use settings::SettingArgs;
pub(crate) use update::UpdateArgs;
pub(crate) use usage::UsageArgs;
pub(crate) use users::{UserArgs, UsersCommand};
pub(crate) use values::whole_days;
pub(crate) use verify::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  keygate keys create --org acme --user bob --scope reports:read
  keygate keys list --org acme
  keygate keys revoke 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --reason leaked
  keygate usage 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --last 24h
  keygate anomalies --org acme
  keygate audit --org acme
  keygate organizations suspend acme
  keygate serve --listen 127.0.0.1:8080
  keygate --store redis://127.0.0.1:6379 keys list --org acme --json
  keygate --server https://keys.example.org keys list --org acme

Secrets are never flags, which other users of the machine can see, but
variables of the environment:
  KEYGATE_SECRET          the master secret: base64 of 32 bytes (openssl rand -base64 32)
  KEYGATE_SECRET_FILE     a file that holds it
  KEYGATE_PASSPHRASE      a passphrase of at least 15 characters in its place
  KEYGATE_RETIRED_SECRETS earlier secrets, separated by commas
A store in a file makes its own secret, in a file beside it, if none is set.
Through a server no store and no secret is needed, but a key:
  KEYGATE_ADMIN_KEY       the key of an operator or of an organization's administrator
  KEYGATE_ADMIN_KEY_FILE  a file that holds it

Exit status: 0 done, 1 refused or failed (standard error says why), 2 usage.";

/// API keys: make them, show them, stop them, check them
///
/// It works on the store the keys are kept in, as the operator of the deployment; or through a running server, as whoever
/// the admin key is of.
#[derive(Debug, Parser)]
#[command(name = "keygate", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

impl Cli {
    /// The command line, as it is read and as the help tells it.
    pub(crate) fn shown() -> clap::Command {
        let command = Self::command();
        let shown = SettingArgs::shown_to_serve(&command);
        command.mut_subcommand("serve", |serve| serve.args(shown))
    }

    /// Reads the command line of this process.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = Self::shown().try_get_matches()?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::shown()))
    }
}

/// What the command works on.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the management API over HTTP, until it is told to end (SIGTERM, Ctrl-C)
    ///
    /// The first start on a store makes the operator's key, and shows it on a terminal or writes it to a file. Once it
    /// listens, standard output has one line, which says where. As long as it runs, keys are rotated whose schedules say so,
    /// and notices are sent.
    Serve(ServeArgs),
    /// Make, show, stop, rotate, check and delete keys
    #[command(subcommand, arg_required_else_help = true)]
    Keys(KeysCommand),
    /// Say when keys are to be rotated, and show how far that has come
    ///
    /// A rotation makes a key's successor: a new key that is in all else the same. Both are good through an overlap, at whose
    /// end the old one ends by itself.
    #[command(subcommand, arg_required_else_help = true)]
    Rotation(RotationCommand),
    /// Show what a key, or an organization's keys, were used for
    ///
    /// Every request counts that was decided over with a key, let in or not: how many there were, what became of them, for
    /// which routes and from where. All times are in UTC. It is behind by a second or so.
    Usage(UsageArgs),
    /// Show what was unusual in the use of a key, or of an organization's keys
    ///
    /// Far more requests or errors than usual, networks, places and scopes that a key was never used with, and keys that wake
    /// after long. Newest first; all times are in UTC. Such a finding is no proof: see what the key's owner has done.
    Anomalies(AnomaliesArgs),
    /// Show who did what in an organization, and whether what is written of it is as it was written
    ///
    /// Newest first; all times are in UTC. What is about to be done is written down before it is, and what became of it
    /// after; the table shows the latter. The audit of the organization system is the operator's.
    Audit(AuditArgs),
    /// Say where notices of an organization are sent: that keys were made, rotated or revoked, end soon, and more
    #[command(subcommand, arg_required_else_help = true)]
    Webhooks(WebhooksCommand),
    /// Show notices that nobody took, and send them again
    #[command(subcommand, arg_required_else_help = true)]
    Notices(NoticesCommand),
    /// Set up, show, change, suspend and resume organizations
    #[command(subcommand, arg_required_else_help = true)]
    Organizations(OrganizationsCommand),
    /// Show, change, suspend and resume projects of an organization
    #[command(subcommand, arg_required_else_help = true)]
    Projects(ProjectsCommand),
    /// Show, change, suspend, resume and offboard users of an organization
    #[command(subcommand, arg_required_else_help = true)]
    Users(UsersCommand),
    /// Show, set and remove roles of an organization, which cap what the keys of their users may do
    #[command(subcommand, arg_required_else_help = true)]
    Roles(RolesCommand),
    /// The secrets that keys are made and checked under
    #[command(subcommand, arg_required_else_help = true)]
    Ring(RingCommand),
    /// Look the deployment over, and say what to do
    ///
    /// The store, how it is kept and who would take over; whether changes are told; whether the secrets fit; the clocks,
    /// the settings and the instances. Nothing is set up or changed; something is written for a moment that is no key.
    Doctor(DoctorArgs),
    /// Print what a shell needs to complete this command
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const COMPLETIONS: &str = "\
Examples:
  keygate completions bash > ~/.local/share/bash-completion/completions/keygate
  keygate completions zsh > \"${fpath[1]}/_keygate\"
  keygate completions fish > ~/.config/fish/completions/keygate.fish";

/// Commands on the secret ring.
#[derive(Debug, Subcommand)]
pub(crate) enum RingCommand {
    /// Show how many usable keys still need each secret
    ///
    /// A secret has no name but that of its ring entry, eight digits derived from it. One that no usable key needs, and no
    /// seal of the audit, may be taken out of KEYGATE_RETIRED_SECRETS. Every record of the store is read.
    #[command(after_help = "Examples:\n  keygate ring show\n  keygate ring show --json")]
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::shown().debug_assert();
    }
}
