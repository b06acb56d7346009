//! `keygate keys create`: its flags, and the key they ask for.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use keygate::limits::Fallback;
use keygate::manager::{Expiry, NewKey};
use keygate::names::{Description, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate::network::{Cidr, CidrSet};
use keygate::record::{Metadata, SecurityTier};
use keygate::scope::{Scope, ScopeSet};

use crate::failure::Failure;

use super::limits::{LimitArg, Said, burst, fallbacks, limit};
use super::sensitive::SensitiveFieldArgs;
use super::values::{expiry, metadata, organization, tiers, time};

const EXAMPLES: &str = "\
Examples:
  keygate keys create --org acme --user bob
  keygate keys create --org acme --user bob --name 'nightly report' \\
      --scope reports:read --expires-in 30d
  keygate keys create --org acme --user ci --permission 'deploy:**' \\
      --allow-ip 192.0.2.0/24 --limit minute=60 --burst 5
  keygate keys create --org acme --user bob --output bob.key
  keygate keys create --org acme --user bob --sensitive-file account.json
  keygate keys create --org acme --user load --count 1000 --output keys.txt

The key goes to standard output and what it is to standard error, so that
KEY=$(keygate keys create ...) takes the key alone.";

/// `keygate keys create`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CreateArgs {
    /// The organization it is for
    #[arg(long, value_name = "ID", value_parser = organization)]
    pub(crate) org: OrganizationId,
    /// The user who owns it
    #[arg(long, value_name = "ID")]
    pub(crate) user: UserId,
    /// The project it is for
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// What people call it [default: Unnamed key]
    #[arg(long, value_name = "TEXT")]
    name: Option<KeyName>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    /// What it may be used on, such as reports:read or 'reports:**'; repeatable [default: the scope "default"]
    #[arg(long)]
    scope: Vec<Scope>,
    /// Let it be used on nothing that asks for a scope
    #[arg(long, conflicts_with = "scope")]
    no_scopes: bool,
    /// What its holder may do, in the grammar of scopes; repeatable
    #[arg(long)]
    permission: Vec<Scope>,
    /// What its holder may hand on to keys of their own making; repeatable
    #[arg(long, value_name = "SCOPE")]
    grantable: Vec<Scope>,
    /// A network or address it may be used from; repeatable [default: what the project or the organization says of new keys, or
    /// else anywhere]
    #[arg(long, value_name = "NETWORK")]
    allow_ip: Vec<Cidr>,
    /// Requests in a window: minute=N, hour=N, day=N or month=N; repeatable. These take the place of all of the tier's
    /// limits: a window that is not named is without limit. none is no limit at all [default: what the organization says
    /// of new keys, or else the tier's]
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    /// Requests that may come at once before the rate of the minute spaces them out; with --limit it needs minute=N
    #[arg(long, value_name = "N", value_parser = burst())]
    burst: Option<u64>,
    /// What becomes of its requests while the store is not reached and nothing is held of its limits any more: they are
    /// refused (deny), let in (open), or let in as far as each instance's share goes (local_share) [default: deny]
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    fallback: Option<Fallback>,
    /// A word it is found by; repeatable
    #[arg(long)]
    tag: Vec<Tag>,
    /// How long it lives, such as 90d, 12h or never [default: what the project or the organization says of new keys, or else
    /// 90d, within the longest life that their policies allow]
    #[arg(long, value_name = "TIME", value_parser = expiry, conflicts_with = "expires_at")]
    expires_in: Option<Expiry>,
    /// When it ends, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_at: Option<DateTime<Utc>>,
    /// Before when it is refused, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    not_before: Option<DateTime<Utc>>,
    /// How carefully it is kept: high stores it under a slow hash [default: what the project or the organization says of new
    /// keys, or else standard]
    #[arg(long, value_parser = tiers())]
    tier: Option<SecurityTier>,
    /// Let whoever holds it claim its successor with it, once it was rotated
    #[arg(long)]
    hand_over: bool,
    /// Fields of your own, as a JSON object; no place for secrets
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    metadata: Option<Metadata>,
    #[command(flatten)]
    sensitive: SensitiveFieldArgs,
    /// Make one key for each of the users USER-1 to USER-N
    #[arg(long, value_name = "N", requires = "output", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: Option<u32>,
    /// Write the keys to this new file, one a line, readable by you alone; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

impl CreateArgs {
    /// The key that is asked for.
    pub(crate) fn new_key(&self) -> Result<NewKey, Failure> {
        let mut new = NewKey::new(self.org.clone(), self.user.clone());
        new.project.clone_from(&self.project);
        new.name.clone_from(&self.name);
        new.description = self.description.clone().unwrap_or_default();
        // A key of the organization system for which nothing is said is an operator's, who may do everything.
        if !self.permission.is_empty() || !self.grantable.is_empty() {
            new.permissions = ScopeSet::new(self.permission.iter().cloned()).map_err(Failure::usage)?;
            new.grantable = ScopeSet::new(self.grantable.iter().cloned()).map_err(Failure::usage)?;
        }
        if self.no_scopes || !self.scope.is_empty() {
            new.scopes = Some(ScopeSet::new(self.scope.iter().cloned()).map_err(Failure::usage)?);
        }
        let said = Said { flags: "", windows: &self.limit, burst: self.burst, fallback: self.fallback };
        new.limits = said.limits(Some(self.tier.unwrap_or_default().limits()))?;
        new.expiry = match (self.expires_in, self.expires_at) {
            (Some(expiry), _) => expiry,
            (None, Some(end)) => Expiry::At(end),
            (None, None) => new.expiry,
        };
        new.not_before = self.not_before;
        new.tags.clone_from(&self.tag);
        if !self.allow_ip.is_empty() {
            new.allowed_ips = Some(CidrSet::new(self.allow_ip.iter().copied()).map_err(Failure::usage)?);
        }
        new.security_tier = self.tier;
        new.hand_over = self.hand_over;
        new.metadata = self.metadata.clone().unwrap_or_default();
        new.sensitive = self.sensitive.fields()?.unwrap_or_default();
        Ok(new)
    }
}
