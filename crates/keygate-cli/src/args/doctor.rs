//! `keygate doctor`: its flags.

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  keygate doctor
  keygate doctor --deep
  keygate --store redis://127.0.0.1:6379 doctor --json

Run it with the variables the services are run with. Exit status: 0 if nothing
is a failure, 1 if something is; a warning, or what cannot be looked at, is none.";

/// `keygate doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Also read every record of the store: which secrets keys still need, and whether a file of any size is whole
    #[arg(long)]
    pub(crate) deep: bool,
}
