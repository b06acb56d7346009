//! Whose address a request comes from, behind proxies.
//!
//! The address of the connection is the only one that nobody can make up. When it is that of a trusted proxy, the
//! proxy's word is taken for the hop before it, and so on, from right to left, for as long as the hops are trusted:
//! the right-most address that is not a trusted proxy's is the client's (CVE-2025-59152 took the left-most, which the
//! client writes itself). Without configured networks no forwarding header is read at all.
//!
//! One kind of header is read, [`X-Forwarded-For`](ForwardingHeader::XForwardedFor) unless told otherwise, and never
//! both: a proxy appends to one of them and passes the other on as the client wrote it.
//!
//! # What cannot be read
//!
//! An element that is no address (`unknown`, an obfuscated name, an empty element, garbage) ends the walk, and nothing
//! left of it is believed. The answer then is the last hop that is known: the trusted proxy that wrote the element.
//! It is the same answer as for a proxy that writes no header, and it means the same: this is as far as anybody can
//! tell. A client cannot bring it about, because what a proxy appends is read first, whatever stands left of it;
//! quotes that a client leaves open in a `Forwarded` line do not reach into the element appended to it. A key that may
//! be used from the proxies' own network is therefore usable by those whose address a proxy hides: list in a key what
//! its clients use, not the proxies.
//!
//! # Example
//!
//! ```
//! use keygate_core::network::{Cidr, CidrSet};
//! use keygate_http::client_address::{TrustedProxies, client_address};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let proxies = TrustedProxies::new(CidrSet::new([Cidr::new("10.0.0.0/8")?])?);
//! let request = [("X-Forwarded-For", "192.0.2.66, 203.0.113.7, 10.1.1.1")];
//!
//! let behind_proxies = client_address(Some("10.0.0.1".parse()?), &request[..], &proxies);
//! assert_eq!(behind_proxies, Some("203.0.113.7".parse()?));
//!
//! let direct = client_address(Some("198.51.100.1".parse()?), &request[..], &proxies);
//! assert_eq!(direct, Some("198.51.100.1".parse()?));
//! # Ok(())
//! # }
//! ```

mod elements;
mod node;

use std::net::IpAddr;

use keygate_core::network::CidrSet;

use self::elements::RightToLeft;
use crate::headers::Headers;

/// The most hops that are followed.
pub const MAX_HOPS: usize = 64;
/// The most bytes of forwarding headers that are looked at, from the right.
pub const MAX_CHAIN_BYTES: usize = 8 * 1024;

/// The header in which proxies say whom they forward for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For: client, proxy`, which nearly every proxy appends to.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// The proxies whose word is taken for where a request comes from. See the [module docs](self) for an example.
///
/// Every host of these networks can name any address it likes as its client's: give the proxies, not the network
/// that clients are in, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: CidrSet,
    header: ForwardingHeader,
}

impl TrustedProxies {
    /// The proxies in these networks, which write `X-Forwarded-For`. With an empty set nobody is trusted.
    #[must_use]
    pub fn new(networks: CidrSet) -> Self {
        Self { networks, header: ForwardingHeader::default() }
    }

    /// Nobody: the client is the peer of the connection.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads this header in the place of the other. The proxies must append to it, or set it, on every request:
    /// one that they pass through as it came is written by the client.
    #[must_use]
    pub fn reading(mut self, header: ForwardingHeader) -> Self {
        self.header = header;
        self
    }

    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.networks.contains(address)
    }
}

impl From<CidrSet> for TrustedProxies {
    fn from(networks: CidrSet) -> Self {
        Self::new(networks)
    }
}

/// The address of the client of a request that came over a connection with `peer`, in canonical form: an IPv4 address
/// mapped into IPv6 is the IPv4 address. `None` when the peer is not known, as on a Unix socket: such a peer is no
/// trusted proxy either.
///
/// At most [`MAX_HOPS`] hops and [`MAX_CHAIN_BYTES`] are followed; where they end, so does the walk. Nothing is
/// allocated.
#[must_use]
pub fn client_address<H: Headers + ?Sized>(
    peer: Option<IpAddr>,
    headers: &H,
    proxies: &TrustedProxies,
) -> Option<IpAddr> {
    let mut hop = peer?.to_canonical();
    if !proxies.trust(hop) {
        return Some(hop);
    }
    let name = match proxies.header {
        ForwardingHeader::XForwardedFor => "x-forwarded-for",
        ForwardingHeader::Forwarded => "forwarded",
    };
    let read = |element| match proxies.header {
        ForwardingHeader::XForwardedFor => node::address(element),
        ForwardingHeader::Forwarded => node::forwarded_for(element),
    };
    let mut bytes_left = MAX_CHAIN_BYTES;
    let mut hops_left = MAX_HOPS;
    for line in headers.lines(name).rev() {
        let unseen = line.len().saturating_sub(bytes_left);
        let seen = &line[unseen..];
        bytes_left -= seen.len();
        for (start, element) in RightToLeft::new(seen, proxies.header) {
            // Where the line was cut, its first element is what is left of one.
            let whole = start > 0 || unseen == 0;
            let Some(address) = read(element).filter(|_| whole && hops_left > 0) else { return Some(hop) };
            hop = address;
            hops_left -= 1;
            if !proxies.trust(hop) {
                return Some(hop);
            }
        }
    }
    Some(hop)
}
