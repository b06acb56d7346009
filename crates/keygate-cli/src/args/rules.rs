//! What keys have to be, and what new ones are where nobody says: the flags of organizations, projects and users for it.

use clap::Args;
use keygate::record::{KeyDefaults, KeyPolicy};
use serde::de::DeserializeOwned;

/// Rules for keys, each kind of them all together.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    /// What keys have to be from now on, all of it, as a JSON object with longest_life_days, required_scopes,
    /// require_allowed_ips, forbid_wildcards, allowed_environments and name_pattern; what is not named is not asked of them.
    /// none takes the policy away. Keys that are there go on as they are
    #[arg(long, value_name = "JSON", value_parser = policy)]
    policy: Option<Rules<KeyPolicy>>,
    /// What new keys are where nobody says, all of it, as a JSON object with expires_in_days, security_tier and allowed_ips.
    /// none takes the defaults away
    #[arg(long, value_name = "JSON", value_parser = defaults)]
    defaults: Option<Rules<KeyDefaults>>,
}

impl RuleArgs {
    /// What is to become of the policy; `Some(None)` takes it away.
    pub(crate) fn policy(&self) -> Option<Option<KeyPolicy>> {
        self.policy.clone().map(|Rules(policy)| policy)
    }

    /// What is to become of the defaults; `Some(None)` takes them away.
    pub(crate) fn defaults(&self) -> Option<Option<KeyDefaults>> {
        self.defaults.clone().map(|Rules(defaults)| defaults)
    }
}

/// Rules, or that there are none.
#[derive(Debug, Clone)]
struct Rules<T>(Option<T>);

fn read<T: DeserializeOwned>(text: &str) -> Result<Rules<T>, String> {
    if text == "none" {
        return Ok(Rules(None));
    }
    // Fields would be read from an array too, by the order in which they are written down.
    if !text.trim_start().starts_with('{') {
        return Err("must be a JSON object, or none".to_owned());
    }
    serde_json::from_str(text).map(|rules| Rules(Some(rules))).map_err(|error| error.to_string())
}

fn policy(text: &str) -> Result<Rules<KeyPolicy>, String> {
    let rules = read::<KeyPolicy>(text)?;
    rules.0.iter().try_for_each(KeyPolicy::check).map_err(|error| error.to_string())?;
    Ok(rules)
}

fn defaults(text: &str) -> Result<Rules<KeyDefaults>, String> {
    let rules = read::<KeyDefaults>(text)?;
    rules.0.iter().try_for_each(KeyDefaults::check).map_err(|error| error.to_string())?;
    Ok(rules)
}
