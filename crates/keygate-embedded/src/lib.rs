//! The single-file store of keygate, on [redb]: for one process that keeps its keys beside it.
//!
//! ```no_run
//! use keygate_core::store::Store;
//! use keygate_embedded::EmbeddedStore;
//!
//! let store = EmbeddedStore::open("/var/lib/keygate/keys.redb")?;
//! assert_eq!(store.describe(), "file:/var/lib/keygate/keys.redb");
//! # Ok::<(), keygate_embedded::OpenError>(())
//! ```
//!
//! - **One process.** The file is locked while it is open. Whoever else opens it is told which process holds it. A
//!   [`EmbeddedStore`] is cheap to clone; clones share the file.
//! - **On disk when answered.** Every write is one transaction, synced to the disk before it is acknowledged, with all
//!   that belongs to it: the record, its places in the lists, its share of the quotas. A crash leaves the whole of a
//!   transaction or nothing of it. A bulk creation is one transaction for each 10,000 keys.
//! - **Told when answered.** Whoever [watches](keygate_core::store::Store::watch) the store, over whichever clone, is told
//!   of a change after it is on the disk and before it is answered. What was read may be kept until then, for as long as
//!   the file is open.
//! - **Limits once a second.** What was granted of limits is written each second and when the file is closed: a crash may
//!   forget the last second of it.
//! - **Usage once a second.** What an instance counted of requests is on the disk when it is acknowledged, all that one call
//!   tells in one transaction. What is kept for a time only goes as time passes and something is counted.
//! - **What is unusual.** A finding is on the disk when it is recorded. What is learned of a key's habits is there with the
//!   next write, and is learned anew after a crash that comes before it.
//! - **The audit.** An entry is on the disk when it is acknowledged, in a transaction of its own.
//! - **A local disk.** File locks and syncs of network file systems are not what this relies on.
//! - **When the disk fails** the store answers that it is unavailable, and goes on doing so until it is opened anew,
//!   since nobody knows what of the failed write the disk has.
//!
//! # The files
//! The store file is made readable and writable by its owner alone. Beside it stands a small file with `.holder`
//! after its name, which says who has the store open; it may be removed at any time. To back a store up, stop its
//! process and copy the file.

#![forbid(unsafe_code)]

mod audit;
mod error;
mod examine;
mod file;
mod findings;
mod habits;
mod holder;
mod ledgers;
mod listing;
mod lookups;
mod memos;
mod notices;
mod open;
mod parents;
mod quota;
mod records;
mod store;
mod tables;
mod usage;
mod verify;

pub use error::OpenError;
pub use examine::examine_file;
pub use holder::Holder;
pub use store::EmbeddedStore;
pub use verify::Verification;
