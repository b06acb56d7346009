//! Which rules look, and from when on something is unusual.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::finding::Rule;

/// Which rules look, from when on something is unusual, and what comes of it. By default all rules look, and nothing comes
/// of it but a finding.
///
/// ```
/// use keygate_core::anomaly::{AnomalyPolicy, Rule};
///
/// let policy = AnomalyPolicy::new().without([Rule::NewScope]).volume_floor(10_000).suspend_on([Rule::AddressSpread]);
/// assert!(!policy.looks_at(Rule::NewScope) && policy.suspends_on(Rule::AddressSpread));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct AnomalyPolicy {
    rules: BTreeSet<Rule>,
    suspend: BTreeSet<Rule>,
    pub(super) learning_days: u32,
    pub(super) volume_floor: u64,
    pub(super) volume_sigmas: u32,
    pub(super) error_points: u32,
    pub(super) dormant_days: u32,
    pub(super) spread_networks: usize,
}

impl Default for AnomalyPolicy {
    fn default() -> Self {
        Self {
            rules: Rule::ALL.into(),
            suspend: BTreeSet::new(),
            learning_days: 7,
            volume_floor: 1_000,
            volume_sigmas: 6,
            error_points: 5,
            dormant_days: 30,
            spread_networks: 8,
        }
    }
}

impl AnomalyPolicy {
    /// What [`learning_days`](Self::learning_days) may be.
    pub const LEARNING_DAYS: RangeInclusive<u32> = 1..=60;
    /// What [`volume_floor`](Self::volume_floor) may be.
    pub const VOLUME_FLOOR: RangeInclusive<u64> = 10..=1_000_000_000;
    /// What [`volume_sigmas`](Self::volume_sigmas) may be.
    pub const VOLUME_SIGMAS: RangeInclusive<u32> = 3..=100;
    /// What [`error_points`](Self::error_points) may be.
    pub const ERROR_POINTS: RangeInclusive<u32> = 1..=90;
    /// What [`dormant_days`](Self::dormant_days) may be.
    pub const DORMANT_DAYS: RangeInclusive<u32> = 7..=365;
    /// What [`spread_networks`](Self::spread_networks) may be.
    pub const SPREAD_NETWORKS: RangeInclusive<usize> = 3..=128;

    /// The default: all rules, and no key is suspended.
    pub fn new() -> Self {
        Self::default()
    }

    /// No rule looks, and nothing is kept or read.
    pub fn off() -> Self {
        Self::default().without(Rule::ALL)
    }

    /// Without these rules.
    pub fn without(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        rules.into_iter().for_each(|rule| {
            self.rules.remove(&rule);
        });
        self
    }

    /// A key of which one of these rules finds something is deactivated, by an operator named `anomaly` and with the finding
    /// as the reason. Never one of the organization `system`. None by default.
    ///
    /// Only who holds a key makes it look unusual; but that is also its rightful owner, who moves to another provider or
    /// releases a client that asks for more. Choose rules whose findings were right for a while.
    pub fn suspend_on(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.suspend.extend(rules);
        self
    }

    /// For how many days a key's networks, places and scopes are learned before a new one is a finding; 7 by default. The
    /// nearest of [`LEARNING_DAYS`](Self::LEARNING_DAYS).
    pub fn learning_days(mut self, days: u32) -> Self {
        self.learning_days = within(days, Self::LEARNING_DAYS);
        self
    }

    /// How many more requests in an hour than expected are worth a finding, however unlikely they are; 1,000 by default. The
    /// nearest of [`VOLUME_FLOOR`](Self::VOLUME_FLOOR).
    pub fn volume_floor(mut self, requests: u64) -> Self {
        self.volume_floor = within(requests, Self::VOLUME_FLOOR);
        self
    }

    /// How many standard deviations above the expectation a volume is unusual; 6 by default. The nearest of
    /// [`VOLUME_SIGMAS`](Self::VOLUME_SIGMAS).
    pub fn volume_sigmas(mut self, sigmas: u32) -> Self {
        self.volume_sigmas = within(sigmas, Self::VOLUME_SIGMAS);
        self
    }

    /// By how many percentage points a share of errors must be above twice the usual one; 5 by default. The nearest of
    /// [`ERROR_POINTS`](Self::ERROR_POINTS).
    pub fn error_points(mut self, points: u32) -> Self {
        self.error_points = within(points, Self::ERROR_POINTS);
        self
    }

    /// After how many days without a request a key is dormant; 30 by default. The nearest of
    /// [`DORMANT_DAYS`](Self::DORMANT_DAYS).
    pub fn dormant_days(mut self, days: u32) -> Self {
        self.dormant_days = within(days, Self::DORMANT_DAYS);
        self
    }

    /// How many networks in an hour are many, for a key that is used from few; 8 by default. The nearest of
    /// [`SPREAD_NETWORKS`](Self::SPREAD_NETWORKS).
    pub fn spread_networks(mut self, networks: usize) -> Self {
        self.spread_networks = within(networks, Self::SPREAD_NETWORKS);
        self
    }

    /// Whether a rule looks.
    #[must_use]
    pub fn looks_at(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    /// Whether no rule looks.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a finding of this rule suspends its key.
    #[must_use]
    pub fn suspends_on(&self, rule: Rule) -> bool {
        self.suspend.contains(&rule)
    }
}

fn within<T: Ord + Copy>(value: T, range: RangeInclusive<T>) -> T {
    value.clamp(*range.start(), *range.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_within_its_range_and_nothing_suspends_by_itself() {
        let policy = AnomalyPolicy::new().learning_days(0).volume_floor(0).volume_sigmas(1_000).spread_networks(1_000);
        assert_eq!((policy.learning_days, policy.volume_floor), (1, 10));
        assert_eq!((policy.volume_sigmas, policy.spread_networks), (100, 128));
        assert!(Rule::ALL.into_iter().all(|rule| policy.looks_at(rule) && !policy.suspends_on(rule)));
        assert!(AnomalyPolicy::off().is_off() && !policy.is_off());
    }
}
