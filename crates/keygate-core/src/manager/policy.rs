//! What stands above a key says what it is where nobody does, and what it has to be.
//!
//! What is nearest to a key says what it is: a user's defaults stand before those of the key's project, and these before their
//! organization's, as whoever speaks of fewer keys knows more of them. It is not so with what a key has to be, which no level can
//! take from another: the policies of all three hold. A key is held to them when it is made or taken in, and to what an update
//! changes of it. One that was made before goes on as it is.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::above::Levels;
use super::create::DEFAULT_EXPIRY_DAYS;
use super::{Expiry, ManageError};
use crate::lifecycle::check_schedule;
use crate::limits::Limits;
use crate::network::CidrSet;
use crate::record::{Key, KeyDefaults, KeyPolicy, PolicyRule, SecurityTier};

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyLevel {
    /// The organization's.
    Organization,
    /// The project's.
    Project,
    /// The user's.
    User,
}

impl PolicyLevel {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Project => "project",
            Self::User => "user",
        }
    }
}

impl fmt::Display for PolicyLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that a key is not within.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyViolation {
    /// The rule.
    pub policy: PolicyRule,
    /// Whose it is.
    pub level: PolicyLevel,
    /// What would be allowed, in a sentence.
    pub allowed: String,
}

impl fmt::Display for PolicyViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, level, allowed } = self;
        write!(f, "the policy {policy} of the {level} does not allow it: {allowed}")
    }
}

/// The policies that hold, the organization's first and the user's last.
fn policies(above: &Levels) -> impl Iterator<Item = (PolicyLevel, &KeyPolicy)> {
    let Levels { parents, user } = above;
    let of_organization = parents.organization.as_ref().and_then(|organization| organization.policy.as_ref());
    let of_project = parents.project.as_ref().and_then(|project| project.policy.as_ref());
    let of_user = user.as_ref().and_then(|user| user.policy.as_ref());
    let all = [
        (PolicyLevel::Organization, of_organization),
        (PolicyLevel::Project, of_project),
        (PolicyLevel::User, of_user),
    ];
    all.into_iter().filter_map(|(level, policy)| Some((level, policy?)))
}

/// The first default that one of the levels has, the user's first and the organization's last.
fn default_of<T>(above: &Levels, get: impl Fn(&KeyDefaults) -> Option<T>) -> Option<T> {
    let Levels { parents, user } = above;
    let of_user = user.as_ref().and_then(|user| user.defaults.as_ref());
    let of_project = parents.project.as_ref().and_then(|project| project.defaults.as_ref());
    let of_organization = parents.organization.as_ref().and_then(|organization| organization.defaults.as_ref());
    [of_user, of_project, of_organization].into_iter().flatten().find_map(get)
}

/// How carefully a new key is kept.
pub(super) fn tier(above: &Levels, said: Option<SecurityTier>) -> SecurityTier {
    said.or_else(|| default_of(above, |defaults| defaults.security_tier)).unwrap_or_default()
}

/// Where a new key may be used from.
pub(super) fn allowed_ips(above: &Levels, said: Option<CidrSet>) -> CidrSet {
    said.or_else(|| default_of(above, |defaults| defaults.allowed_ips.clone())).unwrap_or_default()
}

/// The limits of new keys for which none are said.
pub(super) fn limits(above: &Levels) -> Option<Limits> {
    let of_project = above.parents.project.as_ref().and_then(|project| project.key_limits);
    of_project.or_else(|| above.parents.organization.as_ref().and_then(|organization| organization.key_limits))
}

/// When a new key ends. An end that nobody said is brought forward to the longest life there may be.
pub(super) fn expiry(above: &Levels, said: Expiry) -> Expiry {
    match said {
        Expiry::Default => {
            let days = default_of(above, |defaults| defaults.expires_in_days).unwrap_or(DEFAULT_EXPIRY_DAYS);
            let days = longest_life(above).map_or(days, |(longest, _)| days.min(longest));
            Expiry::In(TimeDelta::days(days.into()))
        }
        said => said,
    }
}

/// The longest life that a key may have, and whose rule that is.
fn longest_life(above: &Levels) -> Option<(u32, PolicyLevel)> {
    let said = policies(above).filter_map(|(level, policy)| Some((policy.longest_life_days?, level)));
    said.min_by_key(|(days, _)| *days)
}

fn end_of_life(made: DateTime<Utc>, days: u32) -> Option<DateTime<Utc>> {
    made.checked_add_signed(TimeDelta::days(days.into()))
}

/// Refuses a successor that is made at `made` and would have to end before it begins.
pub(super) fn check_successor(
    above: &Levels,
    made: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
) -> Result<(), ManageError> {
    let Some((days, level)) = longest_life(above) else { return Ok(()) };
    match (not_before, end_of_life(made, days)) {
        (Some(begin), Some(latest)) if begin >= latest => Err(violated(
            PolicyRule::LongestLife,
            level,
            format!("a key must end within {days} days of its making, and its successor would not have begun by then"),
        )),
        _ => Ok(()),
    }
}

/// Brings the end of a successor forward to the longest life there may be. Where the overlap of its schedule has no room in
/// that, it becomes half of it; and a life of one day has no room for any, so that nothing is rotated by itself.
pub(super) fn bound_successor(above: &Levels, new: &mut Key) {
    let Some((days, _)) = longest_life(above) else { return };
    let Some(latest) = end_of_life(new.created_at, days) else { return };
    if new.expires_at.is_some_and(|end| end <= latest) {
        return;
    }
    new.expires_at = Some(latest);
    if check_schedule(new).is_err()
        && let Some(schedule) = &mut new.rotation_schedule
    {
        schedule.overlap_days = schedule.overlap_days.min(days / 2);
        schedule.auto_rotate &= schedule.overlap_days > 0;
    }
}

/// Refuses a new key that is not within the policies.
pub(super) fn check(above: &Levels, key: &Key) -> Result<(), ManageError> {
    check_rules(above, key, None, |_| true)
}

/// The same, of a key that was drawn up before: what it is not within now.
pub(super) fn violation(above: &Levels, key: &Key) -> Option<Box<PolicyViolation>> {
    match check(above, key) {
        Err(ManageError::PolicyViolated(violation)) => Some(violation),
        _ => None,
    }
}

/// Refuses what an update makes of a key, as far as the policies speak of what it changes.
pub(super) fn check_change(
    above: &Levels,
    before: &Key,
    after: &Key,
    changed: &[&'static str],
) -> Result<(), ManageError> {
    let is_later = before.expires_at.is_some_and(|end| after.expires_at.is_none_or(|asked| asked > end));
    check_rules(above, after, Some(before), |rule| match rule {
        // To bring an end forward never leads out of it.
        PolicyRule::LongestLife => changed.contains(&"expires_at") && is_later,
        PolicyRule::RequiredScopes => changed.contains(&"scopes"),
        PolicyRule::RequireAllowedIps => changed.contains(&"allowed_ips"),
        PolicyRule::ForbidWildcards => changed.contains(&"scopes") || changed.contains(&"permissions"),
        PolicyRule::AllowedEnvironments => false,
        PolicyRule::NamePattern => changed.contains(&"name"),
    })
}

/// Whether a policy could speak of such a change.
pub(super) fn may_concern(changed: &[&'static str]) -> bool {
    changed.iter().any(|field| matches!(*field, "expires_at" | "scopes" | "permissions" | "allowed_ips" | "name"))
}

fn check_rules(
    above: &Levels,
    key: &Key,
    before: Option<&Key>,
    concerns: impl Fn(PolicyRule) -> bool,
) -> Result<(), ManageError> {
    for (level, policy) in policies(above) {
        for rule in PolicyRule::ALL.into_iter().filter(|rule| concerns(*rule)) {
            if let Some(allowed) = policy.violation(rule, key, before) {
                return Err(violated(rule, level, allowed));
            }
        }
    }
    Ok(())
}

fn violated(policy: PolicyRule, level: PolicyLevel, allowed: String) -> ManageError {
    ManageError::PolicyViolated(Box::new(PolicyViolation { policy, level, allowed }))
}
