//! `keygate keys`: its commands and the flags of all but the largest.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keygate::key::KeyId;
use keygate::manager::Cursor;
use keygate::names::{OrganizationId, Reason};

use super::bulk::BulkArgs;
use super::create::CreateArgs;
use super::filter::FilterArgs;
use super::rotation::RotateArgs;
use super::sensitive::SensitiveArgs;
use super::update::UpdateArgs;
use super::values::{KeyIdParser, cursor, organization};
use super::verify::VerifyArgs;

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, or one for each of many users
    ///
    /// An organization, user or project that nobody has set up exists with the defaults. The key is shown once: what
    /// is kept of it can check it, and cannot bring it back.
    Create(Box<CreateArgs>),
    /// List the keys of an organization, newest first
    ///
    /// Keys that are made or deleted meanwhile neither repeat others nor hide them.
    List(ListArgs),
    /// Show a key, and what is left of its limits
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        key: KeyArg,
    },
    /// Change a key
    ///
    /// What is not said stays as it is; fields that are kept encrypted take the place of all there are. Whose it is, where it
    /// may be used and what its holder may hand on never changes; when it is rotated is said with keygate rotation.
    Update(Box<UpdateArgs>),
    /// Open the fields of a key that are kept encrypted
    ///
    /// Where one of them cannot be opened none is shown: --field opens one that can be.
    Sensitive(SensitiveArgs),
    /// Stop a key until it is activated again
    #[command(after_help = DEACTIVATE)]
    Deactivate(StatusArgs),
    /// Let a deactivated key be used again
    #[command(after_help = ACTIVATE)]
    Activate {
        #[command(flatten)]
        key: KeyArg,
    },
    /// Stop a key for good
    ///
    /// A revoked key is never usable again. It asks first on a terminal, unless --yes is given; a script is not asked.
    Revoke(FinalArgs),
    /// Make a key's successor, and let the two overlap
    ///
    /// The new key is in all else what the old one is; they share their limits. Each key is rotated once: it is the new one
    /// that is rotated next. Without an overlap, which is for a key that leaked, it asks first on a terminal, unless --yes is
    /// given; a script is not asked.
    Rotate(RotateArgs),
    /// Do the same to many keys of an organization, named or by a filter
    ///
    /// A key that is refused stops none of the others, and is told on standard error with the reason. What was done already
    /// is done again or refused, so a command that was cut off is run again, or goes on with the --cursor that it told. It
    /// asks first on a terminal where keys are revoked, replaced at once or chosen by a filter, unless --yes is given; a script
    /// is not asked. The exit status is 1 if any key failed.
    Bulk(Box<BulkArgs>),
    /// Take in keys that were made elsewhere, which keep their text
    ///
    /// The file is NDJSON: on each line an object with the text of a key (raw), or its digest and algorithm, with its user_id
    /// and whatever else keys create says. A line that is refused stops none of the others, and is told on standard error;
    /// one whose key is there already is left alone. So an import that was cut off is run again. The exit status is 1 if
    /// any line was refused.
    ///
    /// An imported key ends in 90 days, like any new key, unless its line says when: "expires_in_days" or "expires_at", of
    /// which "expires_at":null is never.
    Import(ImportArgs),
    /// Write every key of an organization without its secrets, one JSON object a line
    #[command(after_help = EXPORT)]
    Export(ExportArgs),
    /// Check whether a key may be used
    ///
    /// It runs every check that a request's key goes through, says what is left of its limits, and takes nothing of them
    /// unless --cost says how much. The exit status is 0 for a valid key and 1 for any other, with the reason.
    Verify(VerifyArgs),
    /// Print a regular expression that finds keys, for secret scanners
    ///
    /// What it finds has the form of a key, and need not be one. No store is opened.
    #[command(after_help = PATTERN)]
    Pattern,
    /// Erase a revoked or expired key
    ///
    /// Nothing of it is left. It asks first on a terminal, unless --yes is given; a script is not asked.
    Delete(DeleteArgs),
}

const SHOW: &str = "\
Examples:
  keygate keys show 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate keys show 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --json";
const DEACTIVATE: &str = "\
Examples:
  keygate keys deactivate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate keys deactivate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --reason odd";
const ACTIVATE: &str = "\
Examples:
  keygate keys activate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
const REVOKE: &str = "\
Examples:
  keygate keys revoke 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --reason leaked
  keygate keys revoke 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --yes --json";
const PATTERN: &str = "\
Examples:
  git log -p | grep -P \"$(keygate keys pattern)\"";
const IMPORT: &str = "\
Examples:
  keygate keys import --org acme keys.ndjson --dry-run
  keygate keys import --org acme keys.ndjson
  export KEYGATE_IMPORT_PATTERNS='legacy=sk_live_[A-Za-z0-9]{24}'
  echo '{\"raw\":\"sk_live_0123456789abcdefghijklmn\",\"user_id\":\"bob\",\"expires_at\":null}' | keygate keys import --org acme -";
const EXPORT: &str = "\
Examples:
  keygate keys export --org acme
  keygate keys export --org acme --output acme.ndjson";
const DELETE: &str = "\
Examples:
  keygate keys delete 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --yes";
const LIST: &str = "\
Examples:
  keygate keys list --org acme
  keygate keys list --org acme --status active --expiring-within 7d
  keygate keys list --org acme --user bob --tag team=reports
  keygate keys list --org acme --unused-for 90d
  keygate keys list --org acme --all --json | jq -r '.keys[].key_id'";

/// The key a command is about.
#[derive(Debug, Args)]
pub(crate) struct KeyArg {
    /// The key's id: not the key itself, which is secret
    #[arg(value_name = "KEY_ID", value_parser = KeyIdParser)]
    pub(crate) id: KeyId,
}

/// `keygate keys deactivate`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Why, to be kept with the key
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<Reason>,
}

/// `keygate keys revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE)]
pub(crate) struct FinalArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Why, to be kept with the key
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<Reason>,
    /// Do not ask on a terminal either
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Do not wait until every instance has heard of it, which takes about half a second
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `keygate keys delete`.
#[derive(Debug, Args)]
#[command(after_help = DELETE)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Do not ask on a terminal either
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `keygate keys import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT)]
pub(crate) struct ImportArgs {
    /// The organization they are for
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Check everything, and write nothing; quotas are counted for a thousand lines at a time
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `keygate keys export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The organization whose keys are written
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
    /// Write to this new file, readable by you alone; - is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `keygate keys list`.
#[derive(Debug, Args)]
#[command(after_help = LIST)]
pub(crate) struct ListArgs {
    /// The organization whose keys are listed
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The most keys to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) limit: u64,
    /// Where an earlier list ended: its next_cursor
    #[arg(long, value_parser = cursor)]
    pub(crate) cursor: Option<Cursor>,
    /// List every key
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}
