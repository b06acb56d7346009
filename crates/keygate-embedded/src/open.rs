//! Opening a store file: making it if need be, locking it, and making sure that it is one.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use keygate_core::record::KeyRecord;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableHandle, UntypedTableHandle,
};

use crate::error::{OpenError, panicked};
use crate::holder;
use crate::quota::owner_of;
use crate::records::due_day;
use crate::tables::{DUE, ENDS, FORMAT, FORMAT_WORD, META, PROJECT_COUNTS, RECORDS, create_all};

/// Pages held in memory: about half of it is read cache. The operating system's page cache stands behind it, so more
/// would mostly hold the same pages twice.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What every redb file begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Opens the database in a file, which is made if it is not there.
pub(crate) fn database(path: &Path) -> Result<Database, OpenError> {
    let fresh = make(path)?;
    check_magic(path)?;
    // A file that something else wrote into may make redb panic; see `panicked`.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(|error| refused(path, error))?;
        check_format(path, &database)?;
        Ok(database)
    }));
    let database = opened.unwrap_or_else(|panic| Err(damaged(path, panicked(&*panic))))?;
    if fresh {
        sync_directory(path)?;
    }
    Ok(database)
}

/// Makes an empty file that is its owner's alone, and says whether there was none.
fn make(path: &Path) -> Result<bool, OpenError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

/// redb finds this out too, but its error for it is one of many that say "invalid data".
fn check_magic(path: &Path) -> Result<(), OpenError> {
    let mut start = Vec::new();
    let file = fs::File::open(path).map_err(|error| failed(path, error))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(|error| failed(path, error))?;
    // An empty file is one that nobody has written to yet.
    if start.is_empty() || start == MAGIC { Ok(()) } else { Err(OpenError::NotAStore { path: path.into() }) }
}

/// Sets an empty database up, and refuses one that is not ours or that this version does not know.
fn check_format(path: &Path, database: &Database) -> Result<(), OpenError> {
    let not_a_store = || OpenError::NotAStore { path: path.into() };
    let broken = |error: redb::Error| damaged(path, error.to_string());
    let read = database.begin_read().map_err(|error| broken(error.into()))?;
    let tables: Vec<_> = read.list_tables().map_err(|error| broken(error.into()))?.collect();
    if tables.is_empty() && read.list_multimap_tables().map_err(|error| broken(error.into()))?.next().is_none() {
        return set_up(database).map_err(|error| match error {
            redb::Error::Io(source) => failed(path, source),
            error => broken(error),
        });
    }
    if !tables.iter().any(|table| table.name() == META.name()) {
        return Err(not_a_store());
    }
    let meta = read.open_table(META).map_err(|_| not_a_store())?;
    let held = meta.get(FORMAT_WORD).map_err(|error| broken(error.into()))?.ok_or_else(not_a_store)?;
    let format = std::str::from_utf8(held.value()).ok().and_then(|text| text.parse().ok());
    match format {
        Some(FORMAT) => complete(database, &tables).map_err(broken),
        Some(found) if found > FORMAT => Err(OpenError::Newer { path: path.into(), found, known: FORMAT }),
        _ => Err(damaged(path, "its format version is not a number that was ever used".into())),
    }
}

fn set_up(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    create_all(&transaction)?;
    transaction.open_table(META)?.insert(FORMAT_WORD, FORMAT.to_string().as_bytes())?;
    transaction.commit()?;
    Ok(())
}

/// Makes what a file of before there was such a thing does not have.
fn complete(database: &Database, tables: &[UntypedTableHandle]) -> Result<(), redb::Error> {
    let is_there = |name: &str| tables.iter().any(|table| table.name() == name);
    if !is_there(DUE.name()) {
        list_due(database)?;
    }
    if !is_there(PROJECT_COUNTS.name()) {
        count_projects(database)?;
    }
    Ok(())
}

/// Counts the keys of each project, of those that count at all, and says with their ends of which project they are.
fn count_projects(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let (records, mut ends) = (transaction.open_table(RECORDS)?, transaction.open_table(ENDS)?);
        let mut counts = transaction.open_table(PROJECT_COUNTS)?;
        for entry in records.iter()? {
            let (id, bytes) = entry?;
            let Ok(KeyRecord { key, .. }) = KeyRecord::decode(bytes.value()) else { continue };
            let Some(project) = &key.project else { continue };
            if let Some(end) = key.counts_until() {
                let place = (key.organization.as_str(), end.timestamp_millis(), id.value());
                if ends.get(place)?.is_none() {
                    continue;
                }
                ends.insert(place, owner_of(&key).as_str())?;
            }
            let place = (key.organization.as_str(), project.as_str());
            let count = counts.get(place)?.map_or(0, |count| count.value());
            counts.insert(place, count + 1)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Lists the keys to which something is due. A record that cannot be read is told of where it is used.
fn list_due(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let (records, mut due) = (transaction.open_table(RECORDS)?, transaction.open_table(DUE)?);
        for entry in records.iter()? {
            let (id, bytes) = entry?;
            let record = KeyRecord::decode(bytes.value()).ok();
            if let Some(day) = record.as_ref().and_then(due_day) {
                due.insert((day, id.value()), ())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// What redb's error means, with the file named.
fn refused(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Held { path: path.into(), holder: holder::of(path) }
        }
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::InvalidData => {
            damaged(path, source.to_string())
        }
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "it is cut short".into())
        }
        DatabaseError::Storage(StorageError::Io(source)) => failed(path, source),
        error => damaged(path, error.to_string()),
    }
}

fn failed(path: &Path, source: io::Error) -> OpenError {
    let directory = directory_of(path);
    match source.kind() {
        io::ErrorKind::NotFound if !directory.is_dir() => OpenError::NoDirectory { path: path.into(), directory },
        io::ErrorKind::PermissionDenied => OpenError::Permission { path: path.into(), source },
        _ => OpenError::Io { path: path.into(), source },
    }
}

fn damaged(path: &Path, problem: String) -> OpenError {
    OpenError::Damaged { path: path.into(), problem }
}

pub(crate) fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => ".".into(),
    }
}

/// The name of a new file is on the disk only when its directory is.
fn sync_directory(path: &Path) -> Result<(), OpenError> {
    #[cfg(unix)]
    fs::File::open(directory_of(path))
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(path, error))?;
    Ok(())
}
