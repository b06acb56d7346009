//! `keygate keys verify`: its flags.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use keygate::scope::Scope;

const EXAMPLES: &str = "\
Examples:
  keygate keys verify                 asks for the key without showing it
  keygate keys verify < bob.key
  keygate keys verify --scope reports:read --json < bob.key
  keygate keys verify --key-file bob.key --client-ip 192.0.2.7
  keygate keys verify --explain < bob.key        says what came of every check
  keygate keys verify --cost 10 < bob.key        takes 10 of what its limits have left

A text that has not the form of a key is refused here and sent to no server.
The form of an imported key is one that --import-patterns, or
KEYGATE_IMPORT_PATTERNS, declares here too, as on the server.

A key given as an argument can be seen by other users of this machine in the
list of processes, and stays in the shell's history. Standard input, the prompt
and --key-file do not show it.";

/// The most that one request may cost, as through a server.
const MAX_COST: i64 = 1_000_000;

/// `keygate keys verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The key itself, or - for standard input; visible to other users, see below
    #[arg(value_name = "KEY", conflicts_with = "key_file")]
    pub(crate) key: Option<OsString>,
    /// A file that holds the key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// What the key is to be used on
    #[arg(long)]
    pub(crate) scope: Option<Scope>,
    /// What its holder wants to do
    #[arg(long)]
    pub(crate) permission: Option<Scope>,
    /// The address it is used from; a key that may be used from some networks only is refused without it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client_ip: Option<IpAddr>,
    /// How much to take of its limits, as a request of this cost does. 0 takes nothing, and no limit refuses it
    /// [default: 0; with --explain, which takes nothing, what a request is taken to cost: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_COST))]
    cost: Option<u32>,
    /// Run every check to its end, and say what was compared and what would mend it
    #[arg(long)]
    pub(crate) explain: bool,
}

impl VerifyArgs {
    /// How much is taken of the key's limits.
    pub(crate) fn cost(&self) -> u32 {
        self.cost.unwrap_or(u32::from(self.explain))
    }
}
