//! What was counted: how batches are taken in, and how what there is of them is read. `scripts/record_usage.lua` says how a
//! batch gets there.
//!
//! A subject's entries are in its bucket, under names that nobody is told of, and each ends by itself: a day's breakdown and
//! a month's addresses and ranking when [`book`](keygate_core::usage::book) keeps them no longer, the series 36 months after
//! its last use.

mod batch;
mod packed;
mod read;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use keygate_core::key::{Bucket, KeyId};
use keygate_core::names::OrganizationId;
use keygate_core::store::StoreError;
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::{Account, BREAKDOWN_DAYS, DISTINCT_MONTHS, latest};
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;

use super::RedisStore;
use super::reply::{read, unexpected};
use crate::link::{Script, in_time};
use crate::scripts;
use batch::written;

/// The longest that an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Subjects of one call, unless a single batch has more: what holds up all others at the store for some milliseconds.
const SUBJECTS: usize = 512;
/// How often a call is told anew because it was ahead of the store's clock, which may have been set back meanwhile.
const TRIES: usize = 2;

impl RedisStore {
    pub(super) async fn record_batches(
        &self,
        bucket: u16,
        writer: Writer,
        batches: &[Arc<Batch>],
    ) -> Result<Mark, StoreError> {
        self.record_at(&scripts::RECORD_USAGE, None, bucket, writer, batches).await
    }

    /// Batches with a script, at a time that the call says if it is one that is told.
    async fn record_at(
        &self,
        script: &'static Script,
        time: Option<i64>,
        bucket: u16,
        writer: Writer,
        batches: &[Arc<Batch>],
    ) -> Result<Mark, StoreError> {
        let bucket = Bucket::of(u64::from(bucket));
        let mark_name = self.layout.usage_mark(bucket, writer);
        // One that is not numbered later than the one before it is never the next.
        let batches: Vec<&Batch> =
            batches.iter().map(|batch| &**batch).filter(|batch| batch.number > batch.after).collect();
        if batches.is_empty() {
            let mut get = redis::cmd("GET");
            get.arg(&mark_name);
            let held: Option<Vec<u8>> = named(&mark_name, in_time(self.patience(), self.link.query(&get)).await)?;
            return held.map_or(Ok(0), |bytes| number(&bytes).ok_or_else(|| damaged(&mark_name)));
        }
        let mut there = 0;
        // Nobody but the store knows what is ahead of its clock; it says what its time is where something is.
        let mut until = None;
        for batches in calls(&batches) {
            let mut tries = 0;
            there = loop {
                let call = written(script, &self.layout, bucket, &mark_name, batches, until)?;
                let call = match time {
                    Some(time) => call.arg(time),
                    None => call,
                };
                let answer: Vec<Vec<u8>> = read(in_time(self.patience(), self.link.run(&call)).await)?;
                let [word, bytes, names @ ..] = answer.as_slice() else { return Err(unexpected()) };
                match word.as_slice() {
                    b"mark" => {
                        self.passes_over(names);
                        break number(bytes).ok_or_else(unexpected)?;
                    }
                    b"damaged" => return Err(damaged(String::from_utf8_lossy(bytes))),
                    b"ahead" if tries < TRIES => until = Some(latest(time_of(bytes).ok_or_else(unexpected)?)),
                    _ => return Err(unexpected()),
                }
                tries += 1;
            };
        }
        Ok(there)
    }

    /// What was counted of some was not taken in, as these entries cannot be added to.
    fn passes_over(&self, names: &[Vec<u8>]) {
        for name in names {
            let error = damaged(String::from_utf8_lossy(name));
            tracing::error!(%error, "what was counted is lost, as it cannot be added to this: mend it, or remove it");
        }
        self.passed_over.fetch_add(names.len() as u64, Ordering::Relaxed);
    }

    /// What there is of a subject, in one round trip. What is kept of days and months is what has not ended at the store.
    pub(super) async fn read_usage(
        &self,
        subject: &Subject,
        days: RangeInclusive<Day>,
    ) -> Result<Option<Account>, StoreError> {
        let now = Utc::now();
        let days = kept_days(now).filter(|day| days.contains(day)).collect::<Vec<_>>();
        self.read_account(subject, &days, &kept_months(now).collect::<Vec<_>>()).await
    }

    async fn read_account(
        &self,
        subject: &Subject,
        days: &[Day],
        months: &[Month],
    ) -> Result<Option<Account>, StoreError> {
        let question = read::Question { layout: &self.layout, subject, days, months };
        let answers = in_time(self.patience(), async { Ok(self.link.query_all(question.commands()).await) });
        question.account(answers.await.map_err(StoreError::unavailable)?)
    }

    pub(super) async fn read_last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        let names: Vec<String> = keys.iter().map(|id| self.layout.usage(&Subject::Key(*id))).collect();
        let heads = names.iter().map(|name| read::head(name)).collect();
        let answers = in_time(self.patience(), async { Ok(self.link.query_all(heads).await) });
        let answers = answers.await.map_err(StoreError::unavailable)?;
        names
            .iter()
            .zip(answers)
            .map(|(name, answer)| Ok(read::series(name, answer)?.and_then(|all| all.last_use)))
            .collect()
    }

    pub(super) async fn read_most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
        let name = self.layout.usage_ranking(&Subject::Organization(organization.clone()), month);
        let mut range = redis::cmd("ZRANGE");
        range.arg(&name).arg(0).arg(i64::try_from(last).unwrap_or(i64::MAX)).arg("REV").arg("WITHSCORES");
        read::ranking(&name, in_time(self.patience(), self.link.query(&range)).await)
    }

    /// All entries that there may be of a subject but of its ranking.
    pub(super) fn usage_names(&self, subject: &Subject) -> Vec<String> {
        let now = Utc::now();
        let layout = &self.layout;
        let days = kept_days(now).map(|day| layout.usage_day(subject, day));
        let months = kept_months(now)
            .flat_map(|month| [layout.usage_addresses(subject, month), layout.usage_estimate(subject, month)]);
        [layout.usage(subject)].into_iter().chain(days).chain(months).collect()
    }

    fn patience(&self) -> Duration {
        self.audience.terms().lease.min(PATIENCE)
    }
}

/// Days that a breakdown may be kept of, whatever the clocks differ by: what has ended is not there.
fn kept_days(now: DateTime<Utc>) -> impl Iterator<Item = Day> {
    let Day(today) = Day::of(now);
    (today.saturating_sub(BREAKDOWN_DAYS)..=today.saturating_add(1)).map(Day)
}

/// Months that addresses may be kept of.
fn kept_months(now: DateTime<Utc>) -> impl Iterator<Item = Month> {
    let Month(this) = Month::of(now);
    (this.saturating_sub(DISTINCT_MONTHS)..=this.saturating_add(1)).map(Month)
}

/// Batches in lots, each for one call.
fn calls<'a, 'b>(batches: &'a [&'b Batch]) -> impl Iterator<Item = &'a [&'b Batch]> {
    let mut left = batches;
    std::iter::from_fn(move || {
        let mut subjects = 0;
        let fits = left.iter().take_while(|batch| {
            subjects += batch.deltas.len();
            subjects <= SUBJECTS
        });
        let (lot, rest) = left.split_at(fits.count().max(1).min(left.len()));
        left = rest;
        (!lot.is_empty()).then_some(lot)
    })
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().map(u64::from_be_bytes).ok()
}

fn time_of(bytes: &[u8]) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(number(bytes)?.try_into().ok()?)
}

fn damaged(name: impl Into<String>) -> StoreError {
    StoreError::damaged(name, "its form is not one that this version of keygate knows")
}

/// Reads an answer about an entry, which is damaged where it is of another kind.
fn named<T: redis::FromRedisValue>(
    name: &str,
    answer: Result<redis::Value, redis::RedisError>,
) -> Result<T, StoreError> {
    match answer {
        Err(error) if error.code() == Some("WRONGTYPE") => Err(StoreError::damaged(name, error)),
        answer => read(answer),
    }
}
