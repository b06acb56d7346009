//! What new keys of an organization or a project have to be, and what they are where nobody says.

use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::tier::SecurityTier;
use crate::names::{Environment, NameError, is_deceptive};
use crate::network::CidrSet;
use crate::scope::{Scope, ScopeSet};

/// The most days of a life that can be said, some hundred years.
const MAX_DAYS: u32 = 36_500;
/// The most environments that a policy names.
const MAX_ENVIRONMENTS: usize = 64;
/// The longest pattern of names, in bytes.
const MAX_PATTERN_LENGTH: usize = 256;
/// What a compiled pattern may take, in bytes.
const SIZE_LIMIT: usize = 128 * 1024;

/// What keys have to be, of whoever makes or changes them. Nothing by default. Its JSON form is that of the management API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KeyPolicy {
    /// They end within so many days of their making, 1 to 36,500.
    pub longest_life_days: Option<u32>,
    /// Their scopes cover each of these.
    pub required_scopes: ScopeSet,
    /// They say which networks they may be used from, and none of those is everywhere (`0.0.0.0/0`, `::/0`).
    pub require_allowed_ips: bool,
    /// There is no wildcard in their scopes, their permissions and what they may hand on.
    pub forbid_wildcards: bool,
    /// They are for one of these environments, at least one.
    pub allowed_environments: Option<Vec<Environment>>,
    /// The whole of their name matches this.
    pub name_pattern: Option<NamePattern>,
}

/// What new keys are where nobody says. Its JSON form is that of the management API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KeyDefaults {
    /// In how many days they end, 1 to 36,500.
    pub expires_in_days: Option<u32>,
    /// How carefully they are kept.
    pub security_tier: Option<SecurityTier>,
    /// Networks they may be used from; empty is anywhere.
    pub allowed_ips: Option<CidrSet>,
}

/// A rule of a [`KeyPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PolicyRule {
    /// [`KeyPolicy::longest_life_days`].
    LongestLife,
    /// [`KeyPolicy::required_scopes`].
    RequiredScopes,
    /// [`KeyPolicy::require_allowed_ips`].
    RequireAllowedIps,
    /// [`KeyPolicy::forbid_wildcards`].
    ForbidWildcards,
    /// [`KeyPolicy::allowed_environments`].
    AllowedEnvironments,
    /// [`KeyPolicy::name_pattern`].
    NamePattern,
}

impl PolicyRule {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 6] = [
        Self::LongestLife,
        Self::RequiredScopes,
        Self::RequireAllowedIps,
        Self::ForbidWildcards,
        Self::AllowedEnvironments,
        Self::NamePattern,
    ];

    /// The word for it, which is that of its field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongestLife => "longest_life_days",
            Self::RequiredScopes => "required_scopes",
            Self::RequireAllowedIps => "require_allowed_ips",
            Self::ForbidWildcards => "forbid_wildcards",
            Self::AllowedEnvironments => "allowed_environments",
            Self::NamePattern => "name_pattern",
        }
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One of a key's lists.
type SetOf = fn(&Key) -> &ScopeSet;

impl KeyPolicy {
    /// Says which of its rules cannot be.
    ///
    /// # Errors
    /// When one cannot.
    pub fn check(&self) -> Result<(), NameError> {
        let refused = |field, problem: &str| Err(NameError::new(field, problem));
        check_days("policy longest_life_days", self.longest_life_days)?;
        if self.forbid_wildcards && self.required_scopes.iter().any(|scope| !scope.is_concrete()) {
            return refused("policy required_scopes", "must have no wildcard where wildcards are forbidden");
        }
        match &self.allowed_environments {
            Some(named) if named.is_empty() => refused("policy allowed_environments", "must name at least one"),
            Some(named) if named.len() > MAX_ENVIRONMENTS => {
                refused("policy allowed_environments", &format!("must be at most {MAX_ENVIRONMENTS}"))
            }
            _ => Ok(()),
        }
    }

    /// What a key would have to be by a rule, if it is not that. A wildcard that it had before is passed over.
    pub(crate) fn violation(&self, rule: PolicyRule, key: &Key, before: Option<&Key>) -> Option<String> {
        match rule {
            PolicyRule::LongestLife => {
                let days = self.longest_life_days?;
                let latest = key.created_at.checked_add_signed(chrono::TimeDelta::days(days.into()))?;
                let is_within = key.expires_at.is_some_and(|end| end <= latest);
                (!is_within).then(|| format!("a key must end within {days} days of its making"))
            }
            PolicyRule::RequiredScopes => {
                let missing = key.scopes.first_uncovered(&self.required_scopes)?;
                Some(format!("a key must have the scope {missing}"))
            }
            PolicyRule::RequireAllowedIps => (self.require_allowed_ips && !names_networks(&key.allowed_ips))
                .then(|| "a key must name the networks it may be used from, and not everywhere".to_owned()),
            PolicyRule::ForbidWildcards if self.forbid_wildcards => {
                let sets: [(_, SetOf); 3] = [
                    ("scopes", |key| &key.scopes),
                    ("permissions", |key| &key.permissions),
                    ("grantable", |key| &key.grantable),
                ];
                let (field, scope) = sets.into_iter().find_map(|(field, of)| {
                    let had = |scope: &Scope| before.is_some_and(|before| of(before).iter().any(|held| held == scope));
                    Some((field, of(key).iter().find(|scope| !scope.is_concrete() && !had(scope))?))
                })?;
                Some(format!("{scope} in {field} has a wildcard, and a key may have none"))
            }
            PolicyRule::ForbidWildcards => None,
            PolicyRule::AllowedEnvironments => {
                let named = self.allowed_environments.as_ref().filter(|named| !named.contains(&key.environment))?;
                let named: Vec<&str> = named.iter().map(Environment::as_str).collect();
                Some(format!("a key must be for one of these environments: {}", named.join(", ")))
            }
            PolicyRule::NamePattern => {
                let pattern = self.name_pattern.as_ref().filter(|pattern| !pattern.admits(key.name.as_str()))?;
                Some(format!("the name of a key must match {pattern}"))
            }
        }
    }
}

/// Whether networks are said, and keep anybody out.
fn names_networks(networks: &CidrSet) -> bool {
    !networks.is_empty() && networks.iter().all(|network| network.as_net().prefix_len() > 0)
}

impl KeyDefaults {
    /// Says which of them cannot be.
    ///
    /// # Errors
    /// When one cannot.
    pub fn check(&self) -> Result<(), NameError> {
        check_days("defaults expires_in_days", self.expires_in_days)
    }
}

fn check_days(field: &'static str, days: Option<u32>) -> Result<(), NameError> {
    if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
        return Err(NameError::new(field, format!("must be 1 to {MAX_DAYS}")));
    }
    Ok(())
}

/// A regular expression that the whole of a key's name must match. It is in the syntax of the `regex` crate, whose matching
/// takes time in proportion to the name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    text: String,
    /// What it is compiled to once it was needed, if it can be. So it is compiled once for all the keys of a call.
    compiled: OnceLock<Option<Regex>>,
}

impl NamePattern {
    /// The pattern of this expression.
    ///
    /// # Errors
    /// When it is empty, longer than 256 bytes, has control or invisible characters, is no regular expression, or is too large
    /// once compiled.
    pub fn new(expression: impl Into<String>) -> Result<Self, NameError> {
        let pattern = Self::kept(expression.into());
        let refused = |problem: String| Err(NameError::new("policy name_pattern", problem));
        if pattern.text.is_empty() || pattern.text.len() > MAX_PATTERN_LENGTH {
            return refused(format!("must be a regular expression of 1 to {MAX_PATTERN_LENGTH} bytes"));
        }
        if pattern.text.chars().any(is_deceptive) {
            return refused("must not contain control or invisible formatting characters".to_owned());
        }
        // By itself first: what closes a group that it did not open would come out of the anchors.
        match compile(&pattern.text).and_then(|_| pattern.anchored()) {
            Ok(_) => Ok(pattern),
            Err(error) => {
                let lines: Vec<String> = error.to_string().lines().map(|line| line.trim().to_owned()).collect();
                refused(format!("must be a regular expression: {}", lines.join(" ")))
            }
        }
    }

    /// The expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// One that was looked at when it was taken.
    fn kept(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// Whether a name matches. One that was kept by another version and cannot be compiled admits none.
    fn admits(&self, name: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| self.anchored().ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(name))
    }

    fn anchored(&self) -> Result<Regex, regex::Error> {
        compile(&format!(r"\A(?:{})\z", self.text))
    }
}

fn compile(expression: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build()
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NameError;
    fn try_from(expression: String) -> Result<Self, NameError> {
        Self::new(expression)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> String {
        pattern.text
    }
}

/// A pattern that was kept, as it is: it was looked at when it was taken, and is not compiled until it is needed.
pub(super) fn kept_pattern<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NamePattern>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(NamePattern::kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_the_whole_name_and_refused_where_it_is_none() {
        for (pattern, good, bad) in [
            ("[a-z]+-[0-9]{3}", "web-001", "web-0011"),
            ("a|b", "b", "ab"),
            (r"\w+ \d+", "Schlüssel 7", "Schlüssel"),
            ("(?i)prod.*", "PROD key", "a prod"),
            ("(?m)^a$", "a", "a b"),
        ] {
            let read = NamePattern::new(pattern).unwrap();
            assert!(read.admits(good) && !read.admits(bad), "{pattern}");
        }
        for bad in ["", "(", "a)|(b", "(?x)a # b", "a{999999}", "\\w{200}{200}", &"a".repeat(257), "a\u{202e}b", "a\n"]
        {
            let error = NamePattern::new(bad).unwrap_err();
            assert_eq!(error.field(), "policy name_pattern", "{bad}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert!(!NamePattern::kept("(".into()).admits("("), "what cannot be compiled any more admits nothing");
    }

    #[test]
    fn each_rule_is_called_as_its_field_is() {
        let policy = serde_json::to_value(KeyPolicy::default()).unwrap();
        let words: Vec<&str> = PolicyRule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(policy.as_object().unwrap().len(), words.len());
        assert!(words.iter().all(|word| policy.get(word).is_some()), "{policy}");
        assert!(serde_json::from_str::<KeyPolicy>(r#"{"longest_live_days":3}"#).is_err(), "a misspelt rule is none");
    }

    #[test]
    fn a_rule_that_cannot_be_is_named() {
        let read = |text| serde_json::from_str::<KeyPolicy>(text).unwrap().check();
        for (text, field) in [
            (r#"{"longest_life_days":0}"#, "policy longest_life_days"),
            (r#"{"longest_life_days":36501}"#, "policy longest_life_days"),
            (r#"{"allowed_environments":[]}"#, "policy allowed_environments"),
            (r#"{"forbid_wildcards":true,"required_scopes":["a:*"]}"#, "policy required_scopes"),
        ] {
            assert_eq!(read(text).unwrap_err().field(), field);
        }
        assert!(read(r#"{"forbid_wildcards":true,"required_scopes":["a:b"],"longest_life_days":36500}"#).is_ok());
        assert!(serde_json::from_str::<KeyDefaults>(r#"{"expires_in_days":0}"#).unwrap().check().is_err());
    }
}
