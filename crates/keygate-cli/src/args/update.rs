//! `keygate keys update`: its flags, and the change they ask for.

use chrono::{DateTime, Utc};
use clap::Args;
use keygate::manager::{Expiry, KeyUpdate};
use keygate::names::{Description, KeyName, Tag};
use keygate::network::{Cidr, CidrSet};
use keygate::record::{Metadata, Sensitive};
use keygate::scope::Scope;

use super::keys::KeyArg;
use super::limits::{BesideLimitArgs, LimitArg, limit};
use super::sensitive::SensitiveFieldArgs;
use super::values::{expiry, metadata, scopes, time};
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
    /// Requests in a window: minute=N, hour=N, day=N or month=N; repeatable. These take the place of all that it has: a window
    /// that is not named is without limit. none is no limit at all
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    #[command(flatten)]
    beside: BesideLimitArgs,
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
    #[command(flatten)]
    sensitive: SensitiveFieldArgs,
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
        update.limits = self.beside.said(&self.limit).limits(None)?;
        update.expiry = self.expires_in.or(self.expires_at.map(Expiry::At));
        if self.no_tags || !self.tag.is_empty() {
            update.tags = Some(self.tag.clone());
        }
        update.metadata.clone_from(&self.metadata);
        update.sensitive = if self.no_sensitive { Some(Sensitive::default()) } else { self.sensitive.fields()? };
        if update == KeyUpdate::new() {
            return Err(Failure::usage("nothing is said to change: --name, --scope, --limit and others say what"));
        }
        Ok(update)
    }
}
