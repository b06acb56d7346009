//! How many different addresses there were.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use hyperloglog::HyperLogLog;
use serde::{Deserialize, Serialize};

/// How many different addresses are counted exactly.
pub const EXACTLY: usize = 64;
/// What the library is told so that it takes 4,096 registers, whose standard error is 1.6 %. It takes the natural logarithm of
/// the number of registers where the binary one is meant (hyperloglog 1.0.4): told 2 %, it takes 256, whose error is 6.5 %.
const ERROR: f64 = 0.0026;
/// Of the hash under which addresses are estimated. It is part of what is stored.
const SEED: u128 = 0x6b65_7967_6174_6520_6164_6472_6573_7365;

/// Different addresses: each of up to [`EXACTLY`], and beyond that a HyperLogLog (Flajolet et al., 2007), whose standard
/// error is 2 %.
#[derive(Clone, Serialize, Deserialize)]
pub struct Distinct(Kept);

#[derive(Clone, Serialize, Deserialize)]
enum Kept {
    Exact(BTreeSet<IpAddr>),
    Estimate(Box<HyperLogLog>),
}

/// What of an address is hashed: a number, since the hash of an [`IpAddr`] depends on the platform and the compiler.
fn hashed(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Self(Kept::Exact(BTreeSet::new()))
    }
}

impl Distinct {
    /// Counts an address, if it is one that was not there before.
    pub fn insert(&mut self, address: IpAddr) {
        match &mut self.0 {
            Kept::Exact(addresses) => {
                addresses.insert(address);
                if addresses.len() > EXACTLY {
                    let mut estimate = HyperLogLog::new_deterministic(ERROR, SEED);
                    addresses.iter().for_each(|address| estimate.insert(&hashed(*address)));
                    self.0 = Kept::Estimate(Box::new(estimate));
                }
            }
            Kept::Estimate(estimate) => estimate.insert(&hashed(address)),
        }
    }

    /// How many there were.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kept::Exact(addresses) => addresses.len() as u64,
            // It is no less than what it began with, whatever it estimates.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an estimate, and of no more than 2^128"
            )]
            Kept::Estimate(estimate) => (estimate.len().round() as u64).max(EXACTLY as u64 + 1),
        }
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Distinct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Distinct").field(&self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_and_many_are_estimated() {
        let mut distinct = Distinct::default();
        for number in 1..=50_000_u32 {
            for _ in 0..2 {
                distinct.insert(IpAddr::from(number.to_be_bytes()));
            }
            if number <= 64 {
                assert_eq!(distinct.len(), u64::from(number));
            }
        }
        assert!((48_000..52_000).contains(&distinct.len()), "{}", distinct.len());
    }
}
