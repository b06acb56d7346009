//! The store: each method is one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::clock::{Clock, SystemClock};
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quota, Revision, StatusChange};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Listing, QuotaUse, RecordPage, Store, StoreError, WriteRefusal, Written,
};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use tokio::sync::Mutex;

use crate::error::{OpenError, panicked, storage};
use crate::holder::HolderFile;
use crate::tables::{KeyTables, META, RECORDS, decode, reading, record_of};
use crate::verify::Verification;
use crate::{listing, open, parents, quota, verify};

/// The keys created in one transaction: enough that syncing it costs little a key, few enough that others who write
/// do not wait for seconds.
const CHUNK: usize = 10_000;

/// On disk, in one place.
const SYNCED: Acknowledgement = Acknowledgement { replicas: 0, fsynced: Some(true) };

/// A store in one file. Cheap to clone: clones share the file. See the [crate docs](crate).
///
/// It needs a tokio runtime. `Debug` shows the path alone.
#[derive(Clone)]
pub struct EmbeddedStore {
    file: Arc<File>,
}

struct File {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// Held while a write runs. redb lets one write at a time as well, but would have each that waits wait on a thread.
    turn: Arc<Mutex<()>>,
    /// Before the database, so that it goes while the file is still locked.
    _holder: HolderFile,
    database: Database,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens a store file, and makes it if it is not there. It blocks the thread: shortly as a rule, and after a crash
    /// for as long as it takes to read the file once.
    ///
    /// # Errors
    /// When another process has it open, or it cannot be opened, or it is not a store file of a known version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_clock(path, SystemClock)
    }

    /// The same, with the time, by which keys stop counting against quotas, read from `clock`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(path: impl AsRef<Path>, clock: impl Clock) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let database = open::database(&path)?;
        let holder = HolderFile::write(&path, clock.now());
        let file = File { path, clock: Arc::new(clock), turn: Arc::default(), _holder: holder, database };
        Ok(Self { file: Arc::new(file) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Looks at every record, list and count, and says what does not agree. It reads the whole file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        self.read_long(verify::verify).await
    }

    /// Reads on this thread. A record out of a page in memory takes 2.3 us among 100,000 keys and 5.6 us among a million;
    /// handing the work to another thread and back took 31 us. Reads never wait for writes. A page that is only on the
    /// disk holds the thread up for as long as the disk takes, once.
    fn read_short<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.file.read(|transaction, _| read(transaction))
    }

    /// Reads what may be long on a thread for that.
    async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction, DateTime<Utc>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        blocking(move || file.read(read)).await?
    }

    /// One transaction, in its turn, on a thread for that. Once its turn has come it is finished, whether or not
    /// anybody still waits for it.
    async fn write<T, E>(
        &self,
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = Arc::clone(&self.file.turn).lock_owned().await;
        let file = Arc::clone(&self.file);
        blocking(move || {
            let _turn = turn;
            file.write(write)
        })
        .await?
    }

    /// One transaction on the tables of keys.
    async fn write_keys<T, E>(
        &self,
        write: impl FnOnce(&mut KeyTables<'_>, DateTime<Utc>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write(|transaction, now| write(&mut KeyTables::open(transaction)?, now)).await
    }
}

impl File {
    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction, DateTime<Utc>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.database.begin_read().map_err(storage)?;
            read(&transaction, self.clock.now())
        }));
        result.unwrap_or_else(|panic| Err(StoreError::damaged("pages", panicked(&*panic))))
    }

    /// Commits what succeeds; what is refused or fails leaves nothing.
    fn write<T, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut transaction = self.database.begin_write().map_err(storage)?;
            // One sync: 0.37 ms where two phases, which guard against somebody who chooses the order of writes to the
            // disk, took 0.47. Opening after a crash reads the file once, 0.7 s for a million keys; redb's quick
            // repair would halve that, for writes that take twice as long.
            transaction.set_durability(Durability::Immediate).map_err(storage)?;
            let outcome = write(&transaction, self.clock.now())?;
            transaction.commit().map_err(storage)?;
            Ok(outcome)
        }));
        result.unwrap_or_else(|panic| Err(StoreError::damaged("pages", panicked(&*panic)).into()))
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    // The work catches its panics, so what is left is a runtime that shuts down.
    tokio::task::spawn_blocking(work).await.map_err(StoreError::unavailable)
}

#[async_trait]
impl Store for EmbeddedStore {
    fn describe(&self) -> String {
        format!("file:{}", self.file.path.display())
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.read_short(|read| parents::deployment(&reading(read, META)?))
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        let (previous, next) = (previous.cloned(), next.clone());
        self.write(move |write, _| parents::put_deployment(write, previous.as_ref(), &next)).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.read_short(|read| record_of(&reading(read, RECORDS)?, id))
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        self.read_short(|read| parents::parents(read, organization, project))
    }

    /// One transaction for each 10,000 keys: when one fails, those before it have happened.
    async fn create(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        if let Some(stray) = records.iter().find(|record| record.key.organization != *organization) {
            return Err(StoreError::stray(stray.key.id));
        }
        let mut outcomes = Vec::with_capacity(records.len());
        let mut left = records.into_iter().peekable();
        while left.peek().is_some() {
            let (organization, chunk) = (organization.clone(), left.by_ref().take(CHUNK).collect::<Vec<_>>());
            let created = self.write_keys(move |tables, now| {
                tables.sweep(&organization, now)?;
                tables.create(quota, &chunk, now)
            });
            outcomes.append(&mut created.await?);
        }
        Ok(outcomes)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let record = record.clone();
        self.write_keys(move |tables, now| tables.replace(&record, expected, now)).await?;
        Ok(SYNCED)
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let (organization, change) = (organization.clone(), change.clone());
        let written = self.write_keys(move |tables, now| tables.set_status(&organization, id, change, now)).await?;
        Ok(Written { record: written, acknowledgement: SYNCED })
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let organization = organization.clone();
        self.write_keys(move |tables, _| tables.delete(&organization, id, expected)).await?;
        Ok(SYNCED)
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let listing = listing.clone();
        self.read_long(move |read, _| listing::page(read, &listing, after, limit)).await
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        let (organization, user) = (organization.clone(), user.clone());
        self.read_long(move |read, now| quota::quota_use(read, &organization, &user, now)).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let record = record.clone();
        self.write(move |write, _| parents::put_organization(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let record = record.clone();
        self.write(move |write, _| parents::put_project(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.read_long(|read, now| {
            let mut usage = BTreeMap::new();
            for entry in reading(read, RECORDS)?.iter().map_err(storage)? {
                let (id, bytes) = entry.map_err(storage)?;
                let record = decode(KeyId::from_bytes(*id.value()), bytes.value())?;
                if record.key.counts_until().is_some_and(|end| end <= now) {
                    continue;
                }
                for entry in BTreeSet::from([record.minted_under, record.digested_under]) {
                    *usage.entry(entry).or_insert(0) += 1;
                }
            }
            Ok(usage)
        })
        .await
    }
}
