//! Who counts requests, and gets it wrong.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::{MemoryStore, Store, StoreError};
use keygate_core::usage::batch::{Batch, Delta, LastError, LastUse, Mark, Writer};
use keygate_core::usage::book::{Account, Book, is_next};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::period::{Day, Hour, Month};
use keygate_core::usage::subject::Subject;
use keygate_testkit::sample;
use tokio::task::yield_now;

use super::bent::Bend;

type Last = (Option<LastUse>, Option<LastError>);

/// Counts in a memory store.
#[derive(Debug)]
pub(crate) struct Miscounter {
    inner: MemoryStore,
    bend: Bend,
    /// The latest hour that was told.
    latest: Mutex<Hour>,
    /// What was told last of each subject.
    last: Mutex<BTreeMap<Subject, Last>>,
    /// What was counted in the place of the memory store.
    book: Mutex<Book>,
    /// What is answered in the place of what there is.
    instead: Mutex<BTreeMap<Subject, Option<Account>>>,
}

/// A writer nobody else is.
fn nobody() -> Writer {
    Writer(u64::from_be_bytes(sample::random()) | 1)
}

fn without_deltas(batch: &Batch) -> Arc<Batch> {
    Arc::new(Batch { deltas: Vec::new(), ..batch.clone() })
}

/// So many of its endpoints and no more.
fn cut(counts: &Counts, endpoints: usize) -> Counts {
    let mut cut = Counts::default();
    counts.outcomes().for_each(|(outcome, count)| cut.add_outcome(outcome, count));
    counts.answers().for_each(|(answered, count)| cut.add_answer(answered, count));
    counts.endpoints().take(endpoints).for_each(|(endpoint, count)| cut.add_endpoint(&endpoint.into(), count));
    counts.locations().for_each(|(location, count)| cut.add_location(location.parse().ok(), count));
    cut
}

/// What is left of the numbers in 32 bits.
fn wrapped(counts: &Counts) -> Counts {
    let mut wrapped = Counts::default();
    let wrap = |count| count & u64::from(u32::MAX);
    counts.outcomes().for_each(|(outcome, count)| wrapped.add_outcome(outcome, wrap(count)));
    counts.answers().for_each(|(answered, count)| wrapped.add_answer(answered, wrap(count)));
    wrapped
}

impl Miscounter {
    pub(crate) fn new(inner: MemoryStore, bend: Bend) -> Self {
        let (latest, last, book, instead) = Default::default();
        Self { inner, bend, latest, last, book, instead }
    }

    fn is(&self, bend: Bend) -> bool {
        self.bend == bend
    }

    fn subject(&self, subject: &Subject) -> Subject {
        match subject {
            Subject::User(_, user) if self.is(Bend::CountsOneUserAsAnother) => {
                Subject::User("everybody".parse().unwrap(), user.clone())
            }
            subject => subject.clone(),
        }
    }

    fn delta(&self, subject: &Subject, delta: &Delta) -> Delta {
        let mut bent = delta.clone();
        match self.bend {
            Bend::CountsByTheDay => {
                bent.hours.clear();
                for (hour, counts) in &delta.hours {
                    bent.hours.entry(Hour::of(hour.day().start())).or_default().add(counts);
                }
            }
            Bend::KnowsNoGoingBack => {
                let mut latest = self.latest.lock().unwrap();
                bent.hours.clear();
                for (hour, counts) in delta.hours.iter().filter(|(hour, _)| **hour >= *latest) {
                    bent.hours.insert(*hour, counts.clone());
                }
                *latest = bent.hours.keys().copied().fold(*latest, Hour::max);
            }
            Bend::DropsWhatIsAhead => {
                let next = Hour(Hour::of(sample::now()).0 + 1);
                bent.hours.clear();
                for (hour, counts) in delta.hours.iter().filter(|(hour, _)| **hour <= next) {
                    bent.hours.insert(*hour, counts.clone());
                }
            }
            Bend::CountsIn32Bits => bent.hours.values_mut().for_each(|counts| *counts = wrapped(counts)),
            Bend::FoldsWhatItCounts => bent.hours.values_mut().for_each(Counts::fold),
            Bend::DropsWhatThereIsNoRoomFor => bent.hours.values_mut().for_each(|counts| *counts = cut(counts, 20)),
            Bend::TakesNeighboursForOne => {
                for addresses in bent.addresses.values_mut() {
                    let first = |address: &std::net::IpAddr| match address {
                        std::net::IpAddr::V4(address) => address.octets()[0],
                        std::net::IpAddr::V6(address) => address.octets()[0],
                    };
                    *addresses = addresses.iter().map(|address| [first(address), 0, 0, 0].into()).collect();
                }
            }
            Bend::TakesAllMonthsForOne => {
                let month = Hour::of(sample::now()).month();
                bent.addresses.clear();
                delta.addresses.values().flatten().for_each(|address| bent.add_address(month, *address));
                bent.keys.clear();
                let keys = delta.keys.values().flatten();
                keys.for_each(|(key, count)| *bent.keys.entry(month).or_default().entry(*key).or_default() += count);
            }
            Bend::BelievesTheLastTold => {
                let mut last = self.last.lock().unwrap();
                let last = last.entry(subject.clone()).or_default();
                *last = (delta.last_use.or(last.0), delta.last_error.or(last.1));
            }
            _ => {}
        }
        bent
    }

    fn batch(&self, batch: &Batch) -> Arc<Batch> {
        let most = if self.is(Bend::TakesInTheFirstOfMany) { 100 } else { usize::MAX };
        let deltas = batch.deltas.iter().take(most);
        let deltas = deltas.map(|(subject, delta)| (self.subject(subject), self.delta(subject, delta))).collect();
        Arc::new(Batch { deltas, ..*batch })
    }

    /// Counts what is in a batch, whatever its number.
    async fn count(&self, bucket: u16, batch: &Batch) -> Result<(), StoreError> {
        let batch = Arc::new(Batch { after: 0, number: 1, deltas: batch.deltas.clone() });
        self.inner.record_usage(bucket, nobody(), &[batch]).await.map(drop)
    }

    pub(crate) async fn record(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        let mut mark = self.inner.record_usage(bucket, writer, &[]).await?;
        let marks: Vec<_> = batches.iter().map(|batch| without_deltas(batch)).collect();
        // Whoever takes them in one after another passes over those that are not next.
        let mut next = Vec::new();
        for batch in batches {
            if is_next(mark, batch) {
                mark = batch.number;
                next.push(batch);
            }
        }
        match self.bend {
            Bend::CountsWhateverComes => {
                for batch in batches {
                    self.count(bucket, batch).await?;
                }
                self.inner.record_usage(bucket, writer, &marks).await
            }
            Bend::PassesOverGaps => {
                let mut mark = self.inner.record_usage(bucket, writer, &[]).await?;
                for batch in batches {
                    let batch = Arc::new(Batch { after: mark, ..(**batch).clone() });
                    mark = self.inner.record_usage(bucket, writer, &[batch]).await?;
                }
                Ok(mark)
            }
            Bend::BelievesEveryClock => {
                let latest = batches.iter().flat_map(|batch| &batch.deltas).filter_map(|(_, delta)| delta.latest());
                let now = latest.fold(sample::now(), Ord::max);
                let mut book = self.book.lock().unwrap();
                Ok(book.record(writer, batches.iter().map(|batch| &**batch), now, |_| true))
            }
            Bend::CountsKeysThatAreGone => {
                let mut book = self.book.lock().unwrap();
                Ok(book.record(writer, batches.iter().map(|batch| &**batch), sample::now(), |_| true))
            }
            Bend::DropsBatchesOfKeysThatAreGone => {
                let mut taken_in = Vec::new();
                for batch in batches {
                    let mut is_whole = true;
                    for (subject, _) in &batch.deltas {
                        if let Subject::Key(id) = subject {
                            is_whole &= self.inner.record(*id).await?.is_some();
                        }
                    }
                    taken_in.push(if is_whole { Arc::clone(batch) } else { without_deltas(batch) });
                }
                self.inner.record_usage(bucket, writer, &taken_in).await
            }
            Bend::SharesMarks => self.inner.record_usage(bucket, Writer(1), batches).await,
            Bend::LooksAtTheMarkBeforeItCounts | Bend::CountsBeforeItMarks => {
                if self.is(Bend::LooksAtTheMarkBeforeItCounts) {
                    yield_now().await;
                }
                for batch in next {
                    self.count(bucket, batch).await?;
                }
                yield_now().await;
                self.inner.record_usage(bucket, writer, &marks).await
            }
            Bend::MarksBeforeItCounts => {
                let mark = self.inner.record_usage(bucket, writer, &marks).await?;
                yield_now().await;
                for batch in next {
                    self.count(bucket, batch).await?;
                }
                Ok(mark)
            }
            _ => {
                let batches: Vec<_> = batches.iter().map(|batch| self.batch(batch)).collect();
                self.inner.record_usage(bucket, writer, &batches).await
            }
        }
    }

    pub(crate) async fn usage(
        &self,
        subject: &Subject,
        days: RangeInclusive<Day>,
    ) -> Result<Option<Account>, StoreError> {
        if let Some(instead) = self.instead.lock().unwrap().get(subject) {
            return Ok(instead.clone());
        }
        if self.is(Bend::BelievesEveryClock) || self.is(Bend::CountsKeysThatAreGone) {
            return Ok(self.book.lock().unwrap().account(subject, days, sample::now()));
        }
        let days = if self.is(Bend::TellsAllDays) { Day(0)..=Day(u32::MAX) } else { days };
        let mut account = self.inner.usage(&self.subject(subject), days).await?;
        if let (Some(account), Some((used, failed))) = (&mut account, self.last.lock().unwrap().get(subject)) {
            (account.series.last_use, account.series.last_error) = (*used, *failed);
        }
        Ok(account)
    }

    pub(crate) async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        let mut keys = keys.to_vec();
        if self.is(Bend::SortsTheKeys) {
            keys.sort_unstable();
        }
        let mut uses = self.inner.last_uses(&keys).await?;
        if self.is(Bend::LeavesOutWhatWasNeverUsed) {
            uses.retain(Option::is_some);
        }
        Ok(uses)
    }

    pub(crate) async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        if self.is(Bend::RanksTheOldestOfEqualsFirst) {
            let mut keys = self.inner.most_used(organization, month, usize::MAX).await?;
            keys.sort_unstable_by_key(|(key, count)| (std::cmp::Reverse(*count), *key));
            keys.truncate(limit);
            return Ok(keys);
        }
        let limit = if self.is(Bend::RanksAsManyAsThereAre) { usize::MAX } else { limit };
        self.inner.most_used(organization, month, limit).await
    }

    /// Before a deletion, of which nobody knows yet whether it is refused.
    pub(crate) async fn deleting(&self, id: KeyId) -> Result<(), StoreError> {
        let subject = Subject::Key(id);
        let instead = match self.bend {
            Bend::DeletesTheRecordAlone => self.inner.usage(&subject, Day(0)..=Day(u32::MAX)).await?,
            Bend::ErasesBeforeItCompares => None,
            Bend::CountsKeysThatAreGone => {
                self.book.lock().unwrap().forget(&subject);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.instead.lock().unwrap().insert(subject, instead);
        Ok(())
    }
}
