//! What an instance tells a store of what it has counted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::few::Few;
use super::location::Location;
use super::outcome::Failure;
use super::period::{Day, Hour, Month};
use super::subject::Subject;
use crate::clock::to_millis;
use crate::key::KeyId;
use crate::scope::Scope;

/// How many different client addresses are told of one subject at once. More are counted as requests, but not as
/// addresses.
pub const MAX_ADDRESSES: usize = 256;

/// When and from where a key was last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// When, to the millisecond.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub at: DateTime<Utc>,
    /// From which address, where it is known.
    pub address: Option<IpAddr>,
    /// From where, where a resolver says so.
    pub location: Option<Location>,
}

/// The last error of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastError {
    /// When, to the millisecond.
    pub at: DateTime<Utc>,
    /// What it was.
    pub failure: Failure,
}

/// Keeps the later of two; the one that was there where neither is.
fn keep_later<T>(kept: &mut Option<T>, other: Option<T>, at: impl Fn(&T) -> DateTime<Utc>) {
    if other.as_ref().map(&at) > kept.as_ref().map(&at) {
        *kept = other;
    }
}

impl LastUse {
    pub(super) fn keep_later(kept: &mut Option<Self>, other: Option<Self>) {
        keep_later(kept, other, |last| last.at);
    }
}

impl LastError {
    pub(super) fn keep_later(kept: &mut Option<Self>, other: Option<Self>) {
        keep_later(kept, other, |last| last.at);
    }
}

impl Serialize for LastError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.at.timestamp_millis(), self.failure.code()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LastError {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (millis, code) = <(i64, u8)>::deserialize(deserializer)?;
        let at = DateTime::from_timestamp_millis(millis);
        at.zip(Failure::of_code(code))
            .map(|(at, failure)| Self { at, failure })
            .ok_or_else(|| serde::de::Error::custom("no error that a key can have"))
    }
}

/// What has been counted of one subject and the store does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Requests, by the hour in which their key was decided over or their answer was given.
    pub hours: Few<Hour, Counts>,
    /// Which client addresses there were, at most [`MAX_ADDRESSES`] of a month.
    pub addresses: Few<Month, BTreeSet<IpAddr>>,
    /// When it was last used: let in or not.
    pub last_use: Option<LastUse>,
    /// Its last error.
    pub last_error: Option<LastError>,
    /// How many requests each key made in each month. Of an organization alone.
    pub keys: Few<Month, BTreeMap<KeyId, u64>>,
    /// Which scopes requests that were let in had asked for, a few of them. No store is told of it.
    #[serde(skip)]
    pub scopes: BTreeSet<Scope>,
}

impl Delta {
    /// Adds another to this one.
    pub fn add(&mut self, other: &Self) {
        for (hour, counts) in &other.hours {
            self.hours.entry(*hour).or_default().add(counts);
        }
        for (month, addresses) in &other.addresses {
            addresses.iter().for_each(|address| self.add_address(*month, *address));
        }
        self.used(other.last_use);
        self.failed(other.last_error);
        if self.scopes.len() < MAX_ADDRESSES {
            self.scopes.extend(other.scopes.iter().cloned());
        }
        for (month, keys) in &other.keys {
            for (key, count) in keys {
                let sum = self.keys.entry(*month).or_default().entry(*key).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }

    /// An address, if there is room for it.
    pub fn add_address(&mut self, month: Month, address: IpAddr) {
        let addresses = self.addresses.entry(month).or_default();
        if addresses.len() < MAX_ADDRESSES {
            addresses.insert(address);
        }
    }

    /// A use, if it is later than the one that is known.
    pub fn used(&mut self, last: Option<LastUse>) {
        LastUse::keep_later(&mut self.last_use, last);
    }

    /// An error, if it is later than the one that is known.
    pub fn failed(&mut self, last: Option<LastError>) {
        LastError::keep_later(&mut self.last_error, last);
    }

    /// The latest time in it: when the last of its hours and months begins, or when the last use or error was.
    #[must_use]
    pub fn latest(&self) -> Option<DateTime<Utc>> {
        let hours = self.hours.keys().map(|hour| hour.start());
        let months = self.addresses.keys().chain(self.keys.keys()).map(|month| month.start());
        let last = self.last_use.map(|last| last.at).into_iter().chain(self.last_error.map(|last| last.at));
        hours.chain(months).chain(last).max()
    }

    /// This, with what is later than `latest` as if it had been then: the hours, the months and the times that are. Nothing of
    /// it is lost.
    #[must_use]
    pub fn until(&self, latest: DateTime<Utc>) -> Cow<'_, Self> {
        let latest = to_millis(latest);
        if self.latest().is_none_or(|mine| mine <= latest) {
            return Cow::Borrowed(self);
        }
        let (hour, month) = (Hour::of(latest), Month::of(latest));
        let mut until = Self {
            last_use: self.last_use.map(|last| LastUse { at: last.at.min(latest), ..last }),
            last_error: self.last_error.map(|last| LastError { at: last.at.min(latest), ..last }),
            scopes: self.scopes.clone(),
            ..Self::default()
        };
        for (at, counts) in &self.hours {
            until.hours.entry(*at.min(&hour)).or_default().add(counts);
        }
        for (at, addresses) in &self.addresses {
            until.addresses.entry(*at.min(&month)).or_default().extend(addresses);
        }
        for (at, keys) in &self.keys {
            let sums = until.keys.entry(*at.min(&month)).or_default();
            for (key, count) in keys {
                let sum = sums.entry(*key).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        Cow::Owned(until)
    }

    /// All requests in it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.hours.values().fold(0, |sum, counts| sum.saturating_add(counts.requests()))
    }

    /// What it takes to be kept: how many numbers, addresses and keys.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.hours.values().map(Counts::fields).sum::<usize>()
            + self.addresses.values().map(BTreeSet::len).sum::<usize>()
            + self.keys.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Tells endpoints, locations, addresses, keys and the hours of a day apart no longer. How many requests there were on each
    /// day, of what outcome and answer, stays as it was.
    pub fn fold(&mut self) {
        let mut days = Few::<Day, (Hour, Counts)>::default();
        for (hour, counts) in &self.hours {
            let (last, sum) = days.entry(hour.day()).or_default();
            *last = *hour;
            sum.add(counts);
            sum.fold();
        }
        self.hours = days.values().map(|(hour, counts)| (*hour, counts.clone())).collect();
        self.addresses.clear();
        self.keys.clear();
    }
}

/// One who tells: one life of one instance, for one bucket. Random, and never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Writer(pub u64);

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store has of a writer: the number of the last batch that it took in. 0 is none.
///
/// A batch is taken in when the store's mark is the one that it comes [`after`](Batch::after), and then the mark is its
/// number; else nothing changes. So each is taken in once, in order, however often it is sent, and a store that has
/// forgotten the last ones shows it by its mark.
pub type Mark = u64;

/// Deltas of subjects of one bucket, all or none of which a store takes in. It never changes once it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The mark that it comes after: the number of the batch before it.
    pub after: Mark,
    /// Its number, greater than `after`.
    pub number: Mark,
    /// What was counted, each subject once.
    pub deltas: Vec<(Subject, Delta)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::DenialReason;
    use crate::usage::outcome::Outcome;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn counts(requests: u64) -> Counts {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests);
        counts
    }

    #[test]
    fn what_is_later_is_as_if_it_had_been_then() {
        let latest = at("2026-01-31T23:15:00.5Z");
        let hour = Hour::of(latest);
        let month = Month::of(latest);
        let [one, other] = [1, 2].map(|number| KeyId::from_bytes([number; 16]));
        let failure = Failure::Denied(DenialReason::KeyExpired);
        let mut delta = Delta {
            hours: [(Hour(hour.0 - 1), counts(1)), (hour, counts(2)), (Hour(hour.0 + 1), counts(4))].into(),
            keys: [(month, [(one, 1)].into()), (Month(month.0 + 1), [(one, 2), (other, u64::MAX)].into())].into(),
            last_use: Some(LastUse { at: at("2026-01-31T23:15:00.499Z"), address: None, location: None }),
            last_error: Some(LastError { at: at("2096-01-31T23:15:00Z"), failure }),
            ..Delta::default()
        };
        delta.hours.insert(Hour(u32::MAX), counts(8));
        delta.add_address(month, [192, 0, 2, 1].into());
        delta.add_address(Month(u32::MAX), [192, 0, 2, 1].into());
        delta.add_address(Month(u32::MAX), [192, 0, 2, 2].into());
        let until = delta.until(latest).into_owned();
        let expected = Delta {
            hours: [(Hour(hour.0 - 1), counts(1)), (hour, counts(14))].into(),
            addresses: [(month, [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()].into())].into(),
            keys: [(month, [(one, 3), (other, u64::MAX)].into())].into(),
            last_use: delta.last_use,
            last_error: Some(LastError { at: latest, failure }),
            ..Delta::default()
        };
        assert_eq!(until, expected);
        assert_eq!(until.requests(), delta.requests());
        assert!(matches!(until.until(latest), Cow::Borrowed(_)));
        assert_eq!(until.latest(), Some(latest));
        assert_eq!(Delta::default().latest(), None);
    }
}
