//! Where the client's address comes from.
//!
//! Keys can be bound to networks, so the layer has to know who is at the other end of the connection. It looks for
//! that in the request's extensions:
//!
//! 1. [`PeerAddress`], which whoever accepts connections may put there (hyper, a test, a proxy protocol);
//! 2. axum's `ConnectInfo<SocketAddr>`, which is there with
//!    `into_make_service_with_connect_info::<SocketAddr>()` and *not* with a plain router, or its `MockConnectInfo`
//!    (feature `axum`);
//! 3. tonic's connection information, over TCP with or without TLS (feature `tonic`).
//!
//! Where nothing is found, keys that are bound to networks are refused, and the log says so. What forwarding headers
//! are worth is the business of [`TrustedProxies`].
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use keygate_tower::PeerAddress;
//!
//! # fn accepted() -> std::net::SocketAddr { ([192, 0, 2, 1], 4711).into() }
//! let mut request = Request::new(());
//! request.extensions_mut().insert(PeerAddress(accepted()));
//! ```

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, Request};
use keygate_http::client_address::TrustedProxies;

use crate::header_lines::HeaderLines;

/// The address at the other end of the connection, as an extension of a request. See the [module docs](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub SocketAddr);

/// The address of a request's client, as the layers of this crate see it: the peer's, or whom the trusted proxies name.
/// `None` where the peer's address is not known. The request's extensions are left as they were.
#[must_use]
pub fn client_address<B>(request: &mut Request<B>, proxies: &TrustedProxies) -> Option<IpAddr> {
    let peer = peer_address(request.extensions_mut());
    let headers = HeaderLines { headers: request.headers(), credentials: &[].into_iter().collect() };
    keygate_http::client_address::client_address(peer, &headers, proxies)
}

/// The extensions are left as they were; tonic wants them handed over to be asked.
pub(crate) fn peer_address(extensions: &mut Extensions) -> Option<IpAddr> {
    let given = extensions.get::<PeerAddress>().map(|peer| peer.0);
    given.or_else(|| from_axum(extensions)).or_else(|| from_tonic(extensions)).map(|peer| peer.ip())
}

#[cfg(feature = "axum")]
fn from_axum(extensions: &Extensions) -> Option<SocketAddr> {
    use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};

    let connection = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    connection.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
}

#[cfg(not(feature = "axum"))]
fn from_axum(_: &Extensions) -> Option<SocketAddr> {
    None
}

/// Through tonic's own request type, because the type it keeps for TLS connections exists only where one of its
/// features for a TLS backend is on, and which one is none of our business.
#[cfg(feature = "tonic")]
fn from_tonic(extensions: &mut Extensions) -> Option<SocketAddr> {
    let request = tonic::Request::from_parts(tonic::metadata::MetadataMap::new(), std::mem::take(extensions), ());
    let peer = request.remote_addr();
    (_, *extensions, ()) = request.into_parts();
    peer
}

#[cfg(not(feature = "tonic"))]
fn from_tonic(_: &mut Extensions) -> Option<SocketAddr> {
    None
}

#[cfg(test)]
mod tests {
    use keygate_core::network::{Cidr, CidrSet};

    use super::*;

    #[test]
    fn a_client_behind_a_trusted_proxy_is_the_one_it_names() {
        let proxies = TrustedProxies::new(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
        let mut request = Request::builder().header("X-Forwarded-For", "203.0.113.7").body(()).unwrap();
        assert_eq!(client_address(&mut request, &proxies), None);
        request.extensions_mut().insert(PeerAddress(SocketAddr::from(([192, 0, 2, 1], 1))));
        assert_eq!(client_address(&mut request, &proxies), Some(IpAddr::from([203, 0, 113, 7])));
        assert_eq!(client_address(&mut request, &TrustedProxies::none()), Some(IpAddr::from([192, 0, 2, 1])));
    }

    #[test]
    fn what_was_put_there_on_purpose_comes_first() {
        let (given, connected) = (SocketAddr::from(([192, 0, 2, 1], 1)), SocketAddr::from(([192, 0, 2, 2], 2)));
        let mut extensions = Extensions::new();
        assert_eq!(peer_address(&mut extensions), None);
        #[cfg(feature = "tonic")]
        {
            use tonic::transport::server::TcpConnectInfo;
            extensions.insert(TcpConnectInfo { local_addr: None, remote_addr: Some(connected) });
            assert_eq!(peer_address(&mut extensions), Some(connected.ip()));
            assert!(extensions.get::<TcpConnectInfo>().is_some());
        }
        #[cfg(feature = "axum")]
        {
            extensions.insert(axum::extract::ConnectInfo(connected));
            assert_eq!(peer_address(&mut extensions), Some(connected.ip()));
        }
        extensions.insert(PeerAddress(given));
        assert_eq!(peer_address(&mut extensions), Some(given.ip()));
        assert_ne!(given, connected);
    }
}
