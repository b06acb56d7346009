//! Where in the world a client is.
//!
//! It is counted with each request of a key, and nothing is decided by it. A [`Gate`](crate::gate::Gate) that is told no
//! [`LocationSource`] counts none. There are three:
//!
//! - a header that a trusted proxy writes, such as `CF-IPCountry` of Cloudflare: [`LocationHeader`];
//! - a database in MaxMind's format, which is looked into by the client's address: `MaxMind` (feature `maxmind`);
//! - whatever else knows of addresses: a [`LocationResolver`], which a closure is too.
//!
//! A location is the name of a place, `[A-Za-z0-9-]{1,16}`. Countries and their parts are few; a source that tells of more
//! places than some hundreds has most of them counted as `other`.
//!
//! # Example
//!
//! ```
//! # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use std::net::IpAddr;
//!
//! use keygate_core::network::{Cidr, CidrSet};
//! use keygate_core::usage::location::Location;
//! use keygate_http::gate::Gate;
//! use keygate_http::location::LocationHeader;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! let behind_a_proxy = Gate::new(manager.clone())
//!     .trusted_proxies(CidrSet::new([Cidr::new("10.0.0.0/8")?])?)
//!     .location(LocationHeader::new("CF-IPCountry")?);
//!
//! let office = Cidr::new("192.0.2.0/24")?;
//! let place = Location::new("office")?;
//! let by_network = Gate::new(manager).location(move |address: IpAddr| office.contains(address).then_some(place));
//! # Ok(())
//! # }
//! ```

mod header;
#[cfg(feature = "maxmind")]
mod maxmind;
mod source;

use std::net::IpAddr;

pub use header::{LocationHeader, LocationHeaderError};
use keygate_core::usage::location::Location;
#[cfg(feature = "maxmind")]
pub use maxmind::{MaxMind, MaxMindError};
pub use source::LocationSource;

/// Knows where an address is. It is asked for every request with a credential, and so must answer from memory.
pub trait LocationResolver: Send + Sync {
    /// Where the address is, in canonical form: an IPv4 address that is mapped into IPv6 comes as IPv4.
    fn resolve(&self, address: IpAddr) -> Option<Location>;
}

impl<F> LocationResolver for F
where
    F: Fn(IpAddr) -> Option<Location> + Send + Sync,
{
    fn resolve(&self, address: IpAddr) -> Option<Location> {
        self(address)
    }
}
