//! What was counted of requests.
//!
//! A store may have a clock of its own, and what it keeps for a time depends on it. So times are counted from now, and none
//! is so near to where something is kept no longer that the turn of a day would matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::denial::DenialReason;
use keygate_core::key::KeyId;
use keygate_core::store::Store;
use keygate_core::usage::batch::{Batch, Delta, LastError, LastUse, MAX_ADDRESSES, Mark, Writer};
use keygate_core::usage::book::{Account, BREAKDOWN_DAYS, Book, DISTINCT_MONTHS};
use keygate_core::usage::counts::{Counts, MAX_FIELDS, OTHER};
use keygate_core::usage::distinct::EXACTLY;
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::{Answered, Failure, Outcome};
use keygate_core::usage::period::{Day, Hour, Month};
use keygate_core::usage::subject::Subject;

use super::model::Dice;
use super::{AMPLE, assert_absent, create_one, created};
use crate::sample;

/// A writer that no other test has.
fn writer() -> Writer {
    Writer(u64::from_be_bytes(sample::random()) | 1)
}

/// An id that no key has.
fn no_key() -> KeyId {
    KeyId::fresh(sample::now(), None).unwrap()
}

/// A key that no other test has.
async fn key(store: &dyn Store) -> KeyId {
    created(store, sample::record(&sample::organization(), &sample::user("ann"))).await.key.id
}

/// Makes keys of these ids.
async fn create(store: &dyn Store, ids: impl IntoIterator<Item = KeyId>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records = ids.into_iter().map(|id| {
        let mut record = sample::record(&organization, &user);
        (record.key.id, record.key.lineage.root) = (id, id);
        record
    });
    let created = store.create(&organization, AMPLE, records.collect()).await.unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

fn now() -> Hour {
    Hour::of(Utc::now())
}

/// The hour that so many are before another.
fn before(hour: Hour, hours: u32) -> Hour {
    Hour(hour.0 - hours)
}

/// So many requests in an hour that were let in and answered well.
fn requests(hour: Hour, count: u64) -> Delta {
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, count);
    counts.add_answer(Answered::Success, count);
    Delta { hours: [(hour, counts)].into(), ..Delta::default() }
}

fn batch(after: Mark, number: Mark, subject: &Subject, delta: Delta) -> Arc<Batch> {
    Arc::new(Batch { after, number, deltas: vec![(subject.clone(), delta)] })
}

/// Tells of one subject, of which the batches must be.
async fn told(store: &dyn Store, subject: &Subject, writer: Writer, batches: &[Arc<Batch>]) -> Mark {
    store.record_usage(store.usage_bucket(subject), writer, batches).await.unwrap()
}

/// What was counted of a subject, of all days.
async fn account(store: &dyn Store, subject: &Subject) -> Option<Account> {
    store.usage(subject, Day(0)..=Day(u32::MAX)).await.unwrap()
}

/// All requests of a subject there ever were.
async fn total(store: &dyn Store, subject: &Subject) -> u64 {
    account(store, subject).await.map_or(0, |account| account.series.requests())
}

/// An instance that tells the store and the model the same.
struct Instance {
    store: Arc<dyn Store>,
    model: Book,
    /// The keys that are there, if not all are that it tells of.
    there: Option<BTreeSet<KeyId>>,
    /// One for each bucket, as a batch is of one.
    writers: BTreeMap<u16, (Writer, Mark)>,
}

impl Instance {
    fn of(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::clone(store), model: Book::default(), there: None, writers: BTreeMap::new() }
    }

    /// Tells of these subjects, in one batch for each bucket that they are in.
    async fn tell(&mut self, deltas: impl IntoIterator<Item = (Subject, Delta)>) {
        let mut buckets = BTreeMap::<u16, Vec<_>>::new();
        for (subject, delta) in deltas {
            buckets.entry(self.store.usage_bucket(&subject)).or_default().push((subject, delta));
        }
        for (bucket, deltas) in buckets {
            let (writer, mark) = self.writers.entry(bucket).or_insert_with(|| (writer(), 0));
            let batch = Arc::new(Batch { after: *mark, number: *mark + 1, deltas });
            *mark += 1;
            let is_there = |id| self.there.as_ref().is_none_or(|there| there.contains(&id));
            self.model.record(*writer, [&*batch], Utc::now(), is_there);
            assert_eq!(self.store.record_usage(bucket, *writer, &[batch]).await.unwrap(), *mark);
        }
    }

    /// The store has of a subject what the model has.
    async fn assert_agree(&self, subject: &Subject, note: &str) {
        let mut held = account(&*self.store, subject).await;
        let mut model = self.model.account(subject, Day(0)..=Day(u32::MAX), Utc::now());
        for account in held.iter_mut().chain(&mut model) {
            // Estimates may differ. There are few addresses where this is called, but for what a bound leaves of them.
            account.addresses.values_mut().for_each(|count| *count = (*count).min(EXACTLY as u64 + 1));
        }
        assert_eq!(held, model, "{subject}: {note}");
    }
}

/// Of the batches of a writer each is taken in once, the next one next, however often and in whatever order they come.
pub async fn a_batch_is_taken_in_once_and_in_order(store: Arc<dyn Store>) {
    let (subject, writer, hour) = (Subject::Key(key(&*store).await), writer(), now());
    let of = |after, number, count| batch(after, number, &subject, requests(hour, count));
    let [one, two, three] = [of(0, 1, 1), of(1, 2, 10), of(2, 3, 100)];
    assert_eq!(told(&*store, &subject, writer, &[]).await, 0, "a writer that never said anything");
    assert_eq!(told(&*store, &subject, writer, &[two.clone(), three.clone()]).await, 0);
    assert_eq!(account(&*store, &subject).await, None);
    assert_eq!(told(&*store, &subject, writer, &[one.clone(), one.clone(), two.clone()]).await, 2);
    assert_eq!(total(&*store, &subject).await, 11);
    assert_eq!(told(&*store, &subject, writer, &[one, two.clone()]).await, 2);
    assert_eq!(told(&*store, &subject, writer, &[two, three]).await, 3);
    assert_eq!(told(&*store, &subject, writer, &[]).await, 3);
    assert_eq!(total(&*store, &subject).await, 111);
    // A number may be any that is greater.
    assert_eq!(told(&*store, &subject, writer, &[of(3, 1 << 40, 1_000)]).await, 1 << 40);
    assert_eq!(told(&*store, &subject, writer, &[]).await, 1 << 40);
    assert_eq!(total(&*store, &subject).await, 1_111);
}

/// What comes late, with a gap before it or with no number of its own changes nothing, and is answered with the mark.
pub async fn a_batch_out_of_turn_changes_nothing(store: Arc<dyn Store>) {
    let (subject, writer, hour) = (Subject::Organization(sample::organization()), writer(), now());
    let delta = |count| {
        let mut delta = requests(hour, count);
        delta.add_address(hour.month(), "192.0.2.1".parse().unwrap());
        delta.keys = [(hour.month(), [(no_key(), count)].into())].into();
        delta.used(Some(LastUse { at: sample::now(), address: None, location: None }));
        delta
    };
    let of = |after, number| batch(after, number, &subject, delta(number));
    assert_eq!(told(&*store, &subject, writer, &[of(0, 5), of(5, 6)]).await, 6);
    let held = account(&*store, &subject).await;
    for (after, number) in [(0, 5), (5, 6), (0, 1), (4, 5), (5, 7), (7, 8), (6, 6), (6, 3), (1 << 60, (1 << 60) + 1)] {
        let mark = told(&*store, &subject, writer, &[of(after, number)]).await;
        assert_eq!(mark, 6, "the batch {number} after {after}");
        assert_eq!(account(&*store, &subject).await, held, "the batch {number} after {after}");
    }
    assert_eq!(told(&*store, &subject, writer, &[of(0, 5), of(8, 9), of(6, 7), of(5, 6)]).await, 7);
    assert_eq!(total(&*store, &subject).await, 18);
}

/// What one writer has told is nothing to the mark of another.
pub async fn writers_do_not_share_their_marks(store: Arc<dyn Store>) {
    let (subject, hour) = (Subject::Key(key(&*store).await), now());
    let [one, other] = [writer(), writer()];
    assert_eq!(told(&*store, &subject, one, &[batch(0, 1, &subject, requests(hour, 1))]).await, 1);
    assert_eq!(told(&*store, &subject, other, &[]).await, 0);
    assert_eq!(told(&*store, &subject, other, &[batch(0, 7, &subject, requests(hour, 10))]).await, 7);
    assert_eq!(told(&*store, &subject, one, &[batch(1, 2, &subject, requests(hour, 100))]).await, 2);
    assert_eq!(told(&*store, &subject, other, &[]).await, 7);
    assert_eq!(total(&*store, &subject).await, 111);
}

/// Many writers at once, each of which says everything twice: all of it is counted, once.
pub async fn concurrent_writers_are_all_counted_once(store: Arc<dyn Store>) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 20;
    let (subject, hour) = (Subject::Organization(sample::organization()), now());
    let tellers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (store, subject, writer) = (Arc::clone(&store), subject.clone(), writer());
            tokio::spawn(async move {
                for number in 1..=BATCHES {
                    let batch = batch(number - 1, number, &subject, requests(hour, 1));
                    let batches = [batch];
                    let (one, two) = tokio::join!(
                        told(&*store, &subject, writer, &batches),
                        told(&*store, &subject, writer, &batches)
                    );
                    assert_eq!((one, two), (number, number));
                }
            })
        })
        .collect();
    for teller in tellers {
        teller.await.unwrap();
    }
    let account = account(&*store, &subject).await.unwrap();
    assert_eq!(account.series.requests(), WRITERS * BATCHES);
    assert_eq!(account.days.values().map(Counts::requests).sum::<u64>(), WRITERS * BATCHES);
}

/// Whoever asks for the mark and for the figures meanwhile never finds one of them ahead of the other.
pub async fn the_mark_and_the_figures_change_together(store: Arc<dyn Store>) {
    const BATCHES: u64 = 100;
    let (subject, writer, hour) = (Subject::Key(key(&*store).await), writer(), now());
    let teller = {
        let (store, subject) = (Arc::clone(&store), subject.clone());
        tokio::spawn(async move {
            for number in 1..=BATCHES {
                told(&*store, &subject, writer, &[batch(number - 1, number, &subject, requests(hour, 1))]).await;
                tokio::task::yield_now().await;
            }
        })
    };
    while !teller.is_finished() {
        let least = told(&*store, &subject, writer, &[]).await;
        let counted = total(&*store, &subject).await;
        let most = told(&*store, &subject, writer, &[]).await;
        assert!(least <= counted && counted <= most, "{counted} were counted between the marks {least} and {most}");
        tokio::task::yield_now().await;
    }
    teller.await.unwrap();
    assert_eq!(told(&*store, &subject, writer, &[]).await, total(&*store, &subject).await);
}

/// What is told of many subjects at once is there of all of them.
pub async fn a_batch_of_many_subjects_is_taken_in_whole(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let hour = now();
    let first = no_key();
    let ids: Vec<_> = (0..300).map(|_| KeyId::fresh(sample::now(), Some(first.bucket())).unwrap()).collect();
    create(&*store, ids.iter().copied()).await;
    let keys: Vec<_> = ids.into_iter().map(Subject::Key).collect();
    for round in 1..=2 {
        instance.tell(keys.iter().zip(1..).map(|(key, nth)| (key.clone(), requests(hour, nth * round)))).await;
    }
    for (key, nth) in keys.iter().zip(1..) {
        assert_eq!(total(&*store, key).await, 3 * nth);
    }
    instance.assert_agree(&keys[0], "the first").await;
    instance.assert_agree(&keys[299], "the last").await;
}

/// Requests are counted by the hour, the day and the month they were in, in whatever order that is told: over every turn,
/// back in time, and with times between them in which there was nothing.
pub async fn requests_are_counted_by_hour_day_and_month(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let subject = Subject::Key(key(&*store).await);
    let hour = now();
    let (today, month) = (Hour::of(hour.day().start()), Hour::of(hour.month().start()));
    let last_month = Hour::of(Month(hour.month().0 - 1).start());
    let start = before(hour, 24 * 31 * 95);
    let after = |hours: u32| Hour(start.0 + hours);
    let hours = [
        // What was counted is there still, and goes when its place is needed: after hours that were skipped, after days, after
        // months, after more than there are places for.
        start,
        after(5),
        after(5 + 193),
        start,
        after(24 * 40),
        after(24 * 40 - 1),
        after(24 * 500),
        after(24 * 31 * 90),
        start,
        before(hour, 30),
        hour,
        // Turns, and what is before each.
        today,
        before(today, 1),
        month,
        before(month, 1),
        last_month,
        before(last_month, 1),
        // Back in time, as far as hours are kept and further; as far as days are, and months.
        before(hour, 1),
        before(hour, 191),
        before(hour, 192),
        before(hour, 399 * 24),
        before(hour, 400 * 24),
        before(hour, 35 * 30 * 24),
        before(hour, 40 * 31 * 24),
        before(hour, 300_000),
        hour,
        // As far ahead as clocks may differ.
        Hour(hour.0 + 1),
        hour,
    ];
    for (nth, hour) in hours.into_iter().enumerate() {
        instance.tell([(subject.clone(), requests(hour, 1 + nth as u64))]).await;
        let held = account(&*store, &subject).await.unwrap().series;
        let model = instance.model.account(&subject, Day(0)..=Day(0), Utc::now()).unwrap().series;
        assert_eq!(held, model, "number {nth}, in {hour:?}");
    }
    // Several hours of one delta.
    let mut delta = requests(hour, 3);
    [before(hour, 1), before(today, 1), month].into_iter().for_each(|hour| delta.add(&requests(hour, 9)));
    let other = Subject::Key(key(&*store).await);
    instance.tell([(other.clone(), delta)]).await;
    instance.assert_agree(&other, "several hours of one delta").await;
}

/// What an instance tells whose clock is ahead by more than an hour is counted as if it were the next hour: nothing of it is
/// lost, and nothing of what others tell after it.
pub async fn what_is_ahead_of_the_time_is_counted_in_the_next_hour(store: Arc<dyn Store>) {
    // Until no hour turns while it is told.
    while !is_counted_in_the_next_hour(&*store).await {}
}

async fn is_counted_in_the_next_hour(store: &dyn Store) -> bool {
    let organization = sample::organization();
    let (subject, writer) = (Subject::Organization(organization.clone()), writer());
    let (began, hour) = (sample::now(), now());
    let next = Hour(hour.0 + 1);
    let (month, far) = (next.month(), Month(next.month().0 + 50));
    let [one, other] = [no_key(), no_key()];
    let mut delta = Delta::default();
    let hours = [hour, next, Hour(hour.0 + 2), Hour(hour.0 + 24 * 400), Hour::of(far.start()), Hour(u32::MAX)];
    for (place, hour) in hours.into_iter().enumerate() {
        delta.add(&broken_down(hour, 1 << place));
    }
    let requests: u64 = delta.requests();
    let in_this_hour = delta.hours.values().next().map_or(0, Counts::requests);
    delta.add_address(month, [192, 0, 2, 1].into());
    delta.add_address(far, [192, 0, 2, 1].into());
    delta.add_address(far, [192, 0, 2, 2].into());
    delta.keys = [(month, [(one, 1)].into()), (far, [(one, 2), (other, 1)].into())].into();
    let late = began + TimeDelta::days(1_000);
    delta.last_use = Some(LastUse { at: late, address: Some([192, 0, 2, 2].into()), location: "DE".parse().ok() });
    delta.last_error = Some(LastError { at: late, failure: Failure::Answered(Answered::ServerError) });
    assert_eq!(told(store, &subject, writer, &[batch(0, 1, &subject, delta)]).await, 1);
    // And so the hours that others tell of are not over.
    assert_eq!(told(store, &subject, writer, &[batch(1, 2, &subject, self::requests(hour, 7))]).await, 2);
    let account = account(store, &subject).await.unwrap();
    let most_used = store.most_used(&organization, month, 9).await.unwrap();
    if now() != hour {
        return false;
    }
    let hours: Vec<_> = account.series.hours().filter(|(_, count)| *count > 0).collect();
    assert_eq!(hours, [(hour, in_this_hour + 7), (next, requests - in_this_hour)]);
    assert_eq!(account.series.requests(), requests + 7);
    assert_eq!(account.days.values().map(Counts::requests).sum::<u64>(), requests + 7);
    assert_eq!(account.days.keys().copied().max(), Some(next.day()));
    assert_eq!(account.addresses.get(&month), Some(&2));
    assert_eq!(most_used, [(one, 3), (other, 1)]);
    let latest = began + TimeDelta::hours(1)..=sample::now() + TimeDelta::hours(1);
    let (used, failed) = (account.series.last_use.unwrap(), account.series.last_error.unwrap());
    assert!(latest.contains(&used.at) && latest.contains(&failed.at), "{used:?} and {failed:?} of {latest:?}");
    assert_eq!((used.address, used.location), (Some([192, 0, 2, 2].into()), "DE".parse().ok()));
    assert_eq!(failed.failure, Failure::Answered(Answered::ServerError));
    true
}

/// A number is as great as it may be, and then stays so: it never begins anew.
pub async fn no_count_is_too_great(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (subject, hour) = (Subject::Key(key(&*store).await), now());
    for count in [u64::from(u32::MAX) - 1, 1, 5, 1 << 62, 1 << 62, 1 << 62, 7] {
        instance.tell([(subject.clone(), requests(hour, count))]).await;
        let held = account(&*store, &subject).await.unwrap().series;
        let model = instance.model.account(&subject, Day(0)..=Day(0), Utc::now()).unwrap().series;
        assert_eq!(held, model, "{count} more");
    }
}

fn broken_down(hour: Hour, round: u64) -> Delta {
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 5 * round);
    counts.add_outcome(Outcome::Denied(DenialReason::KeyExpired), 3);
    counts.add_outcome(Outcome::Denied(DenialReason::RateLimitExceeded), round);
    for answered in Answered::ALL {
        counts.add_answer(answered, answered.place() as u64 + round);
    }
    counts.add_endpoint(&"GET /files/{id}".into(), 4 + round);
    counts.add_endpoint(&format!("POST /ü \"{round}\"").into(), 1);
    counts.add_endpoint(&OTHER.into(), 2);
    counts.add_location(Location::new("US-CA").ok(), 6);
    counts.add_location(Location::new(&format!("D{round}")).ok(), 1);
    counts.add_location(None, 3);
    Delta { hours: [(hour, counts)].into(), ..Delta::default() }
}

/// What became of the requests of a day is told of that day, while it is kept, to those who ask for it.
pub async fn what_became_of_requests_is_told_by_day(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (subject, today) = (Subject::Key(key(&*store).await), now().day());
    let in_day = |day: u32, hour| Hour((today.0 - day) * 24 + hour);
    let hours =
        [in_day(1, 23), in_day(1, 0), in_day(3, 5), in_day(2, 0), in_day(3, 23), in_day(BREAKDOWN_DAYS - 2, 12)];
    for (hour, round) in hours.into_iter().zip(1..) {
        let mut delta = broken_down(hour, round);
        delta.add(&broken_down(in_day(7, 1), round + 1));
        instance.tell([(subject.clone(), delta)]).await;
        instance.assert_agree(&subject, "with one more hour").await;
    }
    // So long ago that no more than the numbers of the series are kept.
    instance.tell([(subject.clone(), broken_down(in_day(BREAKDOWN_DAYS + 1, 3), 1))]).await;
    instance.assert_agree(&subject, "with one that is over").await;
    let days = |from: u32, to: u32| Day(today.0 - from)..=Day(today.0 - to);
    for (range, there) in [
        (days(3, 1), vec![3, 2, 1]),
        (days(2, 2), vec![2]),
        (days(6, 4), vec![]),
        (days(BREAKDOWN_DAYS + 100, 7), vec![BREAKDOWN_DAYS - 2, 7]),
        (days(1, 3), vec![]),
    ] {
        let account = store.usage(&subject, range.clone()).await.unwrap().unwrap();
        let told: Vec<_> = account.days.keys().map(|day| today.0 - day.0).collect();
        assert_eq!(told, there, "{range:?}");
        assert_eq!(account.series.requests(), total(&*store, &subject).await);
    }
}

/// In one day no more than so many things are told apart, and what there is no room for is counted as other: the first that
/// came are told apart still, and nothing is lost.
pub async fn what_there_is_no_room_for_is_other(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (subject, hour) = (Subject::Key(key(&*store).await), Hour((now().day().0 - 1) * 24));
    let early = "GET /early";
    let mut delta = requests(hour, 1);
    for counts in delta.hours.values_mut() {
        counts.add_endpoint(&early.into(), 1);
        counts.add_location(Location::new("EARLY").ok(), 1);
    }
    instance.tell([(subject.clone(), delta.clone())]).await;
    for round in 0..4_u64 {
        let mut delta = requests(hour, 60);
        for counts in delta.hours.values_mut() {
            for nth in 0..30 {
                counts.add_endpoint(&format!("GET /{round}/{nth}").into(), 2);
                counts.add_location(Location::new(&format!("L{round}-{nth}")).ok(), 2);
            }
        }
        instance.tell([(subject.clone(), delta)]).await;
    }
    instance.tell([(subject.clone(), delta)]).await;
    let account = account(&*store, &subject).await.unwrap();
    let counts = &account.days[&hour.day()];
    let [endpoints, locations] = [counts.endpoints().collect::<Vec<_>>(), counts.locations().collect()];
    for (told, early) in [(endpoints, early), (locations, "EARLY")] {
        assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 242);
        assert!(told.contains(&(early, 2)), "{told:?}");
        assert!(told.iter().any(|(name, count)| *name == OTHER && *count > 0), "{told:?}");
        assert!(told.len() > 10, "{told:?}");
    }
    assert!(counts.fields() <= MAX_FIELDS + 2, "{}", counts.fields());
    assert_eq!((counts.requests(), account.series.requests()), (242, 242));
}

/// How many different addresses there were in a month is exact while they are few, and then not far from it.
pub async fn different_addresses_are_counted(store: Arc<dyn Store>) {
    const MANY: u32 = 6_000;
    let mut instance = Instance::of(&store);
    let (subject, hour) = (Subject::Key(key(&*store).await), now());
    let (month, last_month) = (hour.month(), Month(hour.month().0 - 1));
    // Half of them of each kind. They differ in all their places.
    let address = |nth: u32| {
        let mixed = nth.wrapping_mul(0x9e37_79b1);
        if nth.is_multiple_of(2) {
            return std::net::IpAddr::from(mixed.to_be_bytes());
        }
        std::net::IpAddr::from((u128::from(mixed) << 96 | u128::from(nth)).to_be_bytes())
    };
    let counted = async |month| account(&*store, &subject).await.unwrap().addresses.get(&month).copied();
    let tell = |month, range: std::ops::Range<u32>| {
        let mut delta = requests(hour, 1);
        range.for_each(|nth| delta.add_address(month, address(nth)));
        (subject.clone(), delta)
    };
    instance.tell([tell(month, 0..0)]).await;
    assert_eq!(counted(month).await.unwrap_or(0), 0);
    for from in [0, 1, 10, 5, 40, 0] {
        instance.tell([tell(month, from..from + 20)]).await;
        instance.tell([tell(last_month, from..from + 3)]).await;
        instance.assert_agree(&subject, "few addresses").await;
    }
    assert_eq!((counted(month).await, counted(last_month).await), (Some(50), Some(13)));
    instance.tell([tell(month, 0..EXACTLY as u32)]).await;
    assert_eq!(counted(month).await, Some(EXACTLY as u64));
    instance.tell([tell(month, 0..EXACTLY as u32 + 1)]).await;
    let more = counted(month).await.unwrap();
    assert!((60..=71).contains(&more), "{more} of 65");
    for round in 0..2 {
        for from in (0..MANY).step_by(MAX_ADDRESSES) {
            instance.tell([tell(month, from..(from + MAX_ADDRESSES as u32).min(MANY))]).await;
        }
        let many = counted(month).await.unwrap();
        assert!(many.abs_diff(MANY.into()) <= u64::from(MANY) / 10, "{many} of {MANY} in round {round}");
    }
    assert_eq!(counted(last_month).await, Some(13));
    // Of months that are over nothing is kept.
    let over = Month(month.0 - DISTINCT_MONTHS - 1);
    instance.tell([tell(over, 0..5)]).await;
    assert_eq!(counted(over).await, None);
}

/// The last use and the last error are the latest that there were, whole, and not the last that were told.
pub async fn the_last_use_and_the_last_error_are_the_latest(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let id = key(&*store).await;
    let subject = Subject::Key(id);
    let at = sample::now();
    let last = |seconds, address: Option<&str>, location: Option<&str>| LastUse {
        at: at + TimeDelta::seconds(seconds),
        address: address.map(|address| address.parse().unwrap()),
        location: location.map(|location| location.parse().unwrap()),
    };
    let failed = |seconds, failure| LastError { at: at + TimeDelta::seconds(seconds), failure };
    let denied = |seconds| failed(seconds, Failure::Denied(DenialReason::IpNotAllowed));
    let first = last(0, Some("192.0.2.1"), Some("DE"));
    let later = last(5, Some("2001:db8::1"), None);
    let latest = last(9, None, Some("abcdefghijklmnop"));
    let error = failed(6, Failure::Answered(Answered::ServerError));
    for (used, error, expected) in [
        (None, None, (None, None)),
        (Some(first), None, (Some(first), None)),
        (None, Some(denied(0)), (Some(first), Some(denied(0)))),
        (Some(last(-1, None, None)), Some(denied(-7)), (Some(first), Some(denied(0)))),
        // Of the same moment the first stays.
        (Some(last(0, None, None)), None, (Some(first), Some(denied(0)))),
        (Some(later), Some(error), (Some(later), Some(error))),
        (Some(latest), Some(denied(1)), (Some(latest), Some(error))),
        (Some(later), None, (Some(latest), Some(error))),
    ] {
        let delta = Delta { last_use: used, last_error: error, ..requests(now(), 1) };
        instance.tell([(subject.clone(), delta)]).await;
        let series = account(&*store, &subject).await.unwrap().series;
        assert_eq!((series.last_use, series.last_error), expected);
        assert_eq!(store.last_uses(&[id]).await.unwrap(), [expected.0]);
    }
}

/// The last uses of keys come in the order in which they were asked for, with a place for those that were never used.
pub async fn last_uses_are_in_the_order_of_the_keys(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let at = sample::now();
    let used: Vec<_> = (0..40).map(|nth| (no_key(), at - TimeDelta::seconds(nth * 7 % 40))).collect();
    create(&*store, used.iter().map(|(id, _)| *id)).await;
    let last = |at| LastUse { at, address: Some("192.0.2.7".parse().unwrap()), location: "DE".parse().ok() };
    let delta = |at| Delta { last_use: Some(last(at)), ..requests(now(), 1) };
    instance.tell(used.iter().map(|(id, at)| (Subject::Key(*id), delta(*at)))).await;
    let mut asked: Vec<_> = used.iter().map(|(id, at)| (*id, Some(last(*at)))).collect();
    asked.extend((0..20).map(|_| (no_key(), None)));
    asked.push(asked[3]);
    // Neither as they were made nor sorted.
    asked.sort_by_key(|(id, _)| id.as_bytes()[15]);
    let keys: Vec<_> = asked.iter().map(|(id, _)| *id).collect();
    let uses: Vec<_> = asked.iter().map(|(_, used)| *used).collect();
    assert_eq!(store.last_uses(&keys).await.unwrap(), uses);
    assert_eq!(store.last_uses(&[]).await.unwrap(), []);
    let many: Vec<_> = keys.iter().cycle().take(1_000).copied().collect();
    let uses: Vec<_> = uses.iter().cycle().take(1_000).copied().collect();
    assert_eq!(store.last_uses(&many).await.unwrap(), uses);
}

/// The keys of an organization that were used most in a month come first, of equals the newer, and no more than were asked
/// for.
pub async fn the_most_used_keys_come_first(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (organization, other) = (sample::organization(), sample::organization());
    let hour = now();
    let (month, last_month) = (hour.month(), Month(hour.month().0 - 1));
    let mut keys: Vec<_> = (0..6).map(|_| no_key()).collect();
    keys.sort_unstable();
    let used = |month, counts: &[(usize, u64)]| {
        let keys = counts.iter().map(|(nth, count)| (keys[*nth], *count)).collect();
        Delta { keys: [(month, keys)].into(), ..requests(hour, 1) }
    };
    let ours = Subject::Organization(organization.clone());
    instance.tell([(ours.clone(), used(month, &[(0, 5), (1, 7), (2, 5)]))]).await;
    instance.tell([(ours.clone(), used(month, &[(3, 100), (0, 10), (4, 5)]))]).await;
    instance.tell([(ours.clone(), used(last_month, &[(5, 1), (0, 1)]))]).await;
    let mut both = used(month, &[(1, 1)]);
    both.add(&used(last_month, &[(5, 4)]));
    instance.tell([(ours.clone(), both)]).await;
    instance.tell([(Subject::Organization(other.clone()), used(month, &[(5, 1_000)]))]).await;
    instance.tell([(ours, used(Month(month.0 - DISTINCT_MONTHS - 1), &[(5, 9)]))]).await;

    let most = async |organization, month, limit| store.most_used(organization, month, limit).await.unwrap();
    let expected = [(keys[3], 100), (keys[0], 15), (keys[1], 8), (keys[4], 5), (keys[2], 5)];
    for limit in [0, 1, 4, 5, 1_000] {
        assert_eq!(most(&organization, month, limit).await, expected[..limit.min(5)], "{limit}");
    }
    assert_eq!(most(&organization, last_month, 10).await, [(keys[5], 5), (keys[0], 1)]);
    assert_eq!(most(&other, month, 10).await, [(keys[5], 1_000)]);
    for nothing in [Month(month.0 - DISTINCT_MONTHS - 1), Month(month.0 + 1), Month(0), Month(u32::MAX)] {
        assert_eq!(most(&organization, nothing, 10).await, [], "{nothing:?}");
    }
    assert_eq!(most(&sample::organization(), month, 10).await, []);
}

/// With a key goes what was counted of it, and nothing else; a refused deletion erases nothing.
pub async fn deleting_a_key_erases_its_usage(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let gone = created(&*store, sample::record(&organization, &user)).await;
    let stays = created(&*store, sample::record(&organization, &user)).await;
    let (id, revision) = (gone.key.id, gone.key.revision);
    let subject = Subject::Key(id);
    let last = LastUse { at: sample::now(), address: "192.0.2.1".parse().ok(), location: None };
    let delta = |hour| {
        let mut delta = broken_down(hour, 1);
        delta.add_address(hour.month(), "192.0.2.1".parse().unwrap());
        Delta { last_use: Some(last), ..delta }
    };
    let hour = now();
    let subjects: Vec<_> = Subject::of(&gone.key).chain([Subject::Key(stays.key.id)]).collect();
    for hour in [hour, before(hour, 24 * 3), before(hour, 24 * 20)] {
        instance.tell(subjects.iter().map(|subject| (subject.clone(), delta(hour)))).await;
    }
    let writer = writer();
    let again = batch(0, 1, &subject, requests(hour, 1));
    assert_eq!(told(&*store, &subject, writer, std::slice::from_ref(&again)).await, 1);

    let held = account(&*store, &subject).await;
    assert!(store.delete(&organization, id, revision.next()).await.is_err());
    assert_absent(store.delete(&sample::organization(), id, revision).await);
    assert_eq!(account(&*store, &subject).await, held);

    store.delete(&organization, id, revision).await.unwrap();
    assert_eq!(account(&*store, &subject).await, None);
    assert_eq!(store.last_uses(&[id, stays.key.id]).await.unwrap(), [None, Some(last)]);
    for subject in &subjects[1..] {
        instance.assert_agree(subject, "after the deletion").await;
    }
    // The mark is as it was, so what is sent again is not counted again.
    assert_eq!(told(&*store, &subject, writer, &[again]).await, 1);
    assert_eq!(account(&*store, &subject).await, None);
    // An id that is used again begins at nothing.
    assert_eq!(create_one(&*store, AMPLE, gone).await, Ok(()));
    assert_eq!(account(&*store, &subject).await, None);
    assert_eq!(told(&*store, &subject, writer, &[batch(1, 2, &subject, requests(hour, 7))]).await, 2);
    let account = account(&*store, &subject).await.unwrap();
    assert_eq!((account.series.requests(), account.days.len(), account.addresses.len()), (7, 1, 0));
}

/// What is told of a key after it was deleted, or of one that never was, is not taken in, so that nothing of it comes back; what
/// is told of others with it is.
pub async fn nothing_is_counted_of_a_key_that_is_not_there(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let gone = created(&*store, sample::record(&organization, &user)).await;
    // In the bucket of the other, so that both are told of in one batch.
    let mut stays = sample::record(&organization, &user);
    stays.key.id = KeyId::fresh(sample::now(), Some(gone.key.id.bucket())).unwrap();
    stays.key.lineage.root = stays.key.id;
    let stays = created(&*store, stays).await;
    let never = Subject::Key(KeyId::fresh(sample::now(), Some(gone.key.id.bucket())).unwrap());
    let subject = Subject::Key(gone.key.id);
    let others: Vec<_> = Subject::of(&gone.key).skip(1).chain([Subject::Key(stays.key.id)]).collect();
    let last = LastUse { at: sample::now(), address: "192.0.2.1".parse().ok(), location: None };
    let delta = |round| {
        let mut delta = broken_down(now(), round);
        delta.add_address(now().month(), "192.0.2.1".parse().unwrap());
        Delta { last_use: Some(last), ..delta }
    };
    let all = || [&never, &subject].into_iter().chain(&others).chain([&never]).cloned();
    instance.there = Some([gone.key.id, stays.key.id].into());
    instance.tell(all().map(|subject| (subject, delta(1)))).await;
    assert_eq!(account(&*store, &never).await, None);
    assert!(total(&*store, &subject).await > 0);

    store.delete(&organization, gone.key.id, gone.key.revision).await.unwrap();
    instance.there = Some([stays.key.id].into());
    instance.model.forget(&subject);
    for round in 2..4 {
        instance.tell(all().map(|subject| (subject, delta(round)))).await;
        for subject in all() {
            instance.assert_agree(&subject, "after the deletion").await;
        }
        assert_eq!(account(&*store, &subject).await, None);
    }
    let keys = [gone.key.id, stays.key.id];
    assert_eq!(store.last_uses(&keys).await.unwrap(), [None, Some(last)]);
    // One that is made again under its id is counted again.
    assert_eq!(create_one(&*store, AMPLE, gone).await, Ok(()));
    instance.there = Some(keys.into());
    instance.tell([(subject.clone(), delta(1))]).await;
    instance.assert_agree(&subject, "made again").await;
    assert!(total(&*store, &subject).await > 0);
}

/// What is counted of one is not counted of another, nor of another tenant's of the same name.
pub async fn subjects_do_not_share(store: Arc<dyn Store>) {
    let mut instance = Instance::of(&store);
    let (one, other) = (sample::organization(), sample::organization());
    let (user, project) = (sample::user("same"), sample::project("same"));
    let subjects = [
        Subject::Organization(one.clone()),
        Subject::User(one.clone(), user.clone()),
        Subject::Project(one, project.clone()),
        Subject::Organization(other.clone()),
        Subject::User(other.clone(), user),
        Subject::Project(other, project),
        Subject::Key(key(&*store).await),
        Subject::Key(key(&*store).await),
    ];
    let delta = |nth: u64| {
        let mut delta = broken_down(now(), nth);
        (0..nth).for_each(|n| delta.add_address(now().month(), [192, 0, 2, n as u8].into()));
        delta
    };
    instance.tell(subjects.iter().cloned().zip((1..).map(delta))).await;
    for (subject, nth) in subjects.iter().zip(1..) {
        instance.assert_agree(subject, "after one batch").await;
        assert_eq!(total(&*store, subject).await, 6 * nth + 3, "{subject}");
    }
    assert_eq!(account(&*store, &Subject::Key(no_key())).await, None);
}

/// Random batches of a few subjects: figures, last uses and ranks are those of the model after every one of them.
pub async fn random_batches_are_counted_as_the_model_counts_them(store: Arc<dyn Store>) {
    let seed = super::model::seed();
    let mut dice = Dice(seed);
    let mut instance = Instance::of(&store);
    let organization = sample::organization();
    let keys = [key(&*store).await, key(&*store).await, key(&*store).await];
    let mut subjects: Vec<_> = keys.iter().copied().map(Subject::Key).collect();
    subjects.push(Subject::Organization(organization.clone()));
    subjects.push(Subject::User(organization.clone(), sample::user("ann")));
    let (base, at) = (now(), sample::now());
    for step in 0..120 {
        let mut deltas = Vec::new();
        for subject in &subjects {
            if dice.one_in(2) {
                deltas.push((subject.clone(), random_delta(&mut dice, subject, base, at, &keys)));
            }
        }
        instance.tell(deltas).await;
        let note = format!("step {step} of the run that {}={seed} repeats", super::model::SEED);
        let subject = dice.choose(&subjects);
        instance.assert_agree(subject, &note).await;
        let last_uses: Vec<_> = keys.iter().map(|key| instance.model.last_use(&Subject::Key(*key))).collect();
        assert_eq!(store.last_uses(&keys).await.unwrap(), last_uses, "{note}");
        let model = instance.model.most_used(&subjects[3], base.month(), 2, Utc::now());
        assert_eq!(store.most_used(&organization, base.month(), 2).await.unwrap(), model, "{note}");
    }
    for subject in &subjects {
        instance.assert_agree(subject, "at the end").await;
    }
}

fn random_delta(dice: &mut Dice, subject: &Subject, base: Hour, at: DateTime<Utc>, keys: &[KeyId]) -> Delta {
    let mut delta = requests(base, 1 + dice.below(3) as u64);
    for _ in 0..dice.below(4) {
        // Mostly of the last hours, some of long ago, some ahead. None on the edge of the days that are kept.
        let back = *dice.choose(&[0, 1, 2, 30, 24 * 20, 24 * 60, 24 * 600]);
        let hour = Hour(base.0 + dice.below(2) as u32 - dice.below(1 + back) as u32);
        if hour.day().0.abs_diff(base.day().0 - BREAKDOWN_DAYS) <= 2 {
            continue;
        }
        let counts = delta.hours.entry(hour).or_default();
        counts.add_outcome(*dice.choose(&Outcome::ALL), dice.below(5) as u64);
        counts.add_answer(*dice.choose(&Answered::ALL), 1 + dice.below(5) as u64);
        counts.add_endpoint(&format!("GET /{}", dice.below(6)).into(), dice.below(9) as u64);
        let location = *dice.choose(&[Location::new("DE").ok(), Location::new("US-CA").ok(), None]);
        counts.add_location(location, dice.below(9) as u64);
    }
    if dice.one_in(2) {
        let month = Month(base.month().0 - dice.below(2) as u32);
        delta.add_address(month, [192, 0, 2, dice.below(60) as u8].into());
    }
    let moment = at - TimeDelta::milliseconds(dice.below(1_000) as i64);
    if dice.one_in(2) {
        delta.used(Some(LastUse { at: moment, address: Some([10, 0, 0, dice.below(9) as u8].into()), location: None }));
    }
    if dice.one_in(3) {
        delta.failed(Some(LastError { at: moment, failure: Failure::Denied(DenialReason::KeyExpired) }));
    }
    if matches!(subject, Subject::Organization(_)) {
        delta.keys.entry(base.month()).or_default().insert(*dice.choose(keys), dice.below(20) as u64);
    }
    delta
}
