//! `keygate audit`: its commands and their flags.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use keygate::audit::{Action, AuditHead};
use keygate::key::KeyId;
use keygate::manager::{AuditCursor, AuditQuery};
use keygate::names::{OrganizationId, PrincipalId};

use super::values::{KeyIdParser, day_or_time, organization};

const EXAMPLES: &str = "\
Examples:
  keygate audit --org acme
  keygate audit --org acme --key 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate audit --org acme --action key.revoke --from 2026-11-01
  keygate audit --org system --by operator --json | jq -c '.entries[]'
  keygate audit verify --org acme
  keygate audit export --org acme --output acme.ndjson";

const VERIFY: &str = "\
Examples:
  keygate audit verify --org acme
  keygate audit verify --org acme --head 1234:5f0c...

Note the head down elsewhere from time to time: asked for again, it shows
whether the end was cut off, which nothing in the store can show.

Exit status: 0 where everything is as it was written, 1 where something is not.";

/// `keygate audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_negates_reqs = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// The organization whose audit is shown
    #[arg(long, value_name = "ID", value_parser = organization, required = true)]
    pub(crate) org: Option<OrganizationId>,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// The most entries to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
    /// Where an earlier list ended: its next_cursor
    #[arg(long, value_parser = |text: &str| text.parse::<AuditCursor>().map_err(|error| error.to_string()))]
    pub(crate) cursor: Option<AuditCursor>,
}

/// Which entries are meant.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Only what was done so: key.create, key.revoke, keys.bulk and others
    #[arg(long, value_name = "ACTION", value_parser = |text: &str| text.parse::<Action>().map_err(|error| error.to_string()))]
    pub(crate) action: Option<Action>,
    /// Only what was done by this one: a key id, or a word such as operator
    #[arg(long, value_name = "PRINCIPAL", value_parser = |text: &str| PrincipalId::new(text).map_err(|error| error.to_string()))]
    pub(crate) by: Option<PrincipalId>,
    /// Only what was done to this key, alone or with others
    #[arg(long = "key", value_name = "KEY_ID", value_parser = KeyIdParser)]
    pub(crate) key: Option<KeyId>,
    /// Only what was done from this time on: a day, or a time as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = day_or_time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// Only what was done before this time
    #[arg(long, value_name = "TIME", value_parser = day_or_time)]
    pub(crate) to: Option<DateTime<Utc>>,
}

impl WhichArgs {
    /// The same, as it is asked.
    pub(crate) fn query(&self) -> AuditQuery {
        let mut query = AuditQuery::default();
        query.action = self.action.map(|action| action.to_string());
        query.principal = self.by.as_ref().map(ToString::to_string);
        query.key_id = self.key;
        (query.from, query.to) = (self.from, self.to);
        query
    }
}

/// Commands on the audit.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Say whether everything is as it was written, and where it is not
    #[command(after_help = VERIFY)]
    Verify {
        /// The organization whose audit is verified
        #[arg(long, value_name = "ID", value_parser = organization)]
        org: OrganizationId,
        /// The head of an earlier verification: whether it is there still
        #[arg(long, value_name = "SEQUENCE:MAC", value_parser = |text: &str| text.parse::<AuditHead>().map_err(|error| error.to_string()))]
        head: Option<AuditHead>,
    },
    /// Write all entries as NDJSON, one a line, the oldest first
    #[command(after_help = EXAMPLES)]
    Export {
        /// The organization whose audit is written
        #[arg(long, value_name = "ID", value_parser = organization)]
        org: OrganizationId,
        #[command(flatten)]
        which: WhichArgs,
        /// A new file to write to; standard output by default
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}
