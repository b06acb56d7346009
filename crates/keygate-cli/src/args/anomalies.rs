//! `keygate anomalies`: its flags.

use clap::{ArgGroup, Args};
use keygate::anomaly::FindingCursor;
use keygate::key::KeyId;
use keygate::names::OrganizationId;

use super::values::{KeyIdParser, finding_cursor, organization};

const EXAMPLES: &str = "\
Examples:
  keygate anomalies 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate anomalies --org acme --limit 20
  keygate anomalies --org acme --json | jq -r '.findings[] | [.at, .rule, .key_id] | @tsv'

Findings are kept for 90 days, the newest 1,000 of an organization.";

/// `keygate anomalies`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("whose").required(true).args(["id", "org"]))]
pub(crate) struct AnomaliesArgs {
    /// The key's id: not the key itself, which is secret
    #[arg(value_name = "KEY_ID", value_parser = KeyIdParser)]
    pub(crate) id: Option<KeyId>,
    /// In the place of a key: all keys of this organization
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: Option<OrganizationId>,
    /// The most findings to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
    /// Where an earlier list ended: its next_cursor
    #[arg(long, value_parser = finding_cursor)]
    pub(crate) cursor: Option<FindingCursor>,
}
