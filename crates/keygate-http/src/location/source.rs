use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use keygate_core::usage::location::Location;

use super::{LocationHeader, LocationResolver};
use crate::client_address::TrustedProxies;
use crate::headers::Headers;

/// Where a gate has locations from: a [`LocationHeader`], a [`LocationResolver`], or nowhere.
#[derive(Clone, Default)]
pub struct LocationSource(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Nowhere,
    Header(LocationHeader),
    Resolver(Arc<dyn LocationResolver>),
}

impl LocationSource {
    /// Nowhere: no locations are counted, as by a gate that is told nothing of them.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Where the client is: `peer` is the other end of the connection, `address` the client's.
    pub(crate) fn locate<H: Headers + ?Sized>(
        &self,
        peer: Option<IpAddr>,
        address: Option<IpAddr>,
        headers: &H,
        proxies: &TrustedProxies,
    ) -> Option<Location> {
        match &self.0 {
            Kind::Nowhere => None,
            Kind::Header(header) => header.read(peer, headers, proxies),
            Kind::Resolver(resolver) => resolver.resolve(address?),
        }
    }
}

impl From<LocationHeader> for LocationSource {
    fn from(header: LocationHeader) -> Self {
        Self(Kind::Header(header))
    }
}

impl<R: LocationResolver + 'static> From<R> for LocationSource {
    fn from(resolver: R) -> Self {
        Self(Kind::Resolver(Arc::new(resolver)))
    }
}

impl fmt::Debug for LocationSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header(header) => f.debug_tuple("LocationSource").field(header).finish(),
            Kind::Resolver(_) => f.write_str("LocationSource(..)"),
            Kind::Nowhere => f.write_str("LocationSource"),
        }
    }
}
