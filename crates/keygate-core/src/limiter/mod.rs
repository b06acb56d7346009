//! How limits hold everywhere: what a store grants, and what an instance spends.
//!
//! A *pool* is what a limit is shared by: a key and those it is rotated into, a user, a project, an organization. The store
//! counts what it has *granted* of each pool in each window, on its own clock. An instance spends only what it was granted,
//! so that in every window *consumed <= granted <= limit*, over any number of instances, whatever is lost, repeated or late.
//!
//! - [`window`]: when does a window begin and end?
//! - [`bucket`]: how many requests may come at once?
//! - [`ledger`]: what does a store grant? The model of all stores: the memory and the embedded store run it, the script of
//!   the Redis store is compared with it.
//! - [`slot`]: what does an instance hold, and how is it taken?

pub mod bucket;
pub mod ledger;
pub mod slot;
pub mod window;
