//! How many requests there were, and what became of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::few::Few;
use super::location::Location;
use super::outcome::{Answered, Outcome};
use super::sums::Sums;

/// How many numbers are kept of one thing in one day, besides those of what is no longer told apart.
pub const MAX_FIELDS: usize = 96;
/// The longest name of an endpoint that is told apart, in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 128;
/// In the place of an endpoint or a location that is not told apart.
pub const OTHER: &str = "other";

/// Requests, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    sums: Sums,
    endpoints: Few<Arc<str>, u64>,
    locations: Few<Location, u64>,
    /// Of no location that is told apart.
    elsewhere: u64,
}

impl Counts {
    /// All requests: one is counted when its key is decided over.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.sums.requests()
    }

    /// Those that were denied, and those that were answered 4xx or 5xx.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.sums.errors()
    }

    /// How many came to what; what did not occur is left out.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.sums.outcomes()
    }

    /// How many were answered how.
    pub fn answers(&self) -> impl Iterator<Item = (Answered, u64)> {
        self.sums.answers()
    }

    /// How many were for each endpoint, and for all [others](OTHER).
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, u64)> {
        self.endpoints.iter().map(|(endpoint, count)| (&**endpoint, *count))
    }

    /// How many came from each place, and from all [others](OTHER).
    pub fn locations(&self) -> impl Iterator<Item = (&str, u64)> {
        let others = (self.elsewhere > 0).then_some((OTHER, self.elsewhere));
        self.locations.iter().map(|(location, count)| (location.as_str(), *count)).chain(others)
    }

    /// Counts `count` more that came to `outcome`; of one that no key comes to, none.
    pub fn add_outcome(&mut self, outcome: Outcome, count: u64) {
        self.sums.add_outcome(outcome, count);
    }

    /// Counts `count` more that were answered so.
    pub fn add_answer(&mut self, answered: Answered, count: u64) {
        self.sums.add_answer(answered, count);
    }

    /// Counts `count` more for an endpoint.
    pub fn add_endpoint(&mut self, endpoint: &Arc<str>, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(sum) = self.endpoints.get_mut(endpoint) {
            *sum = sum.saturating_add(count);
        } else {
            let endpoint = if self.has_room() { Arc::clone(endpoint) } else { Arc::from(OTHER) };
            let sum = self.endpoints.entry(endpoint).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Counts `count` more from a place; `None` is one that is not told apart.
    pub fn add_location(&mut self, location: Option<Location>, count: u64) {
        if count == 0 {
            return;
        }
        let has_room = self.has_room();
        let sum = match location {
            Some(location) if has_room || self.locations.get_mut(&location).is_some() => {
                self.locations.entry(location).or_default()
            }
            _ => &mut self.elsewhere,
        };
        *sum = sum.saturating_add(count);
    }

    /// Adds others to these. What there is no room to tell apart is counted under [`OTHER`].
    pub fn add(&mut self, others: &Self) {
        self.sums.add(&others.sums);
        others.endpoints.iter().for_each(|(endpoint, count)| self.add_endpoint(endpoint, *count));
        others.locations.iter().for_each(|(location, count)| self.add_location(Some(*location), *count));
        self.elsewhere = self.elsewhere.saturating_add(others.elsewhere);
    }

    /// How many numbers there are that are not nothing.
    #[must_use]
    pub fn fields(&self) -> usize {
        let numbers = self.sums.numbers().chain([&self.elsewhere]);
        numbers.filter(|count| **count > 0).count() + self.endpoints.len() + self.locations.len()
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    fn has_room(&self) -> bool {
        self.fields() < MAX_FIELDS
    }

    /// Tells endpoints and locations apart no longer: the memory of an instance that cannot write what it counts.
    pub fn fold(&mut self) {
        let sum = |counts: &mut dyn Iterator<Item = &u64>| counts.fold(0, |sum: u64, count| sum.saturating_add(*count));
        let endpoints = sum(&mut std::mem::take(&mut self.endpoints).values());
        if endpoints > 0 {
            self.endpoints.insert(Arc::from(OTHER), endpoints);
        }
        let locations = sum(&mut std::mem::take(&mut self.locations).values());
        self.elsewhere = self.elsewhere.saturating_add(locations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::DenialReason;

    #[test]
    fn what_there_is_no_room_for_is_other_and_nothing_is_lost() {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, 1_000);
        for number in 0..1_000 {
            counts.add_endpoint(&format!("/{number}").into(), 1);
            counts.add_location(Location::new(&format!("L{number}")).ok(), 1);
        }
        assert!(counts.fields() <= MAX_FIELDS + 2);
        assert_eq!(counts.endpoints().map(|(_, count)| count).sum::<u64>(), 1_000);
        assert_eq!(counts.locations().map(|(_, count)| count).sum::<u64>(), 1_000);
        counts.fold();
        assert_eq!(counts.endpoints().collect::<Vec<_>>(), [(OTHER, 1_000)]);
        assert_eq!(counts.locations().collect::<Vec<_>>(), [(OTHER, 1_000)]);
        assert_eq!(counts.requests(), 1_000);
    }

    #[test]
    fn errors_are_denials_and_answers_of_4xx_and_5xx() {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, 10);
        counts.add_outcome(Outcome::Denied(DenialReason::KeyExpired), 3);
        counts.add_outcome(Outcome::Denied(DenialReason::MissingKey), 100);
        counts.add_answer(Answered::Success, 7);
        counts.add_answer(Answered::ClientError, 2);
        counts.add_answer(Answered::ServerError, 1);
        assert_eq!((counts.requests(), counts.errors()), (13, 6));
    }

    #[test]
    fn nothing_is_too_many() {
        let mut counts = Counts::default();
        for _ in 0..3 {
            counts.add_outcome(Outcome::Admitted, u64::MAX);
            counts.add_answer(Answered::ServerError, u64::MAX);
            counts.add_endpoint(&"/".into(), u64::MAX);
            counts.add_location(None, u64::MAX);
            let copy = counts.clone();
            counts.add(&copy);
        }
        let _ = (counts.requests(), counts.errors());
        counts.fold();
    }
}
