//! What a store makes of the batches it is sent: the model that stores are compared with, and what the memory store keeps.
//!
//! What it does with a batch is a pure function of what it has and the batch; only what is no longer kept, and what is ahead of
//! its time, depends on the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Delta, LastUse, Mark, Writer};
use super::counts::Counts;
use super::distinct::Distinct;
use super::period::{Day, Month};
use super::series::Series;
use super::subject::Subject;
use crate::key::KeyId;

/// For how many days it is kept what became of the requests of each, today among them.
pub const BREAKDOWN_DAYS: u32 = 35;
/// For how many months it is kept how many different addresses there were, and which keys were used most; this month among
/// them.
pub const DISTINCT_MONTHS: u32 = 3;
/// Of how many keys of an organization it is kept how much each was used in a month: when there are twice as many, the less
/// used half is forgotten. So what is told of the most used keys is exact where no more are used in a month, and may be too
/// little where there are more.
pub const RANKED: usize = 2_048;
/// For how long a writer that says nothing is known.
pub const WRITER_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// How far the clock of one who tells may be ahead of the store's.
pub const AHEAD: TimeDelta = TimeDelta::hours(1);

/// How much each key of an organization was used in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking(HashMap<KeyId, u64>);

impl Ranking {
    /// Adds to these.
    pub fn add(&mut self, keys: &BTreeMap<KeyId, u64>) {
        for (key, count) in keys {
            let sum = self.0.entry(*key).or_default();
            *sum = sum.saturating_add(*count);
        }
        if self.0.len() > 2 * RANKED {
            self.0 = self.most_used(RANKED).into_iter().collect();
        }
    }

    /// The keys that were used most, at most so many, the most used first.
    #[must_use]
    pub fn most_used(&self, limit: usize) -> Vec<(KeyId, u64)> {
        let mut keys: Vec<_> = self.0.iter().map(|(key, count)| (*key, *count)).collect();
        keys.sort_unstable_by_key(|(key, count)| Reverse((*count, *key)));
        keys.truncate(limit);
        keys
    }
}

/// What a store has of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Totals and series.
    pub series: Series,
    /// What became of the requests of each of the days that were asked for and are kept; a day without any is left out.
    pub days: BTreeMap<Day, Counts>,
    /// How many different addresses there were in each month that is kept.
    pub addresses: BTreeMap<Month, u64>,
}

/// Whether it is kept what became of the requests of `day`.
#[must_use]
pub fn keeps_day(day: Day, now: DateTime<Utc>) -> bool {
    day.0.saturating_add(BREAKDOWN_DAYS) > Day::of(now).0
}

/// Whether addresses and ranks of `month` are kept.
#[must_use]
pub fn keeps_month(month: Month, now: DateTime<Utc>) -> bool {
    month.0.saturating_add(DISTINCT_MONTHS) > Month::of(now).0
}

/// What nothing may be later than that a store is told of at this time. What is, is counted as if it had been then
/// ([`Delta::until`]), so that an instance whose clock is wrong by years does not bring the hours of all others to an end.
#[must_use]
pub fn latest(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_add_signed(AHEAD).unwrap_or(now)
}

/// What is kept of one subject.
#[derive(Debug, Clone, Default)]
struct Kept {
    series: Series,
    days: BTreeMap<Day, Counts>,
    addresses: BTreeMap<Month, Distinct>,
    ranking: BTreeMap<Month, Ranking>,
}

impl Kept {
    fn add(&mut self, delta: &Delta, now: DateTime<Utc>) {
        self.series.add(delta);
        for (hour, counts) in delta.hours.iter().filter(|(hour, _)| keeps_day(hour.day(), now)) {
            self.days.entry(hour.day()).or_default().add(counts);
        }
        self.days.retain(|day, _| keeps_day(*day, now));
        for (month, addresses) in delta.addresses.iter().filter(|(month, _)| keeps_month(**month, now)) {
            let distinct = self.addresses.entry(*month).or_default();
            addresses.iter().for_each(|address| distinct.insert(*address));
        }
        self.addresses.retain(|month, _| keeps_month(*month, now));
        for (month, keys) in delta.keys.iter().filter(|(month, _)| keeps_month(**month, now)) {
            self.ranking.entry(*month).or_default().add(keys);
        }
        self.ranking.retain(|month, _| keeps_month(*month, now));
    }
}

/// What was counted, of all subjects of one bucket or of several.
#[derive(Debug, Clone, Default)]
pub struct Book {
    kept: HashMap<Subject, Kept>,
    marks: HashMap<Writer, (Mark, DateTime<Utc>)>,
}

/// Whether a batch is to be taken in by one who has this mark of its writer.
#[must_use]
pub fn is_next(mark: Mark, batch: &Batch) -> bool {
    batch.after == mark && batch.number > mark
}

impl Book {
    /// Takes in each batch that comes after what there is of its writer, in order, and says what there is then. What was
    /// counted of a key that is there no longer is passed over, so that nothing of it comes back; what was counted of its
    /// user, its project and its organization is not.
    pub fn record<'a>(
        &mut self,
        writer: Writer,
        batches: impl IntoIterator<Item = &'a Batch>,
        now: DateTime<Utc>,
        is_there: impl Fn(KeyId) -> bool,
    ) -> Mark {
        self.marks.retain(|_, (_, said)| now.signed_duration_since(*said) < WRITER_KNOWN_FOR);
        let mut mark = self.marks.get(&writer).map_or(0, |(mark, _)| *mark);
        for batch in batches {
            if !is_next(mark, batch) {
                continue;
            }
            for (subject, delta) in &batch.deltas {
                if matches!(subject, Subject::Key(id) if !is_there(*id)) {
                    continue;
                }
                self.kept.entry(subject.clone()).or_default().add(&delta.until(latest(now)), now);
            }
            mark = batch.number;
            self.marks.insert(writer, (mark, now));
        }
        mark
    }

    /// What there is of a subject, and of these days. `None` where nothing was ever counted of it.
    #[must_use]
    pub fn account(
        &self,
        subject: &Subject,
        days: std::ops::RangeInclusive<Day>,
        now: DateTime<Utc>,
    ) -> Option<Account> {
        let kept = self.kept.get(subject)?;
        let day_counts = kept.days.iter().filter(|(day, _)| days.contains(day) && keeps_day(**day, now));
        let addresses = kept.addresses.iter().filter(|(month, _)| keeps_month(**month, now));
        Some(Account {
            series: kept.series.clone(),
            days: day_counts.map(|(day, counts)| (*day, counts.clone())).collect(),
            addresses: addresses.map(|(month, distinct)| (*month, distinct.len())).collect(),
        })
    }

    /// When a subject was last used.
    #[must_use]
    pub fn last_use(&self, subject: &Subject) -> Option<LastUse> {
        self.kept.get(subject)?.series.last_use
    }

    /// The keys of a subject that were used most in a month.
    #[must_use]
    pub fn most_used(&self, subject: &Subject, month: Month, limit: usize, now: DateTime<Utc>) -> Vec<(KeyId, u64)> {
        let ranking = self.kept.get(subject).and_then(|kept| kept.ranking.get(&month));
        ranking.filter(|_| keeps_month(month, now)).map_or_else(Vec::new, |ranking| ranking.most_used(limit))
    }

    /// Forgets what a subject's requests were: the key is gone.
    pub fn forget(&mut self, subject: &Subject) {
        self.kept.remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::outcome::Outcome;
    use crate::usage::period::Hour;

    const WRITER: Writer = Writer(7);

    fn there(_: KeyId) -> bool {
        true
    }

    fn batch(after: Mark, number: Mark, requests: u64, hour: Hour) -> Batch {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests);
        let delta = Delta { hours: [(hour, counts)].into(), ..Delta::default() };
        Batch { after, number, deltas: vec![(Subject::Organization("acme".parse().unwrap()), delta)] }
    }

    #[test]
    fn a_batch_is_taken_in_once_and_in_order() {
        let now = Utc::now();
        let hour = Hour::of(now);
        let subject = Subject::Organization("acme".parse().unwrap());
        let mut book = Book::default();
        let [one, two, three] = [batch(0, 1, 1, hour), batch(1, 2, 10, hour), batch(2, 3, 100, hour)];
        assert_eq!(book.record(WRITER, [&two], now, there), 0);
        assert_eq!(book.record(WRITER, [&one, &one, &two], now, there), 2);
        assert_eq!(book.record(WRITER, [&one, &two], now, there), 2);
        assert_eq!(book.record(WRITER, [&three], now, there), 3);
        assert_eq!(book.record(Writer(8), [], now, there), 0);
        let account = book.account(&subject, Day(0)..=Day(u32::MAX), now).unwrap();
        assert_eq!(account.series.requests(), 111);
        assert_eq!(account.days.values().map(Counts::requests).sum::<u64>(), 111);
    }

    #[test]
    fn a_clock_that_is_ahead_does_not_stop_the_hours() {
        let now = Utc::now();
        let hour = Hour::of(now);
        let subject = Subject::Organization("acme".parse().unwrap());
        let mut book = Book::default();
        book.record(WRITER, [&batch(0, 1, 1, Hour(hour.0 + 2)), &batch(1, 2, 10, Hour(u32::MAX))], now, there);
        book.record(WRITER, [&batch(2, 3, 100, Hour(hour.0 + 1)), &batch(3, 4, 1_000, hour)], now, there);
        let series = book.account(&subject, Day(0)..=Day(u32::MAX), now).unwrap().series;
        let hours: Vec<_> = series.hours().filter(|(_, count)| *count > 0).collect();
        assert_eq!(hours, [(hour, 1_000), (Hour(hour.0 + 1), 111)]);
        assert_eq!(series.requests(), 1_111);
    }

    #[test]
    fn of_a_key_that_is_gone_nothing_comes_back() {
        let (now, key) = (Utc::now(), Subject::Key(KeyId::from_bytes([7; 16])));
        let mut book = Book::default();
        let mut one = batch(0, 1, 5, Hour::of(now));
        one.deltas.push((key.clone(), one.deltas[0].1.clone()));
        assert_eq!(book.record(WRITER, [&one], now, |_| false), 1);
        let requests = |book: &Book, subject| Some(book.account(subject, Day(0)..=Day(0), now)?.series.requests());
        assert_eq!((requests(&book, &key), requests(&book, &one.deltas[0].0)), (None, Some(5)));
        assert_eq!(book.record(WRITER, [&one], now, there), 1, "it was told");
        assert_eq!(requests(&book, &key), None);
    }

    #[test]
    fn what_is_old_goes_by_itself() {
        let now = Utc::now();
        let subject = Subject::Organization("acme".parse().unwrap());
        let mut book = Book::default();
        book.record(WRITER, [&batch(0, 1, 1, Hour::of(now))], now, there);
        let later = now + TimeDelta::days(i64::from(BREAKDOWN_DAYS));
        let account = book.account(&subject, Day(0)..=Day(u32::MAX), later).unwrap();
        assert!(account.days.is_empty());
        assert_eq!(account.series.requests(), 1);
    }
}
