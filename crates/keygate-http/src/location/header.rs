use std::net::IpAddr;

use keygate_core::usage::location::Location;

use crate::client_address::TrustedProxies;
use crate::headers::{Headers, is_token_byte, trim_whitespace};

/// The longest name of a header, in bytes.
const MAX_NAME_LENGTH: usize = 64;
/// What Cloudflare writes of a client whose country it does not know.
const UNKNOWN: &str = "XX";

/// A header in which a trusted proxy says where the client is: `CF-IPCountry`, `CloudFront-Viewer-Country`,
/// `X-Vercel-IP-Country`.
///
/// It counts only where the peer of the connection is one of the gate's
/// [trusted proxies](crate::gate::Gate::trusted_proxies). They must set it, or take it away, on every request: one that they
/// pass through as it came is written by the client. Several lines of it count as none, and so does a value that is no
/// location, or `XX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationHeader(Box<str>);

/// A text is no name of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a header must be 1 to 64 characters out of A-Z a-z 0-9 and !#$%&'*+-.^_`|~")]
pub struct LocationHeaderError;

impl LocationHeader {
    /// The header of this name.
    ///
    /// # Errors
    /// When it is not the name of a header.
    pub fn new(name: impl AsRef<str>) -> Result<Self, LocationHeaderError> {
        let name = name.as_ref();
        if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.bytes().all(is_token_byte) {
            return Err(LocationHeaderError);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    pub(super) fn read<H: Headers + ?Sized>(
        &self,
        peer: Option<IpAddr>,
        headers: &H,
        proxies: &TrustedProxies,
    ) -> Option<Location> {
        if !proxies.trust(peer?.to_canonical()) {
            return None;
        }
        let mut lines = headers.lines(&self.0);
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let text = std::str::from_utf8(trim_whitespace(line)).ok()?;
        Location::new(text).ok().filter(|_| text != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use keygate_core::network::{Cidr, CidrSet};

    use super::*;

    fn read(peer: Option<&str>, lines: &[&str]) -> Option<String> {
        let proxies = TrustedProxies::new(CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap());
        let header = LocationHeader::new("CF-IPCountry").unwrap();
        let lines: Vec<_> = lines.iter().map(|value| ("cf-ipcountry", *value)).collect();
        let read = header.read(peer.map(|peer| peer.parse().unwrap()), &lines[..], &proxies);
        read.map(|location| location.to_string())
    }

    #[test]
    fn the_word_of_a_trusted_proxy_counts_and_nobody_elses() {
        assert_eq!(read(Some("10.0.0.1"), &["DE"]).as_deref(), Some("DE"));
        assert_eq!(read(Some("::ffff:10.0.0.1"), &[" DE "]).as_deref(), Some("DE"));
        assert_eq!(read(Some("192.0.2.1"), &["DE"]), None);
        assert_eq!(read(None, &["DE"]), None);
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        for lines in
            [&[][..], &[""], &["XX"], &["DE", "DE"], &["DE", ""], &["D E"], &["Deutschland und mehr"], &["\u{e4}"]]
        {
            assert_eq!(read(Some("10.0.0.1"), lines), None, "{lines:?}");
        }
    }

    #[test]
    fn a_name_is_a_token() {
        for name in ["", "cf ipcountry", "cf-ipcountry:", "l\u{e4}nd", &"x".repeat(65)] {
            assert_eq!(LocationHeader::new(name), Err(LocationHeaderError), "{name}");
        }
    }
}
