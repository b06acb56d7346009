//! How limits hold everywhere: what a store grants, and what an instance spends.
//!
//! A *pool* is what a limit is shared by: a key and those it is rotated into, a user, a project, an organization. The store
//! counts what it has *granted* of each pool in each window, on its own clock. An instance spends only what it was granted,
//! so that in every window *consumed <= granted <= limit*, over any number of instances, whatever is lost, repeated or late.
//!
//! What a store grants beyond the request that asks for it is `min(want, (room - cost) / 2N)` for N instances, and an instance
//! wants what it used in the last two seconds: far from a limit one round trip serves hundreds of requests, near it each
//! request asks, and the last token goes to whoever asks first. What an instance holds and does not use goes back with its
//! next call, or within three seconds: into the windows it was granted in, and into the bucket as far as that would have had
//! room for it, so that no more than *burst + rate t* is spent in any time `t` ([`bucket`] has the argument). **A crash
//! strands at most what was granted to the instance and not yet spent: two seconds of its demand, in each pool, until the
//! windows end.**
//!
//! **A failover of the store** may forget the grants of its last moments. When its connection is another one, an instance
//! spends nothing that it held before it has told the store what it was granted (all of the present windows if the pool is
//! gone, what was granted in the last [`RECENT`](call::RECENT) otherwise); so no more than those forgotten grants is let in
//! beyond a limit, once. Over connections that are not the store's own (a pool), and where nobody is told of changes, another
//! connection is not noticed, and only a pool that is gone is.
//!
//! **Where the store is not reached** an instance spends what it holds, and then does as the limit's
//! [`Fallback`](crate::limits::Fallback) says.
//!
//! - [`window`]: when does a window begin and end?
//! - [`bucket`]: how many requests may come at once?
//! - [`call`]: what does an instance say to the store, and what is it answered?
//! - [`ledger`]: what does a store grant? The model of all stores: the memory and the embedded store run it, the script of
//!   the Redis store is compared with it.
//! - [`slot`]: what does an instance hold, and how is it taken?
//! - `pool`, `exchange`: the same of a whole pool: taking from what is held, and asking for more.
//! - `share`: what may be let in while the store is not reached?
//! - `set`: all pools that one request is charged to: all or nothing.
//! - `registry`: every pool of an instance, and what has to be seen to in the background.
//! - [`policy`]: what are clients told?

pub mod bucket;
pub mod call;
mod exchange;
pub mod ledger;
pub mod policy;
mod pool;
mod registry;
mod set;
mod share;
pub mod slot;
mod statistics;
pub mod window;

pub(crate) use registry::Limiter;
pub use set::Exceeded;
pub(crate) use set::{Charge, LimitSet, Quick, pools_of};
pub use statistics::LimiterStatistics;
