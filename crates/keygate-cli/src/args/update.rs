//! `keygate keys update`: its flags, and the change they ask for.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use keygate::limits::Fallback;
use keygate::manager::{Expiry, KeyUpdate};
use keygate::names::{Description, KeyName, Tag};
use keygate::network::{Cidr, CidrSet};
use keygate::record::{Metadata, Sensitive};
use keygate::scope::{Scope, ScopeSet};

use super::keys::KeyArg;
use super::limits::{LimitArg, Said, burst, fallbacks, limit};
use super::sensitive::{SensitiveParser, sensitive_fields};
use super::values::{expiry, metadata, time};
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  keygate keys update 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --name 'nightly report' --scope reports:read
  keygate keys update 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --expires-in 30d
  keygate keys update 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --limit minute=60 --burst 5
  keygate keys update 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --allow-ip 192.0.2.0/24 --no-tags --json";

/// `keygate keys update`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    name: Option<KeyName>,
    /// What it is for; an empty text takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    /// What it may be used on, all of it; repeatable
    #[arg(long)]
    scope: Vec<Scope>,
    /// Let it be used on nothing that asks for a scope
    #[arg(long, conflicts_with = "scope")]
    no_scopes: bool,
    /// What its holder may do, all of it, in the grammar of scopes; repeatable
    #[arg(long)]
    permission: Vec<Scope>,
    /// Let its holder do nothing that asks for a permission
    #[arg(long, conflicts_with = "permission")]
    no_permissions: bool,
    /// A network or address it may be used from, all of them; repeatable
    #[arg(long, value_name = "NETWORK")]
    allow_ip: Vec<Cidr>,
    /// Let it be used from anywhere
    #[arg(long, conflicts_with = "allow_ip")]
    any_ip: bool,
    /// minute=N, hour=N, day=N or month=N; repeatable. These take the place of all that it has: a window that is not named is
    /// without limit. none is no limit at all
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    /// How many requests may come at once before the rate of the minute spaces them out; needs --limit minute=N
    #[arg(long, value_name = "N", value_parser = burst())]
    burst: Option<u64>,
    /// What becomes of requests while the store is not reached; needs --limit [default: deny]
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    fallback: Option<Fallback>,
    /// How long it lives from now on, such as 90d, 12h or never
    #[arg(long, value_name = "TIME", value_parser = expiry, conflicts_with = "expires_at")]
    expires_in: Option<Expiry>,
    /// When it ends, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_at: Option<DateTime<Utc>>,
    /// A word it is found by, all of them; repeatable
    #[arg(long)]
    tag: Vec<Tag>,
    /// Let it be found by no word
    #[arg(long, conflicts_with = "tag")]
    no_tags: bool,
    /// Fields of your own, all of them, as a JSON object; no place for secrets
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    metadata: Option<Metadata>,
    /// A field that is kept encrypted, with a text as its value; repeatable. Those that are said take the place of all there
    /// are. Whoever lists the processes of this machine sees it, and your shell's history keeps it: --sensitive-file does
    /// without that
    #[arg(long, value_name = "NAME=VALUE", value_parser = SensitiveParser)]
    sensitive: Vec<Sensitive>,
    /// Fields that are kept encrypted, all of them, as a JSON object in this file; - is standard input
    #[arg(long, value_name = "FILE")]
    sensitive_file: Option<PathBuf>,
    /// Erase the fields that are kept encrypted
    #[arg(long, conflicts_with_all = ["sensitive", "sensitive_file"])]
    no_sensitive: bool,
}

impl UpdateArgs {
    /// The change that is asked for, of at least one field.
    pub(crate) fn update(&self) -> Result<KeyUpdate, Failure> {
        let mut update = KeyUpdate::new();
        update.name.clone_from(&self.name);
        update.description.clone_from(&self.description);
        update.scopes = scopes("scope", &self.scope, self.no_scopes)?;
        update.permissions = scopes("permission", &self.permission, self.no_permissions)?;
        if self.any_ip || !self.allow_ip.is_empty() {
            update.allowed_ips = Some(CidrSet::new(self.allow_ip.iter().copied()).map_err(Failure::usage)?);
        }
        let said = Said { flags: "", windows: &self.limit, burst: self.burst, fallback: self.fallback };
        update.limits = said.limits(None)?;
        update.expiry = self.expires_in.or(self.expires_at.map(Expiry::At));
        if self.no_tags || !self.tag.is_empty() {
            update.tags = Some(self.tag.clone());
        }
        update.metadata.clone_from(&self.metadata);
        if self.no_sensitive || self.sensitive_file.is_some() || !self.sensitive.is_empty() {
            update.sensitive = Some(sensitive_fields(self.sensitive_file.as_deref(), &self.sensitive)?);
        }
        if update == KeyUpdate::new() {
            return Err(Failure::usage("nothing is said to change: --name, --scope, --limit and others say what"));
        }
        Ok(update)
    }
}

/// All that was said of one kind, if anything was.
fn scopes(flag: &str, said: &[Scope], is_none: bool) -> Result<Option<ScopeSet>, Failure> {
    if said.is_empty() && !is_none {
        return Ok(None);
    }
    let set = ScopeSet::new(said.iter().cloned());
    set.map(Some).map_err(|error| Failure::usage(format!("--{flag}: {error}")))
}
