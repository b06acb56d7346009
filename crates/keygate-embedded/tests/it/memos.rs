//! What is remembered is over by the clock the store was given, is on the disk, and does not stay when it is over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keygate_core::store::{MemoName, Store};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::{HeldClock, sample};
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

type Name = &'static [u8; 32];

const HOUR: Duration = Duration::from_secs(3600);
const MEMOS: TableDefinition<'_, Name, (i64, &[u8])> = TableDefinition::new("memos");
const MEMO_ENDS: TableDefinition<'_, (i64, Name), ()> = TableDefinition::new("memo_ends");

struct Room {
    path: PathBuf,
    clock: HeldClock,
    _directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        Self { path, clock: HeldClock::new(), _directory: directory }
    }

    fn open(&self) -> EmbeddedStore {
        EmbeddedStore::open_with_clock(&self.path, self.clock.clone()).unwrap()
    }
}

fn name() -> MemoName {
    MemoName::from_bytes(sample::random())
}

/// How many memos are in a file that nobody has open, whether or not they are over.
fn kept(path: &Path) -> u64 {
    let database = redb::Database::open(path).unwrap();
    let read = database.begin_read().unwrap();
    let memos = read.open_table(MEMOS).unwrap().len().unwrap();
    assert_eq!(read.open_table(MEMO_ENDS).unwrap().len().unwrap(), memos);
    memos
}

async fn assert_sound(store: &EmbeddedStore) {
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_memo_lives_as_long_as_it_was_given_and_outlives_the_process() {
    let room = Room::new();
    let name = name();
    let store = room.open();
    assert_eq!(store.remember(&name, b"first", HOUR).await.unwrap(), None);
    drop(store);

    let store = room.open();
    room.clock.advance(HOUR - Duration::from_millis(1));
    assert_eq!(store.remember(&name, b"second", HOUR).await.unwrap().as_deref(), Some(&b"first"[..]));
    room.clock.advance(Duration::from_millis(1));
    assert_eq!(store.recall(&name).await.unwrap(), None);
    assert_eq!(store.remember(&name, b"third", Duration::MAX).await.unwrap(), None);
    room.clock.advance(HOUR * 24 * 365);
    assert_eq!(store.recall(&name).await.unwrap().as_deref(), Some(&b"third"[..]));
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_is_over_goes_with_what_comes() {
    let room = Room::new();
    let store = room.open();
    let again = name();
    assert_eq!(store.remember(&again, b"first", HOUR).await.unwrap(), None);
    for _ in 0..100 {
        store.remember(&name(), b"value", HOUR).await.unwrap();
    }
    room.clock.advance(HOUR);
    // Some of many at a time, whether or not its own is among them.
    assert_eq!(store.remember(&again, b"second", HOUR).await.unwrap(), None);
    assert_sound(&store).await;
    drop(store);
    let left = kept(&room.path);
    assert!((50..100).contains(&left), "{left}");

    let store = room.open();
    for _ in 0..10 {
        store.remember(&name(), b"value", HOUR).await.unwrap();
    }
    assert_eq!(store.recall(&again).await.unwrap().as_deref(), Some(&b"second"[..]));
    assert_sound(&store).await;
    drop(store);
    assert_eq!(kept(&room.path), 11);
}

#[tokio::test]
async fn a_file_made_before_there_were_memos_takes_them() {
    let room = Room::new();
    drop(room.open());
    let database = redb::Database::open(&room.path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(MEMOS).unwrap() && transaction.delete_table(MEMO_ENDS).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let store = room.open();
    let name = name();
    assert_sound(&store).await;
    assert_eq!(store.recall(&name).await.unwrap(), None);
    assert_eq!(store.remember(&name, b"value", HOUR).await.unwrap(), None);
    assert_eq!(store.recall(&name).await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_memo_without_its_end_is_found() {
    let room = Room::new();
    let store = room.open();
    let name = name();
    store.remember(&name, b"value", HOUR).await.unwrap();
    drop(store);
    let database = redb::Database::open(&room.path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(MEMO_ENDS).unwrap().pop_first().unwrap();
    transaction.commit().unwrap();
    drop(database);
    let problems = room.open().verify().await.unwrap().problems.join("\n");
    assert_eq!(problems, format!("what is remembered as {name} is not kept as ending"));
}
