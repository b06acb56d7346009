//! What is known of keys' habits, and what was found unusual, as time goes by: kept as long as the memory store keeps it, and
//! then no longer in the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::anomaly::finding::{KEPT, Measured};
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::Quota;
use keygate_core::store::{MemoryStore, Store, StoreError};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::{HeldClock, sample};
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition, WriteTransaction};

type Id = &'static [u8; 16];

const DAY: Duration = Duration::from_secs(24 * 3600);
const HABITS: TableDefinition<'_, Id, (i64, &[u8])> = TableDefinition::new("habits");
const HABIT_ENDS: TableDefinition<'_, (i64, Id), ()> = TableDefinition::new("habit_ends");
const FINDINGS: TableDefinition<'_, (&str, i64, Id), (Id, &[u8])> = TableDefinition::new("findings");
const FINDING_IDS: TableDefinition<'_, (&str, Id), i64> = TableDefinition::new("finding_ids");

struct Room {
    store: EmbeddedStore,
    model: MemoryStore,
    clock: HeldClock,
    organization: OrganizationId,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        let clock = HeldClock::new();
        let store = EmbeddedStore::open_with_clock(&path, clock.clone()).unwrap();
        let model = MemoryStore::with_clock(clock.clone());
        Self { store, model, clock, organization: sample::organization(), path, _directory: directory }
    }

    /// A key that both stores have.
    async fn key(&self) -> KeyId {
        let record = sample::record_of(&self.organization, &sample::user("ann"), self.clock.now());
        for store in [&self.store as &dyn Store, &self.model] {
            store.create(&self.organization, Quota::default(), vec![record.clone()]).await.unwrap()[0].unwrap();
        }
        record.key.id
    }

    async fn put(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) {
        for store in [&self.store as &dyn Store, &self.model] {
            assert!(store.put_habits(key, previous, next).await.unwrap());
        }
    }

    async fn record(&self, finding: &Finding) -> bool {
        let is_kept = self.store.record_finding(finding).await.unwrap();
        assert_eq!(is_kept, self.model.record_finding(finding).await.unwrap(), "{finding:?}");
        is_kept
    }

    async fn assert_agree(&self) {
        let all = async |store: &dyn Store| store.findings(&self.organization, None, 10_000, None).await.unwrap();
        assert_eq!(all(&self.store).await, all(&self.model).await);
        self.assert_sound().await;
    }

    async fn assert_sound(&self) {
        assert_eq!(self.store.verify().await.unwrap().problems, Vec::<String>::new());
    }

    /// Closes the file and opens it again, with this done to it meanwhile.
    fn reopened(self, change: impl FnOnce(&WriteTransaction)) -> Self {
        let Self { store, model, clock, organization, path, _directory } = self;
        drop(store);
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        drop(database);
        let store = EmbeddedStore::open_with_clock(&path, clock.clone()).unwrap();
        Self { store, model, clock, organization, path, _directory }
    }

    async fn problems(&self) -> String {
        self.store.verify().await.unwrap().problems.join("\n")
    }
}

fn finding(organization: &OrganizationId, key: KeyId, at: DateTime<Utc>, value: &str) -> Finding {
    let measured = Measured { observed: 1.0, expected: 0.0, sample_size: 9 };
    Finding::new(Rule::NewScope, (key, organization.clone()), at, Some(value.to_owned()), measured, "First.".to_owned())
}

/// How many habits and findings are in a file that nobody has open, whether or not they are over.
fn entries(path: &Path) -> [u64; 2] {
    let database = redb::Database::open(path).unwrap();
    let read = database.begin_read().unwrap();
    let (habits, findings) = (read.open_table(HABITS).unwrap(), read.open_table(FINDINGS).unwrap());
    [habits.len().unwrap(), findings.len().unwrap()]
}

#[tokio::test]
async fn what_was_learned_and_found_is_there_when_the_file_is_opened_again() {
    let room = Room::new();
    let key = room.key().await;
    let found = finding(&room.organization, key, room.clock.now(), "s");
    assert!(room.record(&found).await);
    // Last, so that nothing else puts it on the disk.
    room.put(key, None, b"habits").await;
    let room = room.reopened(|_| ());
    assert_eq!(room.store.habits(key).await.unwrap().as_deref(), Some(&b"habits"[..]));
    room.assert_agree().await;
    assert!(!room.record(&found).await);
}

#[tokio::test]
async fn habits_that_nobody_puts_any_more_go() {
    let room = Room::new();
    let keys = [room.key().await, room.key().await, room.key().await];
    for (day, key) in keys.into_iter().enumerate() {
        room.clock.advance(DAY * u32::try_from(day).unwrap());
        room.put(key, None, b"one").await;
    }
    // On days 0, 1 and 3; the second anew on day 3.
    room.put(keys[1], Some(b"one"), b"two").await;
    for (passing, there) in
        [(86, [true, true, true]), (1, [false, true, true]), (2, [false, true, true]), (1, [false; 3])]
    {
        room.clock.advance(DAY * passing);
        for (key, is_there) in keys.into_iter().zip(there) {
            let held = room.store.habits(key).await.unwrap();
            assert_eq!(held, room.model.habits(key).await.unwrap());
            assert_eq!(held.is_some(), is_there, "{passing}");
        }
        room.assert_sound().await;
    }
    room.put(keys[0], None, b"anew").await;
    room.assert_sound().await;
    let path = room.path.clone();
    let Room { store, _directory, .. } = room;
    drop(store);
    assert_eq!(entries(&path)[0], 1);
}

#[tokio::test]
async fn findings_are_kept_as_the_memory_store_keeps_them() {
    let room = Room::new();
    let keys = [room.key().await, room.key().await];
    for day in 0..200_i64 {
        room.clock.advance(DAY);
        // Several a day, of some moments more than one, some late, and some again.
        for number in 0..4 {
            let at = room.clock.now() - TimeDelta::days(day * number % 100);
            let key = keys[usize::from(number % 2 == 0)];
            room.record(&finding(&room.organization, key, at, &format!("s{}", number / 3))).await;
        }
        if day % 20 == 0 {
            room.assert_agree().await;
            room.clock.advance(Duration::from_millis(1));
            room.assert_agree().await;
        }
    }
    let other = sample::organization();
    let found = finding(&other, keys[0], room.clock.now(), "s");
    assert!(room.record(&found).await);
    room.clock.advance(DAY * 89);
    room.assert_agree().await;
    room.clock.advance(DAY);
    room.assert_agree().await;
    assert_eq!(room.store.findings(&other, None, 9, None).await.unwrap(), []);
    assert_eq!(room.store.findings(&other, None, 9, Some(found.cursor())).await.unwrap(), []);
    // What is over goes with the next of its organization.
    for organization in [&room.organization, &other] {
        assert!(room.record(&finding(organization, keys[0], room.clock.now(), "s")).await);
    }
    room.assert_agree().await;
    let path = room.path.clone();
    let Room { store, _directory, .. } = room;
    drop(store);
    assert_eq!(entries(&path)[1], 2);
}

#[tokio::test]
async fn no_more_findings_are_in_the_file_than_are_kept() {
    let room = Room::new();
    let key = room.key().await;
    for number in 0..KEPT + 30 {
        // The times go to and fro.
        let at = room.clock.now() - TimeDelta::milliseconds((number * 7_919 % 2_000) as i64);
        room.record(&finding(&room.organization, key, at, &format!("s{number}"))).await;
    }
    room.assert_agree().await;
    let path = room.path.clone();
    let Room { store, _directory, .. } = room;
    drop(store);
    assert_eq!(entries(&path)[1], KEPT as u64);
}

#[tokio::test]
async fn what_does_not_agree_is_found() {
    let prepared = async || {
        let room = Room::new();
        let key = room.key().await;
        room.put(key, None, b"habits").await;
        room.record(&finding(&room.organization, key, room.clock.now(), "s")).await;
        room.assert_sound().await;
        (room, key)
    };
    let (room, key) = prepared().await;
    let room = room.reopened(|write| drop(write.open_table(HABIT_ENDS).unwrap().pop_first().unwrap()));
    assert!(room.problems().await.contains(&format!("the habits of key {key} are not kept as ending")));
    let (room, _) = prepared().await;
    let room = room.reopened(|write| drop(write.open_table(HABITS).unwrap().pop_first().unwrap()));
    assert!(room.problems().await.contains("1 habits are kept as ending, and there are 0"));
    let (room, _) = prepared().await;
    let room = room.reopened(|write| drop(write.open_table(FINDING_IDS).unwrap().pop_first().unwrap()));
    assert!(room.problems().await.contains("is not known by its id"));
    let (room, _) = prepared().await;
    let room = room.reopened(|write| drop(write.open_table(FINDINGS).unwrap().pop_first().unwrap()));
    assert!(room.problems().await.contains("1 findings are known by their ids, and there are 0"));

    for is_other in [false, true] {
        let (room, key) = prepared().await;
        let (organization, now) = (room.organization.clone(), room.clock.now());
        let id = *finding(&organization, key, now, "s").id.as_bytes();
        let other = finding(&organization, key, now, "other").encode().unwrap();
        let json = if is_other { other } else { b"{}".to_vec() };
        let room = room.reopened(|write| {
            let mut findings = write.open_table(FINDINGS).unwrap();
            let place = (organization.as_str(), now.timestamp_millis(), &id);
            findings.insert(place, (key.as_bytes(), json.as_slice())).unwrap();
        });
        assert!(room.problems().await.contains("finding "));
        let told = room.store.findings(&room.organization, None, 9, None).await;
        assert!(matches!(told, Err(StoreError::Damaged { .. })), "{told:?}");
    }
}

/// A file that was made before there were such tables.
#[tokio::test]
async fn a_file_without_the_tables_is_one_in_which_nothing_was_found() {
    let room = Room::new();
    let key = room.key().await;
    let room = room.reopened(|write| {
        for table in write.list_tables().unwrap().collect::<Vec<_>>() {
            let name = redb::TableHandle::name(&table).to_owned();
            if name.starts_with("habit") || name.starts_with("finding") {
                assert!(write.delete_table(table).unwrap());
            }
        }
    });
    assert_eq!(room.store.habits(key).await.unwrap(), None);
    room.assert_agree().await;
    room.put(key, None, b"habits").await;
    assert!(room.record(&finding(&room.organization, key, room.clock.now(), "s")).await);
    room.assert_agree().await;
}
