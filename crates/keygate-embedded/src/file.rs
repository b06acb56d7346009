//! The open file: its transactions, and who is told of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use keygate_core::clock::Clock;
use keygate_core::coherence::{Change, Lease, Watchers};
use keygate_core::store::StoreError;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::Mutex;

use crate::error::{panicked, storage};
use crate::holder::HolderFile;
use crate::ledgers::Ledgers;

/// What all clones of a store share.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while a write runs and is told of. redb lets one write at a time as well, but would have each that waits
    /// wait on a thread.
    pub(crate) turn: Arc<Mutex<()>>,
    pub(crate) watchers: Watchers,
    /// Without an end while the file is open: nobody else can write to it, and this process tells itself.
    lease: Arc<Lease>,
    pub(crate) ledgers: Ledgers,
    /// What was counted of so many was lost, as what is in the file of them cannot be read.
    pub(crate) passed_over: AtomicU64,
    /// Before the database, so that it goes while the file is still locked.
    _holder: HolderFile,
    database: Database,
}

impl Drop for File {
    /// While the file is still locked: once it is not, others may write to it and tell nobody here.
    fn drop(&mut self) {
        if let Err(error) = self.write_ledgers() {
            tracing::error!(%error, "what was granted of limits in the last second could not be written");
        }
        self.lease.end();
    }
}

impl File {
    pub(crate) fn new(path: PathBuf, clock: Arc<dyn Clock>, holder: HolderFile, database: Database) -> Self {
        Self {
            path,
            clock,
            turn: Arc::default(),
            watchers: Watchers::new(),
            lease: Arc::new(Lease::forever()),
            ledgers: Ledgers::default(),
            passed_over: AtomicU64::new(0),
            _holder: holder,
            database,
        }
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease)
    }

    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction, DateTime<Utc>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.database.begin_read().map_err(storage)?;
            read(&transaction, self.clock.now())
        }));
        result.unwrap_or_else(|panic| Err(StoreError::damaged("pages", panicked(&*panic))))
    }

    /// Commits what succeeds, then tells of `changes`; what is refused or fails before that leaves nothing, and nothing
    /// is told of it.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        changes: &[Change],
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, E>,
    ) -> Result<T, E> {
        // One sync: 0.37 ms where two phases, which guard against somebody who chooses the order of writes to the
        // disk, took 0.47. Opening after a crash reads the file once, 0.7 s for a million keys; redb's quick
        // repair would halve that, for writes that take twice as long.
        self.commit(Durability::Immediate, changes, write)
    }

    /// The same for what a crash may lose, and of which nobody is told: it is on the disk with the next write, or when the
    /// file is closed.
    pub(crate) fn write_behind<T>(
        &self,
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.commit(Durability::None, &[], write)
    }

    fn commit<T, E: From<StoreError>>(
        &self,
        durability: Durability,
        changes: &[Change],
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut may_be_committed = false;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut transaction = self.database.begin_write().map_err(storage)?;
            transaction.set_durability(durability).map_err(storage)?;
            let outcome = write(&transaction, self.clock.now())?;
            may_be_committed = true;
            transaction.commit().map_err(storage)?;
            Ok(outcome)
        }));
        // A commit that failed or panicked may have happened all the same. It is told after the commit, or somebody who
        // was told could read what was before it and go on believing that.
        if may_be_committed {
            changes.iter().for_each(|change| self.watchers.tell(change));
        }
        result.unwrap_or_else(|panic| Err(StoreError::damaged("pages", panicked(&*panic)).into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::sync::{PoisonError, Weak};
    use std::time::Duration;

    use keygate_core::clock::{SystemClock, Tick};
    use keygate_core::coherence::Watcher;
    use keygate_core::key::KeyId;
    use keygate_core::store::WriteRefusal;
    use redb::backends::InMemoryBackend;
    use redb::{Builder, StorageBackend};

    use super::*;
    use crate::tables::META;

    const WORKS: u8 = 0;
    const FAILS: u8 = 1;
    const PANICS: u8 = 2;

    /// A disk whose syncs go wrong.
    #[derive(Debug)]
    struct Disk {
        memory: InMemoryBackend,
        syncs: Arc<AtomicU8>,
    }

    impl StorageBackend for Disk {
        fn len(&self) -> Result<u64, io::Error> {
            self.memory.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            self.memory.read(offset, out)
        }

        fn set_len(&self, len: u64) -> Result<(), io::Error> {
            self.memory.set_len(len)
        }

        fn sync_data(&self) -> Result<(), io::Error> {
            match self.syncs.load(Ordering::SeqCst) {
                WORKS => self.memory.sync_data(),
                FAILS => Err(io::Error::other("the disk is gone")),
                _ => panic!("the disk is worse than gone"),
            }
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            self.memory.write(offset, data)
        }
    }

    #[derive(Debug, Default)]
    struct Ear(std::sync::Mutex<Vec<Change>>);

    impl Watcher for Ear {
        fn changed(&self, change: &Change) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(change.clone());
        }
    }

    struct Room {
        file: File,
        ear: Arc<Ear>,
        syncs: Arc<AtomicU8>,
        _directory: tempfile::TempDir,
    }

    impl Room {
        fn new() -> Self {
            let syncs = Arc::new(AtomicU8::new(WORKS));
            let disk = Disk { memory: InMemoryBackend::new(), syncs: Arc::clone(&syncs) };
            let database = Builder::new().create_with_backend(disk).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("keys.redb");
            let holder = HolderFile::write(&path, Utc::now());
            let file = File::new(path, Arc::new(SystemClock), holder, database);
            let ear = Arc::new(Ear::default());
            let watcher: Weak<Ear> = Arc::downgrade(&ear);
            file.watchers.add(watcher, Duration::ZERO);
            Self { file, ear, syncs, _directory: directory }
        }

        fn write(&self, change: &Change) -> Result<(), StoreError> {
            self.file.write(std::slice::from_ref(change), |transaction, _| {
                assert_eq!(self.heard(), [], "told before the commit");
                transaction.open_table(META).map_err(storage)?.insert("a", b"b".as_slice()).map_err(storage)?;
                Ok(())
            })
        }

        fn heard(&self) -> Vec<Change> {
            std::mem::take(&mut *self.ear.0.lock().unwrap())
        }
    }

    fn change() -> Change {
        Change::Key(KeyId::fresh(Utc::now(), None).unwrap())
    }

    #[test]
    fn a_change_is_told_when_its_commit_succeeded_failed_or_panicked() {
        for syncs in [WORKS, FAILS, PANICS] {
            let (room, change) = (Room::new(), change());
            room.syncs.store(syncs, Ordering::SeqCst);
            assert_eq!(room.write(&change).is_ok(), syncs == WORKS);
            assert_eq!(room.heard(), [change]);
        }
    }

    #[test]
    fn what_was_refused_is_not_told() {
        let room = Room::new();
        let refused = room.file.write(&[change()], |_, _| Err::<(), _>(WriteRefusal::Absent));
        assert!(matches!(refused, Err(WriteRefusal::Absent)));
        let panicked =
            room.file.write(&[change()], |_, _| -> Result<(), StoreError> { panic!("a page makes no sense") });
        assert!(matches!(panicked, Err(StoreError::Damaged { .. })));
        assert_eq!(room.heard(), []);
    }

    #[test]
    fn a_lease_ends_with_the_file() {
        let room = Room::new();
        let lease = room.file.lease();
        assert!(lease.is_live(Tick::now()));
        drop(room);
        assert!(lease.has_ended());
    }
}
