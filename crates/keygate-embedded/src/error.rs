//! What can go wrong when a store file is opened, and what redb's errors mean to a caller of the store.

use std::any::Any;
use std::io;
use std::path::PathBuf;

use keygate_core::store::StoreError;

use crate::holder::Holder;

/// Why a store file was not opened. Each names the file, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the store file {} is {holder}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// There is no directory to make it in.
    #[error(
        "the store file {} cannot be created: the directory {} does not exist; create it first",
        path.display(), directory.display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The directory that is not there.
        directory: PathBuf,
    },
    /// This process may not.
    #[error(
        "the store file {} cannot be opened: permission denied; this process's user must be able to read and write it",
        path.display()
    )]
    Permission {
        /// The file.
        path: PathBuf,
        /// As the operating system put it.
        #[source]
        source: io::Error,
    },
    /// The operating system refused otherwise.
    #[error("the store file {} cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// As the operating system put it.
        #[source]
        source: io::Error,
    },
    /// It is a file of something else.
    #[error("{} is not a keygate store file; point keygate at another path, or move that file away", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A newer keygate wrote it.
    #[error(
        "the store file {} is of format {found}, and this version of keygate reads format {known}; upgrade keygate",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is read.
        known: u64,
    },
    /// Its contents make no sense.
    #[error("the store file {} is damaged: {problem}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
}

/// What an error of redb means to the caller of a store.
pub(crate) fn storage(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_) => StoreError::damaged("pages", error),
        _ => StoreError::unavailable(error),
    }
}

/// redb checks what it reads and answers with errors, but says itself that a page altered behind its back may make it
/// panic. To a caller that is damage like any other, and it must not end the caller's thread.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("reading it failed an assertion ({})", message.unwrap_or("without a message"))
}
