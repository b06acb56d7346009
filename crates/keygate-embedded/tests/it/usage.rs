//! What was counted, as time goes by: kept as long as the model keeps it, and then no longer in the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::Quota;
use keygate_core::store::{MemoryStore, Store, StoreError};
use keygate_core::usage::batch::{Batch, Delta, LastUse, Mark, Writer};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::outcome::Outcome;
use keygate_core::usage::period::{Day, Hour};
use keygate_core::usage::subject::Subject;
use keygate_embedded::EmbeddedStore;
use keygate_testkit::{HeldClock, sample};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

const DAY: Duration = Duration::from_secs(24 * 3600);
const WRITER: Writer = Writer(7);

struct Room {
    store: EmbeddedStore,
    model: MemoryStore,
    clock: HeldClock,
    organization: OrganizationId,
    keys: Vec<KeyId>,
    directory: tempfile::TempDir,
}

impl Room {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = HeldClock::new();
        let store = EmbeddedStore::open_with_clock(directory.path().join("keys.redb"), clock.clone()).unwrap();
        let model = MemoryStore::with_clock(clock.clone());
        let (organization, user) = (sample::organization(), sample::user("ann"));
        let records: Vec<_> = (0..20).map(|_| sample::record_of(&organization, &user, clock.now())).collect();
        let ample = Quota { per_organization: 100, per_user: 100 };
        for store in [&store as &dyn Store, &model] {
            let created = store.create(&organization, ample, records.clone()).await.unwrap();
            assert!(created.iter().all(Result::is_ok));
        }
        let keys = records.iter().map(|record| record.key.id).collect();
        Self { store, model, clock, organization, keys, directory }
    }

    fn subjects(&self) -> Vec<Subject> {
        let mut subjects = vec![Subject::Organization(self.organization.clone())];
        subjects.extend(self.keys.iter().map(|key| Subject::Key(*key)));
        subjects
    }

    /// Tells both stores of one request of each key now.
    async fn count(&self, writer: Writer, number: Mark) {
        let now = self.clock.now();
        let (hour, month) = (Hour::of(now), Hour::of(now).month());
        let address = std::net::IpAddr::from((number as u32).to_be_bytes());
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, 1);
        counts.add_endpoint(&format!("GET /{number}").into(), 1);
        let mut delta = Delta { hours: [(hour, counts.clone())].into(), ..Delta::default() };
        delta.add_address(month, address);
        delta.used(Some(LastUse { at: now, address: Some(address), location: None }));
        if number.is_multiple_of(5) {
            // From a clock that is ahead by so many days, and then some.
            let hour = Hour(hour.0 + 24 * number as u32 + 2);
            delta.hours.insert(hour, counts);
            delta.add_address(hour.month(), address);
            delta.used(Some(LastUse { at: hour.start(), address: None, location: None }));
        }
        let ranks: BTreeMap<_, _> = self.keys.iter().copied().zip(1..).collect();
        let of = |subject: &Subject| match subject {
            Subject::Organization(_) => Delta { keys: [(month, ranks.clone())].into(), ..delta.clone() },
            _ => delta.clone(),
        };
        let deltas = self.subjects().iter().map(|subject| (subject.clone(), of(subject))).collect();
        let batches = [Arc::new(Batch { after: number - 1, number, deltas })];
        let mark = self.store.record_usage(0, writer, &batches).await.unwrap();
        assert_eq!(mark, self.model.record_usage(0, writer, &batches).await.unwrap());
    }

    async fn assert_agree(&self, note: &str) {
        let days = Day(0)..=Day(u32::MAX);
        for subject in self.subjects() {
            let held = self.store.usage(&subject, days.clone()).await.unwrap();
            assert_eq!(held, self.model.usage(&subject, days.clone()).await.unwrap(), "{note}: {subject}");
        }
        assert_eq!(self.store.last_uses(&self.keys).await.unwrap(), self.model.last_uses(&self.keys).await.unwrap());
        let month = Hour::of(self.clock.now()).month();
        for back in 0..5 {
            let month = keygate_core::usage::period::Month(month.0 - back);
            let held = self.store.most_used(&self.organization, month, 5).await.unwrap();
            assert_eq!(held, self.model.most_used(&self.organization, month, 5).await.unwrap(), "{note}: {month:?}");
        }
        assert_eq!(self.store.verify().await.unwrap().problems, Vec::<String>::new(), "{note}");
    }
}

/// How many entries are in each of the tables: series, days, addresses, rankings, marks, ends.
fn entries(path: &Path) -> [u64; 6] {
    let series: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("usage_series");
    let periods = ["usage_days", "usage_addresses", "usage_rankings"];
    let marks: TableDefinition<'_, u64, (u64, i64)> = TableDefinition::new("usage_marks");
    let ends: TableDefinition<'_, (i64, u8, &str, u64), ()> = TableDefinition::new("usage_ends");
    let database = redb::Database::create(path).unwrap();
    let read = database.begin_read().unwrap();
    let [days, addresses, rankings] = periods.map(|name| {
        let table: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new(name);
        read.open_table(table).unwrap().len().unwrap()
    });
    let (series, marks) = (read.open_table(series).unwrap().len(), read.open_table(marks).unwrap().len());
    [series.unwrap(), days, addresses, rankings, marks.unwrap(), read.open_table(ends).unwrap().len().unwrap()]
}

#[tokio::test]
async fn what_is_over_is_not_told_and_goes_out_of_the_file() {
    let room = Room::new().await;
    let mut number = 0;
    for day in 0..130 {
        number += 1;
        room.count(WRITER, number).await;
        if day % 9 == 0 {
            room.assert_agree(&format!("day {day}")).await;
        }
        room.clock.advance(DAY);
        if day % 10 == 0 {
            room.assert_agree(&format!("after day {day}, with nothing since")).await;
        }
    }
    room.assert_agree("at the end").await;
    let path = room.directory.path().join("keys.redb");
    drop(room.store);
    let [series, days, addresses, rankings, marks, ends] = entries(&path);
    assert_eq!((series, marks), (21, 1));
    assert!(days <= 21 * 36 && addresses <= 21 * 4 && rankings <= 4, "{days} {addresses} {rankings}");
    assert_eq!(ends, days + addresses + rankings + marks);
}

#[tokio::test]
async fn a_writer_that_says_nothing_is_forgotten_in_time() {
    let room = Room::new().await;
    room.count(WRITER, 1).await;
    room.clock.advance(DAY * 29);
    room.count(Writer(8), 1).await;
    for (days, [one, other]) in [(0, [1, 1]), (1, [0, 1]), (28, [0, 1]), (1, [0, 0])] {
        room.clock.advance(DAY * days);
        assert_eq!(room.store.record_usage(0, WRITER, &[]).await.unwrap(), one);
        assert_eq!(room.store.record_usage(0, Writer(8), &[]).await.unwrap(), other);
    }
    room.count(Writer(9), 1).await;
    room.assert_agree("at the end").await;
    let path = room.directory.path().join("keys.redb");
    drop(room.store);
    assert_eq!(entries(&path)[4], 1);
}

#[tokio::test]
async fn what_was_counted_is_there_when_the_file_is_opened_again() {
    let mut room = Room::new().await;
    for number in 1..=3 {
        room.count(WRITER, number).await;
        room.clock.advance(DAY);
    }
    let path = room.directory.path().join("keys.redb");
    drop(room.store);
    room.store = EmbeddedStore::open_with_clock(&path, room.clock.clone()).unwrap();
    room.assert_agree("opened again").await;
    assert_eq!(room.store.record_usage(0, WRITER, &[]).await.unwrap(), 3);
    room.count(WRITER, 4).await;
    room.assert_agree("and counted on").await;
}

/// What a deletion leaves of a key in the file is nothing, ends and what is over among it.
#[tokio::test]
async fn nothing_stays_of_a_key_that_is_deleted() {
    let mut room = Room::new().await;
    let record = sample::record_of(&room.organization, &sample::user("eve"), room.clock.now());
    for store in [&room.store as &dyn Store, &room.model] {
        store.create(&room.organization, Quota::default(), vec![record.clone()]).await.unwrap()[0].unwrap();
    }
    room.keys = vec![record.key.id];
    for number in 1..=5 {
        room.count(WRITER, number).await;
        room.clock.advance(DAY * 12);
    }
    room.store.delete(&room.organization, record.key.id, record.key.revision).await.unwrap();
    assert_eq!(room.store.verify().await.unwrap().problems, Vec::<String>::new());
    let path = room.directory.path().join("keys.redb");
    drop(room.store);
    let database = redb::Database::create(&path).unwrap();
    let read = database.begin_read().unwrap();
    let ends: TableDefinition<'_, (i64, u8, &str, u64), ()> = TableDefinition::new("usage_ends");
    let name = Subject::Key(record.key.id).to_string();
    for entry in read.open_table(ends).unwrap().iter().unwrap() {
        assert_ne!(entry.unwrap().0.value().2, name);
    }
}

/// A file that was made before there were figures.
#[tokio::test]
async fn a_file_without_the_tables_is_one_in_which_nothing_was_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    drop(EmbeddedStore::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in transaction.list_tables().unwrap().collect::<Vec<_>>() {
        if redb::TableHandle::name(&table).starts_with("usage_") {
            assert!(transaction.delete_table(table).unwrap());
        }
    }
    transaction.commit().unwrap();
    drop(database);

    let store = EmbeddedStore::open(&path).unwrap();
    let organization = sample::organization();
    let subject = Subject::Organization(organization.clone());
    let key = KeyId::fresh(Utc::now(), None).unwrap();
    let now: DateTime<Utc> = Utc::now();
    assert_eq!(store.record_usage(0, WRITER, &[]).await.unwrap(), 0);
    assert_eq!(store.usage(&subject, Day(0)..=Day(u32::MAX)).await.unwrap(), None);
    assert_eq!(store.last_uses(&[key]).await.unwrap(), [None]);
    assert_eq!(store.most_used(&organization, Hour::of(now).month(), 5).await.unwrap(), []);
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 1);
    let delta = Delta { hours: [(Hour::of(now), counts)].into(), ..Delta::default() };
    let batch = Arc::new(Batch { after: 0, number: 1, deltas: vec![(subject.clone(), delta)] });
    assert_eq!(store.record_usage(0, WRITER, &[batch]).await.unwrap(), 1);
    assert_eq!(store.usage(&subject, Day(0)..=Day(u32::MAX)).await.unwrap().unwrap().series.requests(), 1);
}

/// Figures that cannot be read are damage to whoever reads them, and nothing is written over by whoever adds to them: what was
/// counted of others with them is taken in all the same.
#[tokio::test]
async fn what_cannot_be_read_is_not_written_over() {
    let mut room = Room::new().await;
    room.count(WRITER, 1).await;
    let path = room.directory.path().join("keys.redb");
    drop(room.store);
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let days: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("usage_days");
    let subject = Subject::Key(room.keys[0]);
    let day = Hour::of(room.clock.now()).day();
    transaction.open_table(days).unwrap().insert((subject.to_string().as_str(), day.0), &[99][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    room.store = EmbeddedStore::open_with_clock(&path, room.clock.clone()).unwrap();
    let read = room.store.usage(&subject, Day(0)..=day).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 7);
    let delta = Delta { hours: [(Hour::of(room.clock.now()), counts)].into(), ..Delta::default() };
    let other = Subject::Key(room.keys[1]);
    let deltas = vec![(subject.clone(), delta.clone()), (other.clone(), delta.clone()), (subject.clone(), delta)];
    let batch = Arc::new(Batch { after: 1, number: 2, deltas });
    assert_eq!(room.store.record_usage(0, WRITER, &[batch]).await.unwrap(), 2);
    assert_eq!(room.store.record_usage(0, WRITER, &[]).await.unwrap(), 2);
    assert_eq!(room.store.usage_passed_over(), 2);
    let counted = room.store.usage(&other, Day(0)..=day).await.unwrap().unwrap();
    assert_eq!(counted.series.requests(), 8);
    let read = room.store.usage(&subject, Day(0)..=day).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    let problems = room.store.verify().await.unwrap().problems;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("that cannot be read"), "{problems:?}");
}
