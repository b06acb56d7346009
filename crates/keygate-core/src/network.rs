//! Client addresses and the networks they may come from.
//!
//! An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address, on both sides of every comparison
//! (CVE-2026-90711, CVE-2026-30827).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// The most networks in one list.
pub const MAX_NETWORKS: usize = 64;

/// A network in CIDR notation, in canonical form. A single address is a network of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(IpNet);

impl Cidr {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// When it is neither, or when bits are set beyond the prefix length (`192.0.2.7/24`), which more often than
    /// not is a slip that would admit a whole network.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| NameError::new("network", "must be an IP address or a network such as 192.0.2.0/24"))?;
        if net.trunc() != net {
            let meant = net.trunc();
            return Err(NameError::new(
                "network",
                format!("has address bits set beyond its prefix length; write {meant}"),
            ));
        }
        Ok(Self::from(net))
    }

    /// Whether the address lies in this network, however the two are written.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.holds(address.to_canonical())
    }

    /// The same, of an address in canonical form.
    fn holds(&self, address: IpAddr) -> bool {
        match (self.0, address) {
            (IpNet::V4(net), IpAddr::V4(address)) => {
                (net.addr().to_bits() ^ address.to_bits()) & net.netmask().to_bits() == 0
            }
            (IpNet::V6(net), IpAddr::V6(address)) => {
                (net.addr().to_bits() ^ address.to_bits()) & net.netmask().to_bits() == 0
            }
            _ => false,
        }
    }

    /// The network.
    #[must_use]
    pub fn as_net(&self) -> IpNet {
        self.0
    }
}

impl From<IpNet> for Cidr {
    /// Host bits are dropped, and a network of IPv4-mapped addresses becomes the IPv4 network.
    fn from(net: IpNet) -> Self {
        let net = net.trunc();
        if let IpNet::V6(v6) = net
            && let Some(prefix) = v6.prefix_len().checked_sub(96)
            && let Some(v4) = v6.addr().to_ipv4_mapped()
            && let Ok(v4) = Ipv4Net::new(v4, prefix)
        {
            return Self(IpNet::V4(v4));
        }
        Self(net)
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(IpNet::from(address.to_canonical()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

/// A list of at most [`MAX_NETWORKS`] networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Cidr>", into = "Vec<Cidr>")]
pub struct CidrSet(Networks);

/// The usual list is of one network, which is held in place: a list elsewhere would have to be fetched from memory by
/// every request of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Networks {
    One(Cidr),
    Several(Arc<[Cidr]>),
}

impl Default for Networks {
    fn default() -> Self {
        Self::Several(Arc::default())
    }
}

impl CidrSet {
    /// Takes the networks as they come; repeats are dropped.
    ///
    /// # Errors
    /// When there are more than [`MAX_NETWORKS`].
    pub fn new(networks: impl IntoIterator<Item = Cidr>) -> Result<Self, NameError> {
        let mut kept: Vec<Cidr> = Vec::new();
        for network in networks {
            if kept.contains(&network) {
                continue;
            }
            if kept.len() == MAX_NETWORKS {
                return Err(NameError::new("network list", format!("must have at most {MAX_NETWORKS} entries")));
            }
            kept.push(network);
        }
        Ok(Self(match *kept {
            [network] => Networks::One(network),
            _ => Networks::Several(kept.into()),
        }))
    }

    fn as_slice(&self) -> &[Cidr] {
        match &self.0 {
            Networks::One(network) => std::slice::from_ref(network),
            Networks::Several(networks) => networks,
        }
    }

    /// Whether the address lies in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.iter().any(|network| network.holds(address))
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The networks, in the order they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Cidr> {
        self.as_slice().iter()
    }
}

impl TryFrom<Vec<Cidr>> for CidrSet {
    type Error = NameError;
    fn try_from(networks: Vec<Cidr>) -> Result<Self, NameError> {
        Self::new(networks)
    }
}

impl From<CidrSet> for Vec<Cidr> {
    fn from(set: CidrSet) -> Vec<Cidr> {
        set.as_slice().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_with_host_bits_is_refused_with_the_network_meant() {
        let error = Cidr::new("192.0.2.7/24").unwrap_err().to_string();
        assert!(error.ends_with("write 192.0.2.0/24"), "{error}");
    }

    #[test]
    fn mapped_addresses_are_ipv4_on_both_sides() {
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            let network = Cidr::new(network).unwrap();
            assert_eq!(network.to_string(), "10.0.0.0/8");
            assert!(network.contains("10.1.2.3".parse().unwrap()));
            assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
            assert!(!network.contains("::ffff:11.1.2.3".parse().unwrap()));
        }
        assert!(!Cidr::new("::/0").unwrap().contains("10.1.2.3".parse().unwrap()));
    }
}
