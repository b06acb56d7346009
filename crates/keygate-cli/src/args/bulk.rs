//! `keygate keys bulk`: its flags, and what they ask for.

use std::path::PathBuf;

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use keygate::key::KeyId;
use keygate::limits::Fallback;
use keygate::manager::{Cursor, KeyFilter};
use keygate::names::{OrganizationId, Reason};
use keygate::scope::{Scope, ScopeSet};

use super::SettingArgs;
use super::filter::FilterArgs;
use super::limits::{LimitArg, Said, burst, fallbacks, limit};
use super::values::{KeyIdParser, cursor, organization, overlap, scopes, whole_days};
use crate::desk::Operation;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  keygate keys bulk deactivate --org acme 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f \\
      01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e60 --reason odd
  keygate keys bulk revoke --org acme --user bob --reason left --dry-run
  keygate keys bulk revoke --org acme --from leaked.txt --reason leaked --yes
  keygate keys bulk rotate --org acme --expiring-within 7d --overlap 14d --output keys.txt
  keygate keys bulk update-scopes --org acme --tag team=reports --scope reports:read
  keygate keys bulk update-limits --org acme --all --limit minute=60 --burst 5
  keygate keys list --org acme --unused-for 90d --all --json | jq -r '.keys[].key_id' |
      keygate keys bulk deactivate --org acme --from -";

/// What is done to each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OperationArg {
    /// Stop it until it is activated again
    Deactivate,
    /// Let it be used again
    Activate,
    /// Stop it for good
    Revoke,
    /// Make its successor
    Rotate,
    /// Change what its holder may do
    UpdatePermissions,
    /// Change what it may be used on
    UpdateScopes,
    /// Change how much may be asked of it
    UpdateLimits,
}

/// `keygate keys bulk`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BulkArgs {
    /// What is done to each key
    #[arg(value_enum)]
    pub(crate) operation: OperationArg,
    /// The keys' ids; one that is named twice is done once
    #[arg(value_name = "KEY_ID", value_parser = KeyIdParser)]
    ids: Vec<KeyId>,
    /// The organization whose keys they are
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
    /// Read the keys' ids from this file, one a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    from: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every key of the organization
    #[arg(long)]
    all: bool,
    /// Where a command that was cut off goes on: the cursor that it told
    #[arg(long, value_parser = cursor)]
    cursor: Option<Cursor>,
    /// Why, to be kept with each key; of deactivate, activate and revoke
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
    /// Of rotate: for how long each key is good beside its successor, in whole days; 0d revokes it at once [default: what
    /// its schedule says, or else 7d]
    #[arg(long, value_name = "TIME", value_parser = overlap)]
    overlap: Option<u32>,
    /// Of update-permissions: what the holders may do, all of it; repeatable
    #[arg(long)]
    permission: Vec<Scope>,
    /// Of update-permissions: let the holders do nothing that asks for a permission
    #[arg(long, conflicts_with = "permission")]
    no_permissions: bool,
    /// Of update-scopes: what the keys may be used on, all of it; repeatable
    #[arg(long)]
    scope: Vec<Scope>,
    /// Of update-scopes: let the keys be used on nothing that asks for a scope
    #[arg(long, conflicts_with = "scope")]
    no_scopes: bool,
    /// Of update-limits: minute=N, hour=N, day=N or month=N; repeatable. These take the place of all that a key has: a
    /// window that is not named is without limit. none is no limit at all
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    /// Of update-limits: how many requests may come at once before the rate of the minute spaces them out; needs --limit
    /// minute=N
    #[arg(long, value_name = "N", value_parser = burst())]
    burst: Option<u64>,
    /// Of update-limits: what becomes of requests while the store is not reached; needs --limit [default: deny]
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    fallback: Option<Fallback>,
    /// Of rotate, which needs it unless --json shows the new keys: write them to this new file, one a line, readable by you
    /// alone; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Check everything and say to which keys it would be done, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask on a terminal either
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// To which keys it is done.
#[derive(Debug)]
pub(crate) enum Chosen<'a> {
    /// These.
    Named(&'a [KeyId]),
    /// Those of a file.
    From(&'a PathBuf),
    /// Those that a filter admits, from there on.
    Matching(KeyFilter, Option<Cursor>),
}

impl BulkArgs {
    /// To which keys it is to be done.
    pub(crate) fn chosen(&self, settings: &SettingArgs) -> Result<Chosen<'_>, Failure> {
        let filter = self.filter.filter(settings)?;
        let is_filtered = filter != KeyFilter::default();
        if !self.ids.is_empty() || self.from.is_some() {
            let ids = if self.from.is_some() { "--from" } else { "KEY_ID" };
            let other = match () {
                () if is_filtered => "a filter, such as --user or --environment,",
                () if self.all => "--all",
                () if self.cursor.is_some() => "--cursor",
                () => return Ok(self.from.as_ref().map_or(Chosen::Named(&self.ids), Chosen::From)),
            };
            return Err(Failure::usage(format!(
                "{other} goes without {ids}: either keys are named, or they are chosen"
            )));
        }
        if !is_filtered && !self.all {
            return Err(Failure::usage(
                "no key is named: name keys by KEY_ID or --from, choose them with a filter such as --user or --status, or \
                 say --all",
            ));
        }
        // Which of all are old enough is no choice among them.
        let mut chosen = filter.clone();
        chosen.made_before = None;
        if chosen != KeyFilter::default() && self.all {
            return Err(Failure::usage("--all is every key of the organization: it goes without a filter"));
        }
        if let Some(within) = filter.expiring_within
            && TimeDelta::days(whole_days(within)) != within
        {
            return Err(Failure::usage("--expiring-within must be a time of whole days here, such as 7d"));
        }
        Ok(Chosen::Matching(filter, self.cursor))
    }

    /// What is to be done. A flag that is another operation's is refused.
    pub(crate) fn operation(&self, settings: &SettingArgs) -> Result<Operation, Failure> {
        use OperationArg::{Activate, Deactivate, Revoke, Rotate, UpdateLimits, UpdatePermissions, UpdateScopes};
        let stops: &[OperationArg] = &[Deactivate, Activate, Revoke];
        for (flag, is_said, its_operations) in [
            ("reason", self.reason.is_some(), stops),
            ("overlap", self.overlap.is_some(), &[Rotate]),
            ("output", self.output.is_some(), &[Rotate]),
            ("permission", !self.permission.is_empty(), &[UpdatePermissions]),
            ("no-permissions", self.no_permissions, &[UpdatePermissions]),
            ("scope", !self.scope.is_empty(), &[UpdateScopes]),
            ("no-scopes", self.no_scopes, &[UpdateScopes]),
            ("limit", !self.limit.is_empty(), &[UpdateLimits]),
            ("burst", self.burst.is_some(), &[UpdateLimits]),
            ("fallback", self.fallback.is_some(), &[UpdateLimits]),
        ] {
            if is_said && !its_operations.contains(&self.operation) {
                return Err(Failure::usage(format!("--{flag} is not of this operation")));
            }
        }
        let reason = self.reason.clone();
        Ok(match self.operation {
            Deactivate => Operation::Deactivate { reason },
            Activate => Operation::Activate { reason },
            Revoke => Operation::Revoke { reason },
            Rotate => {
                if self.output.is_none() && !settings.json && !self.dry_run {
                    return Err(Failure::usage(
                        "rotate needs --output FILE for the new keys, or --json, which shows them",
                    ));
                }
                Operation::Rotate { overlap_days: self.overlap }
            }
            UpdatePermissions => {
                Operation::Permissions(all("permission", "no-permissions", &self.permission, self.no_permissions)?)
            }
            UpdateScopes => Operation::Scopes(all("scope", "no-scopes", &self.scope, self.no_scopes)?),
            UpdateLimits => {
                let said = Said { flags: "", windows: &self.limit, burst: self.burst, fallback: self.fallback };
                let limits = said.limits(None)?;
                Operation::Limits(
                    limits.ok_or_else(|| Failure::usage("update-limits needs --limit: none takes all away"))?,
                )
            }
        })
    }
}

fn all(flag: &str, none: &str, said: &[Scope], is_none: bool) -> Result<ScopeSet, Failure> {
    let missing = || Failure::usage(format!("--{flag} says what it is to be; --{none} takes all away"));
    scopes(flag, said, is_none)?.ok_or_else(missing)
}
