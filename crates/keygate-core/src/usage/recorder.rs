//! An instance's side of usage: empties the meters that were used, and tells the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::batch::{Delta, Mark, Writer};
use super::book::RANKED;
use super::outbox::{Outbox, Told};
use super::statistics::{Counters, UsageStatistics, Waiting, add};
use super::subject::Subject;
use crate::anomaly::Sentry;
use crate::cache::Entry;
use crate::clock::Clock;
use crate::complaints::Complaint;
use crate::record::Key;
use crate::store::{Store, StoreError};
use crate::unique::unique;

/// How often meters are emptied and the store is told.
const EVERY: Duration = Duration::from_secs(1);
/// How often the store is told in one second, where there is more than fits in one call for a bucket.
const ROUNDS: usize = 256;
/// How many buckets are told of at once.
const AT_ONCE: usize = 64;
/// How many numbers may wait to be told. Above it, endpoints, locations and addresses are told apart no longer.
const MAX_WAITING: usize = 1 << 20;
/// How many deltas of acknowledged batches are kept for the case that the store forgets them, of half a kilobyte or so each. With
/// more than that in ten seconds, the oldest go early.
const MAX_KEPT: usize = 200_000;
/// How many keys are listed in one list before whoever lists one more empties some.
const MAX_LISTED: usize = 8_192;
/// How many meters are emptied before others may run.
const EMPTIED_AT_ONCE: usize = 256;
/// How long the last of a manager's clones still tells what was counted, when it goes without having
/// [left](crate::manager::ApiKeyManager::leave).
const LAST_WORDS: Duration = Duration::from_secs(5);
/// In how many lists there are those meters that were used: threads that list one seldom meet.
const LISTS: usize = 16;

/// Counts what keys are used for.
pub(crate) struct Recorder {
    books: Arc<Books>,
    working: Mutex<Option<JoinHandle<()>>>,
    myself: Weak<Self>,
}

struct Books {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    used: [Mutex<Vec<Arc<Entry>>>; LISTS],
    outboxes: Mutex<HashMap<u16, Outbox>>,
    /// One who tells at a time: a bucket's calls are answered in their order.
    telling: tokio::sync::Mutex<()>,
    /// Who looks at what is counted.
    sentry: Arc<Sentry>,
    counters: Counters,
    complaint: Complaint,
}

impl Recorder {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, sentry: Arc<Sentry>) -> Arc<Self> {
        let books = Arc::new(Books {
            store,
            clock,
            sentry,
            used: Default::default(),
            outboxes: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            counters: Counters::default(),
            complaint: Complaint::default(),
        });
        Arc::new_cyclic(|myself| Self { books, working: Mutex::default(), myself: Weak::clone(myself) })
    }

    /// Lists a key whose meter is to be emptied.
    #[cold]
    pub(crate) fn list(&self, entry: Arc<Entry>) {
        let place = usize::from(entry.key().id.as_bytes()[15]) % LISTS;
        let list = &self.books.used[place];
        let listed = {
            let mut used = lock(list);
            used.push(entry);
            used.len()
        };
        if listed >= MAX_LISTED {
            // Nobody empties them: there is no runtime, or it is too slow for keys that are not kept.
            self.books.drain_some(list, EMPTIED_AT_ONCE);
        }
        self.see_to_it();
    }

    /// When it is.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.books.clock.now()
    }

    /// Counts a text that is no key of this deployment.
    pub(crate) fn forged(&self) {
        self.books.counters.forged.add();
    }

    /// Begins to tell each second, unless somebody does.
    fn see_to_it(&self) {
        let mut working = lock(&self.working);
        // A runtime may end before the manager does, as each of actix's workers has one.
        if working.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let recorder = Weak::clone(&self.myself);
        let at_the_end = Unlisting(Arc::downgrade(&self.books));
        *working = Some(runtime.spawn(async move {
            let _at_the_end = at_the_end;
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(recorder) = recorder.upgrade() else { return };
                let books = Arc::clone(&recorder.books);
                // Not held meanwhile: the last clone of the manager may go.
                drop(recorder);
                books.tick().await;
            }
        }));
    }

    /// Empties the meters that were used, and tells the store once.
    pub(crate) async fn tick(&self) {
        self.books.tick().await;
    }

    /// Tells the store all that was counted, for `within` at most, and says whether it has it.
    pub(crate) async fn finish(&self, within: Duration) -> bool {
        self.books.finish(within).await
    }

    pub(crate) fn statistics(&self) -> UsageStatistics {
        self.books.counters.statistics(self.books.waiting())
    }
}

/// Empties all meters when the task goes that does so: it may be that its runtime ends, and a meter that stayed on a list would
/// never have another begun.
struct Unlisting(Weak<Books>);

impl Drop for Unlisting {
    fn drop(&mut self) {
        let Some(books) = self.0.upgrade() else { return };
        for list in &books.used {
            books.drain_some(list, usize::MAX);
        }
    }
}

impl Drop for Recorder {
    /// What was counted in the last second is told by a task of its own, where there is a runtime.
    fn drop(&mut self) {
        let books = Arc::clone(&self.books);
        if books.is_told() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { books.finish(LAST_WORDS).await })),
            Err(_) => tracing::warn!(
                store = %books.store.describe(),
                "usage of the last second is lost: the manager went without having left, and outside a runtime"
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    async fn tick(&self) {
        self.drain().await;
        for _ in 0..ROUNDS {
            let all = self.tell().await;
            let now = self.clock.tick();
            let mut outboxes = lock(&self.outboxes);
            outboxes.retain(|_, outbox| !outbox.is_over(now));
            if !all || outboxes.values().all(Outbox::is_empty) {
                break;
            }
        }
        // Now that the store has it, if it can: what was seen is compared with the whole of it.
        self.sentry.wake();
    }

    /// Tells all that was counted when it was called. What is counted meanwhile is told with it or later.
    async fn finish(&self, within: Duration) -> bool {
        let all = async {
            self.drain().await;
            let last: Vec<_> = lock(&self.outboxes)
                .iter_mut()
                .map(|(bucket, outbox)| (*bucket, outbox.writer(), outbox.seal_all()))
                .collect();
            let is_told = |(bucket, writer, last): &(u16, Writer, Mark)| {
                let outboxes = lock(&self.outboxes);
                // Another writer has taken its place: it was told long ago.
                outboxes
                    .get(bucket)
                    .filter(|outbox| outbox.writer() == *writer)
                    .is_none_or(|outbox| outbox.has_told(*last))
            };
            while !last.iter().all(is_told) {
                if !self.tell().await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let is_told = tokio::time::timeout(within, all).await.is_ok();
        if !is_told {
            let requests = self.waiting().requests;
            tracing::error!(
                requests,
                store = %self.store.describe(),
                "usage could not be written in time: what is not written when this process ends is lost"
            );
        }
        is_told
    }

    /// Takes what the meters have counted, and adds it to what is to be told. Dropping the future leaves the rest on its lists.
    async fn drain(&self) {
        for list in &self.used {
            // A key in use is listed anew as soon as its meter was emptied: those wait for the next time.
            let mut left = lock(list).len();
            while left > 0 {
                let some = self.drain_some(list, left.min(EMPTIED_AT_ONCE));
                if some == 0 {
                    break;
                }
                left -= some;
                // A hundred thousand keys take a fraction of a second, in which others are to run too.
                tokio::task::yield_now().await;
            }
        }
        let mut outboxes = lock(&self.outboxes);
        if outboxes.values().map(Outbox::fields).sum::<usize>() > MAX_WAITING {
            outboxes.values_mut().for_each(Outbox::fold);
            add(&self.counters.folded, 1);
            self.complaint.at(self.clock.tick(), |unsaid| {
                tracing::warn!(
                    store = %self.store.describe(),
                    unsaid,
                    "too much usage waits to be written: endpoints, locations and addresses are told apart no longer"
                );
            });
        }
        let kept = outboxes.values().map(Outbox::kept_deltas).sum::<usize>();
        if kept > MAX_KEPT {
            outboxes.values_mut().for_each(Outbox::keep_half);
        }
    }

    /// Empties the first meters of a list, at most so many, and says how many.
    fn drain_some(&self, list: &Mutex<Vec<Arc<Entry>>>, most: usize) -> usize {
        // Held from before they are off the list until they are in the outboxes, so that they are seen in one of both.
        let mut outboxes = lock(&self.outboxes);
        let used: Vec<_> = {
            let mut used = lock(list);
            let most = most.min(used.len());
            used.drain(..most).collect()
        };
        for entry in &used {
            if let Some(delta) = entry.meter().take() {
                self.sentry.offer(entry.key(), &delta);
                self.add(&mut outboxes, entry.key(), &delta);
            }
        }
        used.len()
    }

    fn add(&self, outboxes: &mut HashMap<u16, Outbox>, key: &Key, delta: &Delta) {
        let now = self.clock.tick();
        for subject in Subject::of(key) {
            let outbox = outboxes
                .entry(self.store.usage_bucket(&subject))
                .or_insert_with(|| Outbox::new(Writer(unique(self, &*self.clock))));
            let is_organization = matches!(subject, Subject::Organization(_));
            let open = outbox.open(subject, now);
            open.add(delta);
            if is_organization {
                for (hour, counts) in &delta.hours {
                    let keys = open.keys.entry(hour.month()).or_default();
                    // A store ranks no more.
                    if keys.len() < 2 * RANKED || keys.contains_key(&key.id) {
                        let requests = keys.entry(key.id).or_default();
                        *requests = requests.saturating_add(counts.requests());
                    }
                }
            }
        }
    }

    /// Tells the store of every bucket that there is something of, once; says whether all of it arrived.
    async fn tell(&self) -> bool {
        let _turn = self.telling.lock().await;
        let now = self.clock.tick();
        let calls: Vec<_> = lock(&self.outboxes)
            .iter_mut()
            .filter_map(|(bucket, outbox)| Some((*bucket, outbox.writer(), outbox.due(now)?)))
            .collect();
        let told = futures_util::stream::iter(calls).map(async |(bucket, writer, batches)| {
            match self.store.record_usage(bucket, writer, &batches).await {
                Ok(mark) => {
                    let told =
                        lock(&self.outboxes).get_mut(&bucket).map(|outbox| outbox.answered(mark, self.clock.tick()));
                    self.count(told.unwrap_or_default());
                    true
                }
                Err(error) => {
                    self.fails(&error);
                    false
                }
            }
        });
        told.buffer_unordered(AT_ONCE).fold(true, async |all, one| all && one).await
    }

    fn count(&self, told: Told) {
        let Told { batches, requests, forgotten, lost } = told;
        let counters = &self.counters;
        let counts = [
            (&counters.batches, batches),
            (&counters.told, requests),
            (&counters.told_again, forgotten),
            (&counters.lost, lost),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).for_each(|(counter, count)| add(counter, count));
        if forgotten > 0 {
            tracing::warn!(batches = forgotten, "the store has forgotten usage that it acknowledged: it is told again");
        }
        if lost > 0 {
            tracing::error!(batches = lost, "the store has forgotten usage that is kept no longer: it is lost");
        }
    }

    fn fails(&self, error: &StoreError) {
        add(&self.counters.failures, 1);
        let store = self.store.describe();
        self.complaint.at(self.clock.tick(), |unsaid| match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, store, unsaid, "usage cannot be written now, and waits");
            }
            StoreError::Damaged { .. } => {
                tracing::error!(%error, store, unsaid, "usage is not written and waits until this entry is mended or removed");
            }
        });
    }

    fn is_told(&self) -> bool {
        self.used.iter().all(|list| lock(list).is_empty()) && lock(&self.outboxes).values().all(Outbox::is_empty)
    }

    fn waiting(&self) -> Waiting {
        let outboxes = lock(&self.outboxes);
        let add = |waiting: Waiting, outbox: &Outbox| Waiting {
            requests: waiting.requests.saturating_add(outbox.waiting()),
            kept: waiting.kept + outbox.kept() as u64,
            ..waiting
        };
        let nothing = Waiting { passed_over: self.store.usage_passed_over(), ..Waiting::default() };
        outboxes.values().fold(nothing, add)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
