//! What was granted of limits: answered from memory, and written to the file once a second.
//!
//! A sync for each grant would be a hundred times slower than what it counts. So a crash may forget what was granted in the
//! last second, and as much may be granted once more; a process that ends as it should forgets nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keygate_core::limiter::call::{Answer, Call};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::policy::PoolId;
use keygate_core::limiter::window::Millis;
use keygate_core::limits::Limits;
use keygate_core::store::StoreError;
use redb::{ReadTransaction, ReadableTable, Table, TableError, WriteTransaction};
use tokio::task::JoinHandle;

use crate::error::storage;
use crate::file::File;
use crate::tables::{LEDGER_ENDS, LEDGERS};

/// How long what was granted may be in memory alone.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);
/// How many that are over go with each that is written.
const SWEPT: usize = 2;
/// How many are in memory before those that are written are let go of.
const SWEEP_FIRST: usize = 10_000;

/// The ledgers in use.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    held: Mutex<Held>,
    writing: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Held {
    ledgers: HashMap<String, Kept>,
    sweep_at: usize,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    ledger: Ledger,
    end: Millis,
    written: Written,
}

/// Whether the file has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Written {
    #[default]
    No,
    /// It is on the way: until it is there, it may not be let go of.
    Underway,
    Yes,
}

/// A ledger to write: its pool's name, its end, its bytes.
type Dirty = Vec<(String, Millis, Vec<u8>)>;

fn name_of(pool: &PoolId) -> String {
    match pool {
        PoolId::Lineage(root) => format!("key:{root}"),
        PoolId::User(organization, user) => format!("user:{organization}:{user}"),
        PoolId::Project(organization, project) => format!("project:{organization}:{project}"),
        PoolId::Organization(organization) => format!("organization:{organization}"),
    }
}

impl Ledgers {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call; `read` finds what the file has of a pool.
    fn call(
        &self,
        pool: &PoolId,
        limits: &Limits,
        call: &Call,
        now: Millis,
        read: impl FnOnce(&str) -> Result<Option<(Millis, Ledger)>, StoreError>,
    ) -> Result<Answer, StoreError> {
        let name = name_of(pool);
        let mut held = self.held();
        let mut kept = match held.ledgers.get_mut(&name) {
            Some(kept) => std::mem::take(kept),
            None => match read(&name)? {
                Some((end, ledger)) => Kept { ledger, end, written: Written::Yes },
                None => Kept { written: Written::Yes, ..Kept::default() },
            },
        };
        if kept.end <= now {
            kept.ledger = Ledger::new();
        }
        let answer = kept.ledger.call(limits, call, now);
        if !call.only_looks() {
            (kept.end, kept.written) = (kept.ledger.expires(), Written::No);
        }
        held.keep(name, kept);
        Ok(answer)
    }

    /// What is to be written, which is underway from now on.
    fn dirty(&self) -> Result<Dirty, StoreError> {
        let mut dirty = Vec::new();
        for (name, kept) in self.held().ledgers.iter_mut().filter(|(_, kept)| kept.written == Written::No) {
            let bytes = postcard::to_stdvec(&kept.ledger).map_err(StoreError::unavailable)?;
            dirty.push((name.clone(), kept.end, bytes));
            kept.written = Written::Underway;
        }
        Ok(dirty)
    }

    /// What was underway was written, or was not. What has changed meanwhile is not written either way.
    fn arrived(&self, dirty: &Dirty, is_written: bool) {
        let mut held = self.held();
        for (name, ..) in dirty {
            if let Some(kept) = held.ledgers.get_mut(name).filter(|kept| kept.written == Written::Underway) {
                kept.written = if is_written { Written::Yes } else { Written::No };
            }
        }
    }

    /// Lets go of all that is in memory.
    #[cfg(test)]
    fn forget(&self) {
        self.held().ledgers.clear();
    }
}

impl Held {
    fn keep(&mut self, name: String, kept: Kept) {
        if self.ledgers.len() >= self.sweep_at.max(SWEEP_FIRST) {
            self.ledgers.retain(|_, kept| kept.written != Written::Yes);
            self.sweep_at = 2 * self.ledgers.len();
        }
        self.ledgers.insert(name, kept);
    }
}

impl File {
    /// Answers a call for tokens of a pool.
    pub(crate) fn grant(self: &Arc<Self>, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let now = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or_default();
        let read = |name: &str| self.read(|transaction, _| read(transaction, name));
        let answer = self.ledgers.call(pool, limits, call, now, read)?;
        if !call.only_looks() {
            self.write_ledgers_soon();
        }
        Ok(answer)
    }

    /// Writes what was granted, in a while; unless somebody will.
    fn write_ledgers_soon(self: &Arc<Self>) {
        // Without a runtime it is written when the file is closed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut writing = self.ledgers.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let file = Arc::downgrade(self);
        *writing = Some(runtime.spawn(async move {
            loop {
                tokio::time::sleep(WRITTEN_EVERY).await;
                let Some(file) = file.upgrade() else { return };
                let turn = Arc::clone(&file.turn).lock_owned().await;
                // On a thread that may block; nobody waits for it but this task.
                let written = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    file.write_ledgers()
                });
                match written.await {
                    Ok(Err(error)) => tracing::warn!(%error, "what was granted of limits could not be written"),
                    Ok(Ok(())) => {}
                    Err(_) => return,
                }
            }
        }));
    }

    /// Writes what was granted, by one who has the turn.
    pub(crate) fn write_ledgers(&self) -> Result<(), StoreError> {
        let dirty = self.ledgers.dirty()?;
        if dirty.is_empty() {
            return Ok(());
        }
        let written = self.write(&[], |transaction, now| {
            let now = u64::try_from(now.timestamp_millis()).unwrap_or_default();
            write(transaction, &dirty, now)
        });
        self.ledgers.arrived(&dirty, written.is_ok());
        written
    }
}

fn read(transaction: &ReadTransaction, name: &str) -> Result<Option<(Millis, Ledger)>, StoreError> {
    let ledgers = match transaction.open_table(LEDGERS) {
        // A file in which nothing was ever granted, made before there were ledgers.
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        ledgers => ledgers.map_err(storage)?,
    };
    let Some(held) = ledgers.get(name).map_err(storage)? else { return Ok(None) };
    let (end, bytes) = held.value();
    let ledger = postcard::from_bytes(bytes).map_err(|error| StoreError::damaged(format!("ledger {name}"), error))?;
    Ok(Some((end, ledger)))
}

fn write(transaction: &WriteTransaction, dirty: &Dirty, now: Millis) -> Result<(), StoreError> {
    let mut ledgers = transaction.open_table(LEDGERS).map_err(storage)?;
    let mut ends = transaction.open_table(LEDGER_ENDS).map_err(storage)?;
    sweep(&mut ledgers, &mut ends, now, SWEPT * dirty.len())?;
    for (name, end, bytes) in dirty {
        let before = ledgers.insert(name.as_str(), (*end, bytes.as_slice())).map_err(storage)?;
        if let Some(before) = before.map(|before| before.value().0) {
            ends.remove((before, name.as_str())).map_err(storage)?;
        }
        ends.insert((*end, name.as_str()), ()).map_err(storage)?;
    }
    Ok(())
}

/// Takes away ledgers of which nothing is needed any more.
fn sweep(
    ledgers: &mut Table<'_, &'static str, (u64, &'static [u8])>,
    ends: &mut Table<'_, (u64, &'static str), ()>,
    now: Millis,
    most: usize,
) -> Result<(), StoreError> {
    for entry in ends.extract_from_if((0, "")..(now, ""), |_, ()| true).map_err(storage)?.take(most) {
        let (end, _) = entry.map_err(storage)?;
        ledgers.remove(end.value().1).map_err(storage)?;
    }
    Ok(())
}

/// Whether every ledger has its end and nothing else has one: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let ledgers = match transaction.open_table(LEDGERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        ledgers => ledgers.map_err(storage)?,
    };
    let ends = transaction.open_table(LEDGER_ENDS).map_err(storage)?;
    let mut count = 0_u64;
    for entry in ledgers.iter().map_err(storage)? {
        let (name, held) = entry.map_err(storage)?;
        count += 1;
        if ends.get((held.value().0, name.value())).map_err(storage)?.is_none() {
            return Ok(Some(format!("the ledger {} is not kept as ending", name.value())));
        }
    }
    let ends = ends.iter().map_err(storage)?.count() as u64;
    Ok((count != ends).then(|| format!("{ends} ledgers are kept as ending, and there are {count}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use keygate_core::limiter::call::{Outcome, Writer};

    use super::*;
    use crate::EmbeddedStore;
    use keygate_core::store::Store;

    fn call(sequence: u64, cost: u64) -> Call {
        let now = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap();
        Call { writer: Writer(7), sequence, cost, not_after: now + 5_000, instances: 1, ..Call::default() }
    }

    #[tokio::test]
    async fn what_was_granted_outlives_the_process_and_what_is_let_go_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        let pool = PoolId::Organization("acme".parse().unwrap());
        let limits = Limits { per_month: Some(10), ..Limits::UNLIMITED };
        let store = EmbeddedStore::open(&path).unwrap();
        let answer = store.lease(&pool, &limits, &call(1, 4)).await.unwrap();
        assert_eq!(answer.left, [None, None, None, Some(6)]);
        drop(store);

        let store = EmbeddedStore::open(&path).unwrap();
        assert_eq!(store.lease(&pool, &limits, &Call::look()).await.unwrap().left[3], Some(6));
        store.file().write_ledgers().unwrap();
        store.file().ledgers.forget();
        let answer = store.lease(&pool, &limits, &call(2, 6)).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Granted(_)), "{answer:?}");
        assert_eq!(answer.left[3], Some(0));
        store.file().write_ledgers().unwrap();
        assert_eq!(store.file().read(|read, _| disagreement(read)).unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_over_is_taken_out_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
        let over = vec![("key:over".to_owned(), 5, vec![1]), ("key:later".to_owned(), u64::MAX, vec![1])];
        store.file().write(&[], |transaction, _| write(transaction, &over, 0)).unwrap();
        let new = vec![("key:new".to_owned(), u64::MAX, vec![1])];
        store.file().write(&[], |transaction, _| write(transaction, &new, 6)).unwrap();
        let names: Result<Vec<String>, StoreError> = store.file().read(|read, _| {
            assert_eq!(disagreement(read)?, None);
            let ledgers = read.open_table(LEDGERS).map_err(storage)?;
            ledgers.iter().map_err(storage)?.map(|entry| Ok(entry.map_err(storage)?.0.value().to_owned())).collect()
        });
        assert_eq!(names.unwrap(), vec!["key:later".to_owned(), "key:new".to_owned()]);
    }
}
