//! What was just seen of a key: a delta of usage, as far as the rules look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::record::Key;
use crate::scope::Scope;
use crate::usage::batch::{Delta, MAX_ADDRESSES};
use crate::usage::location::Location;
use crate::usage::period::Hour;

/// How many places, and how many scopes, are told apart.
const TOLD_APART: usize = 64;

/// Whom it is of.
#[derive(Debug, Clone)]
pub(super) struct Whom {
    pub(super) key: KeyId,
    pub(super) organization: OrganizationId,
    pub(super) created_at: DateTime<Utc>,
}

impl Whom {
    pub(super) fn of(key: &Key) -> Self {
        Self { key: key.id, organization: key.organization.clone(), created_at: key.created_at }
    }
}

/// The network of an address, as wide as an operator of networks is usually given it: the first 16 bits of an IPv4 address,
/// the first 32 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network(IpNet);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 16 } else { 32 };
        Self(IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |net| net.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was seen of one key since it was last examined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) hours: BTreeMap<Hour, u64>,
    pub(super) networks: BTreeSet<Network>,
    pub(super) locations: BTreeSet<Location>,
    pub(super) scopes: BTreeSet<Scope>,
}

impl Sighting {
    pub(super) fn of(delta: &Delta) -> Self {
        let mut sighting = Self::default();
        for (hour, counts) in &delta.hours {
            let requests = counts.requests();
            sighting.requests = sighting.requests.saturating_add(requests);
            sighting.errors = sighting.errors.saturating_add(counts.errors());
            sighting.hours.insert(*hour, requests);
            // What is told apart no longer is no place, and the word for it none that a resolver gives.
            let locations = counts.locations().filter_map(|(name, _)| Location::new(name).ok());
            sighting.locations.extend(locations.filter(|location| location.as_str() != crate::usage::counts::OTHER));
        }
        sighting.networks.extend(delta.addresses.values().flatten().map(|address| Network::of(*address)));
        sighting.scopes.extend(delta.scopes.iter().cloned());
        sighting
    }

    /// Adds what was seen later.
    pub(super) fn add(&mut self, later: Self) {
        self.requests = self.requests.saturating_add(later.requests);
        self.errors = self.errors.saturating_add(later.errors);
        for (hour, count) in later.hours {
            let sum = self.hours.entry(hour).or_default();
            *sum = sum.saturating_add(count);
        }
        extend(&mut self.networks, later.networks, MAX_ADDRESSES);
        extend(&mut self.locations, later.locations, TOLD_APART);
        extend(&mut self.scopes, later.scopes, TOLD_APART);
    }
}

fn extend<T: Ord>(values: &mut BTreeSet<T>, more: BTreeSet<T>, most: usize) {
    for value in more {
        if values.len() >= most {
            return;
        }
        values.insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::counts::Counts;
    use crate::usage::outcome::{Answered, Outcome};
    use crate::usage::period::Month;

    #[test]
    fn a_network_is_of_the_address_however_it_is_written() {
        for (address, network) in [
            ("203.0.113.9", "203.0.0.0/16"),
            ("::ffff:203.0.113.9", "203.0.0.0/16"),
            ("2001:db8:1:2::3", "2001:db8::/32"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
    }

    #[test]
    fn what_was_seen_adds_up_and_is_bounded() {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, 10);
        counts.add_answer(Answered::ServerError, 4);
        counts.add_location(Location::new("DE").ok(), 9);
        counts.add_location(None, 1);
        let mut delta = Delta { hours: [(Hour(5), counts)].into(), ..Delta::default() };
        delta.add_address(Month(1), "203.0.113.9".parse().unwrap());
        let mut sum = Sighting::of(&delta);
        sum.add(Sighting::of(&delta));
        assert_eq!((sum.requests, sum.errors, sum.hours[&Hour(5)]), (20, 8, 20));
        assert_eq!((sum.networks.len(), sum.locations.len()), (1, 1));
        for number in 0..1_000_u32 {
            let scopes = [format!("a:{number}").parse().unwrap()].into();
            let networks = [Network::of(IpAddr::from((number << 16).to_be_bytes()))].into();
            sum.add(Sighting { scopes, networks, ..Sighting::default() });
        }
        assert_eq!((sum.networks.len(), sum.scopes.len()), (MAX_ADDRESSES, TOLD_APART));
    }
}
