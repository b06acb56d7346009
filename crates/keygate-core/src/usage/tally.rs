//! What one stripe of a meter has counted since it was last emptied: plain numbers.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use smallvec::SmallVec;

use super::batch::{Delta, LastError, LastUse};
use super::counts::{Counts, MAX_ENDPOINT_BYTES, OTHER};
use super::location::Location;
use super::names;
use super::outcome::{ANSWERS, Answered, Failure, OUTCOMES, Outcome};
use super::period::Hour;
use crate::clock::to_millis;
use crate::scope::Scope;

/// How many endpoints, and how many locations, a stripe tells apart between two emptyings.
const TOLD_APART: usize = 32;
/// How many different addresses it remembers.
const ADDRESSES: usize = 64;
/// For how many emptyings the name of an endpoint is kept that nothing was counted of.
const KEPT_UNUSED: u8 = 60;

const HOUR_MILLIS: i64 = 3_600_000;

/// A decision over a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision<'a> {
    pub(crate) at: DateTime<Utc>,
    pub(crate) outcome: Outcome,
    pub(crate) address: Option<IpAddr>,
    pub(crate) location: Option<Location>,
    pub(crate) endpoint: Option<&'a str>,
    /// That its key had to cover.
    pub(crate) scopes: &'a Arc<[Scope]>,
}

/// In this order in memory: what every request changes is in adjacent lines.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Tally {
    hour: Hour,
    is_used: bool,
    /// `address` is among `addresses`, as far as they have room.
    is_among: bool,
    /// What `asked` asks for is among `scopes`, as far as they have room.
    is_told: bool,
    /// There is a `location`.
    is_located: bool,
    address: Option<IpAddr>,
    /// Milliseconds since 1970; 0 is never.
    used_at: i64,
    /// What was asked for first since the stripe was emptied, or before.
    asked: Option<Arc<[Scope]>>,
    /// Most keys are used on one, whose place is then in the same lines.
    endpoints: SmallVec<[Endpoint; 1]>,
    answers: [u32; ANSWERS],
    outcomes: [u32; OUTCOMES],
    location: Option<Location>,
    locations: Vec<(Location, u32)>,
    elsewhere: u32,
    addresses: Vec<IpAddr>,
    last_error: Option<LastError>,
    scopes: Vec<Scope>,
    /// What was counted in other hours.
    others: Option<Box<Delta>>,
}

/// The names stay when a stripe is emptied: a route that is used once is used again.
#[derive(Debug)]
struct Endpoint {
    name: Arc<str>,
    count: u32,
    unused: u8,
}

/// The hour that a request of so many milliseconds is counted in.
fn hour_of(millis: i64) -> Hour {
    Hour(u32::try_from(millis.max(0) / HOUR_MILLIS).unwrap_or(u32::MAX))
}

impl Tally {
    /// Counts a decision, and says whether it is the first since the stripe was emptied; and in which hour it is counted.
    pub(super) fn decided(&mut self, decision: &Decision<'_>) -> (bool, Hour) {
        let millis = decision.at.timestamp_millis();
        let hour = hour_of(millis);
        self.turn(hour);
        if let Some(place) = decision.outcome.place() {
            self.count(|tally| &mut tally.outcomes[place]);
        }
        if !self.is_among || self.address != decision.address {
            decision.address.into_iter().for_each(|address| self.came_from(address));
            self.is_among = true;
        }
        (self.used_at, self.address) = (millis, decision.address);
        if self.is_located || decision.location.is_some() {
            (self.is_located, self.location) = (decision.location.is_some(), decision.location);
            decision.location.into_iter().for_each(|location| self.at_location(location));
        }
        if let Some(endpoint) = decision.endpoint {
            self.for_endpoint(endpoint);
        }
        if decision.outcome == Outcome::Admitted && !decision.scopes.is_empty() {
            self.used(decision.scopes);
        }
        if let Outcome::Denied(reason) = decision.outcome {
            self.last_error = Some(LastError { at: to_millis(decision.at), failure: Failure::Denied(reason) });
        }
        (!std::mem::replace(&mut self.is_used, true), hour)
    }

    /// Counts the answer to a request that was decided over in `hour`, and says whether it is the first since the stripe was
    /// emptied.
    pub(super) fn answered(&mut self, hour: Hour, answered: Answered, failed_at: Option<DateTime<Utc>>) -> bool {
        self.turn(hour);
        self.count(|tally| &mut tally.answers[answered.place()]);
        if let Some(at) = failed_at {
            self.last_error = Some(LastError { at: to_millis(at), failure: Failure::Answered(answered) });
        }
        !std::mem::replace(&mut self.is_used, true)
    }

    /// Counts in this hour from now on.
    fn turn(&mut self, hour: Hour) {
        if self.hour != hour {
            self.put_aside();
            self.hour = hour;
        }
    }

    fn count(&mut self, place: impl Fn(&mut Self) -> &mut u32) {
        if *place(self) == u32::MAX {
            self.put_aside();
        }
        *place(self) += 1;
    }

    fn came_from(&mut self, address: IpAddr) {
        if self.addresses.len() < ADDRESSES && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    fn used(&mut self, asked: &Arc<[Scope]>) {
        // A route asks for the same each time: the very same list, as it is held here. It is seldom taken hold of, since all threads
        // write to its count.
        let is_held = self.asked.as_ref().is_some_and(|held| Arc::ptr_eq(held, asked));
        if is_held && self.is_told {
            return;
        }
        for scope in asked.iter() {
            if self.scopes.len() < TOLD_APART && !self.scopes.contains(scope) {
                self.scopes.push(scope.clone());
            }
        }
        if !self.is_told {
            self.is_told = true;
            if !is_held {
                self.asked = Some(Arc::clone(asked));
            }
        }
    }

    fn at_location(&mut self, location: Location) {
        if let Some((_, count)) = self.locations.iter_mut().find(|(known, _)| *known == location) {
            *count = count.saturating_add(1);
        } else if self.locations.len() < TOLD_APART {
            self.locations.push((location, 1));
        } else {
            self.elsewhere = self.elsewhere.saturating_add(1);
        }
    }

    fn for_endpoint(&mut self, name: &str) {
        let has_room = self.endpoints.len() < TOLD_APART;
        let name = if name.len() > MAX_ENDPOINT_BYTES { OTHER } else { name };
        let known = self.endpoints.iter().position(|endpoint| *endpoint.name == *name);
        let place = match known {
            Some(place) => place,
            None => {
                let name = if has_room { name } else { OTHER };
                // The place of the others is beyond the last that is told apart.
                self.endpoints.iter().position(|endpoint| *endpoint.name == *name).unwrap_or_else(|| {
                    self.endpoints.push(Endpoint { name: names::shared(name), count: 0, unused: 0 });
                    self.endpoints.len() - 1
                })
            }
        };
        if let Some(endpoint) = self.endpoints.get_mut(place) {
            endpoint.count = endpoint.count.saturating_add(1);
        }
    }

    /// Moves what was counted in the present hour to what was counted in others.
    fn put_aside(&mut self) {
        let mut counts = Counts::default();
        for (outcome, count) in Outcome::ALL.into_iter().zip(std::mem::take(&mut self.outcomes)) {
            counts.add_outcome(outcome, count.into());
        }
        for (answered, count) in Answered::ALL.into_iter().zip(std::mem::take(&mut self.answers)) {
            counts.add_answer(answered, count.into());
        }
        for endpoint in &mut self.endpoints {
            let count = std::mem::take(&mut endpoint.count);
            endpoint.unused = if count > 0 { 0 } else { endpoint.unused.saturating_add(1) };
            counts.add_endpoint(&endpoint.name, count.into());
        }
        self.endpoints.retain(|endpoint| endpoint.unused < KEPT_UNUSED && *endpoint.name != *OTHER);
        for (location, count) in self.locations.drain(..) {
            counts.add_location(Some(location), count.into());
        }
        let elsewhere = std::mem::take(&mut self.elsewhere);
        counts.add_location(None, elsewhere.into());
        if counts.fields() == 0 && self.addresses.is_empty() {
            return;
        }
        let others = self.others.get_or_insert_default();
        if counts.fields() > 0 {
            others.hours.entry(self.hour).or_default().add(&counts);
        }
        self.is_among = false;
        for address in self.addresses.drain(..) {
            others.add_address(self.hour.month(), address);
        }
    }

    /// Takes all that was counted.
    pub(super) fn take(&mut self) -> Option<Delta> {
        if !std::mem::take(&mut self.is_used) {
            return None;
        }
        self.put_aside();
        let mut delta = self.others.take().map_or_else(Delta::default, |others| *others);
        let at =
            DateTime::from_timestamp_millis(std::mem::take(&mut self.used_at)).filter(|at| at.timestamp_millis() != 0);
        delta.used(at.map(|at| LastUse { at, address: self.address, location: self.location }));
        delta.failed(self.last_error.take());
        self.is_told = false;
        delta.scopes.extend(self.scopes.drain(..));
        Some(delta)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use chrono::TimeDelta;

    use super::*;
    use crate::denial::DenialReason;

    fn decision(at: DateTime<Utc>) -> Decision<'static> {
        Decision {
            at,
            outcome: Outcome::Admitted,
            address: None,
            location: None,
            endpoint: Some("/reports"),
            scopes: &NOTHING,
        }
    }

    static NOTHING: LazyLock<Arc<[Scope]>> = LazyLock::new(Arc::default);

    #[test]
    fn scopes_are_told_each_time_however_they_are_asked_for() {
        let now = Utc::now();
        let mut tally = Tally::default();
        let list = |scopes: &[&str]| scopes.iter().map(|scope| Scope::new(scope).unwrap()).collect::<Arc<[Scope]>>();
        let (one, two) = (list(&["a"]), list(&["a", "b"]));
        for _ in 0..2 {
            for scopes in [&one, &one, &two, &list(&["c"]), &one] {
                tally.decided(&Decision { scopes, ..decision(now) });
            }
            let told: Vec<_> = tally.take().unwrap().scopes.iter().map(ToString::to_string).collect();
            assert_eq!(told, ["a", "b", "c"]);
        }
    }

    #[test]
    fn what_is_counted_is_taken_once_by_its_hours() {
        let at: DateTime<Utc> = "2026-03-31T23:59:59Z".parse().unwrap();
        let mut tally = Tally::default();
        assert!(tally.take().is_none());
        let (is_first, hour) = tally.decided(&decision(at));
        assert!(is_first);
        let address = "10.0.0.1".parse().ok();
        let later = at + TimeDelta::seconds(2);
        let outcome = Outcome::Denied(DenialReason::RateLimitExceeded);
        let (is_first, _) = tally.decided(&Decision { address, outcome, ..decision(later) });
        assert!(!is_first);
        // The answer to the first request, which is counted with it.
        assert!(!tally.answered(hour, Answered::Success, None));
        let delta = tally.take().unwrap();
        let by_hour: Vec<_> =
            delta.hours.values().map(|counts| (counts.requests(), counts.answers().count())).collect();
        assert_eq!(by_hour, [(1, 1), (1, 0)]);
        assert_eq!(delta.addresses.len(), 1);
        assert_eq!(delta.last_use, Some(LastUse { at: later, address, location: None }));
        assert_eq!(delta.last_error.map(|error| error.at), Some(later));
        assert!(tally.take().is_none());
    }

    #[test]
    fn what_it_tells_apart_is_bounded_and_nothing_is_lost() {
        let now = Utc::now();
        let mut tally = Tally::default();
        for number in 0..1_000_u32 {
            let (endpoint, address) = (format!("/{number}"), IpAddr::from(number.to_be_bytes()));
            let location = Location::new(&format!("L{number}")).ok();
            let decision = Decision { endpoint: Some(&endpoint), address: Some(address), location, ..decision(now) };
            tally.decided(&decision);
        }
        tally.decided(&Decision { endpoint: Some(&"x".repeat(MAX_ENDPOINT_BYTES + 1)), ..decision(now) });
        let delta = tally.take().unwrap();
        let counts = delta.hours.values().next().unwrap();
        assert_eq!(counts.requests(), 1_001);
        assert_eq!(counts.endpoints().map(|(_, count)| count).sum::<u64>(), 1_001);
        assert_eq!(counts.locations().map(|(_, count)| count).sum::<u64>(), 1_000);
        assert!(counts.endpoints().count() <= TOLD_APART + 1);
        assert_eq!(delta.addresses.values().map(std::collections::BTreeSet::len).sum::<usize>(), ADDRESSES);
    }

    #[test]
    fn a_name_is_kept_while_it_is_used_now_and_then() {
        let now = Utc::now();
        let mut tally = Tally::default();
        tally.decided(&decision(now));
        tally.take();
        assert_eq!(tally.endpoints.len(), 1);
        for _ in 0..KEPT_UNUSED {
            tally.decided(&Decision { endpoint: None, ..decision(now) });
            tally.take();
        }
        assert_eq!(tally.endpoints.len(), 0);
    }
}
