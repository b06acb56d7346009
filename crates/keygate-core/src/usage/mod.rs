//! Every request counted once, without a call to the store in its path.
//!
//! # How a request gets into the figures
//!
//! - `tally`: what one stripe of a key's meter has counted: plain numbers under a lock of their own.
//! - `names`: those of endpoints, which meters share.
//! - `meter`: a key's meter. A request counts on the first stripe that is free; there are as many as threads have met.
//! - `recorder`: an instance's side. Once a second it empties the meters that were used, and adds what it finds to what is
//!   to be told of the key and of what stands above it.
//! - `outbox`: what is to be told of the subjects of one bucket, in [`batch`]es, each of which a store takes in once.
//! - [`book`]: what a store makes of them: THE MODEL. [`series`] is what is kept of a subject for as long as it is used.
//! - [`report`]: what is read of it.
//!
//! # Why each request is counted once
//!
//! A request is counted on a stripe when its key is decided over, and its answer when that is given, both under the stripe's
//! lock. Emptying a stripe takes what is there under the same lock. So each count is in one delta.
//!
//! Deltas are sealed into batches with consecutive numbers, one writer for each bucket, and what a batch says never changes. The
//! store keeps, beside the counters and changed in one step with them, the number of the last batch it took in of each writer, its
//! *mark*; it takes in a batch only when the mark is the one before it. So a batch that is sent again, because an answer was lost
//! or a connection cut, and one that arrives late, change nothing.
//!
//! A failover may forget what was acknowledged, the mark with the counters. The store's next answer shows an older mark, and
//! the outbox sends again what comes after it. For that it keeps what was acknowledged for ten seconds, and asks for the mark once
//! more before it lets go of it. What a failover forgets later than that is lost, and counted as lost when the bucket is next told
//! of something ([`UsageStatistics::lost`]). The oldest batch that there still is then comes after the mark that there is: a copy of
//! it under way names another mark, which the store passes by or never has, so one of both at most is taken in.
//!
//! What a crash of the instance loses is what it had not been acknowledged: what was counted since it last told the store, a
//! second or so, and in an outage of the store all since it began.
//!
//! # What bounds the memory
//!
//! Subjects are those that were used since the store was last told. When what waits is above a million numbers, endpoints,
//! locations, addresses, ranks and the hours of a day are told apart no longer; totals of days stay exact. Of acknowledged batches
//! no more than 200,000 deltas are kept: above it, the older half goes early.

pub mod batch;
pub mod book;
pub mod counts;
pub mod distinct;
pub mod few;
pub mod location;
mod meter;
mod names;
mod outbox;
pub mod outcome;
pub mod period;
mod recorder;
pub mod report;
pub mod series;
mod statistics;
pub mod subject;
mod sums;
mod tally;

pub(crate) use self::meter::Meter;
pub(crate) use self::recorder::Recorder;
pub use self::statistics::UsageStatistics;
pub(crate) use self::tally::Decision;
