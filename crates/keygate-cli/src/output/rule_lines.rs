//! What keys have to be, and what new ones are where nobody says: a line for each rule that there is.

use comfy_table::{Cell, Table};
use keygate::record::{KeyDefaults, KeyPolicy};

use super::words::{list, safe};

/// Adds the rules to the lines of an organization or a project.
pub(super) fn add_rules(table: &mut Table, policy: Option<&KeyPolicy>, defaults: Option<&KeyDefaults>) {
    let mut row = |field: &str, value: String| {
        table.add_row([Cell::new(field), Cell::new(value)]);
    };
    if let Some(policy) = policy {
        if let Some(days) = policy.longest_life_days {
            row("longest life of a key", format!("{days} days"));
        }
        if !policy.required_scopes.is_empty() {
            row("scopes of every key", list(&policy.required_scopes, "none"));
        }
        if policy.require_allowed_ips {
            row("networks of a key", "must be named".to_owned());
        }
        if policy.forbid_wildcards {
            row("wildcards", "forbidden".to_owned());
        }
        if let Some(environments) = &policy.allowed_environments {
            row("environments of a key", list(environments, "none"));
        }
        if let Some(pattern) = &policy.name_pattern {
            row("names of keys", format!("match {}", safe(pattern.as_str())));
        }
    }
    if let Some(defaults) = defaults {
        if let Some(days) = defaults.expires_in_days {
            row("life of a new key", format!("{days} days"));
        }
        if let Some(tier) = defaults.security_tier {
            row("tier of a new key", tier.to_string());
        }
        if let Some(networks) = &defaults.allowed_ips {
            row("networks of a new key", list(networks.iter(), "anywhere"));
        }
    }
}
