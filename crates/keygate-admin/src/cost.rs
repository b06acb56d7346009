//! How much of its limits a request takes.

use std::str::FromStr;

use serde::Deserialize;

/// The most that one request may cost.
pub(crate) const MAX_COST: u32 = 1_000_000;

/// What a request costs: 0 to [`MAX_COST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Cost(pub(crate) u32);

/// Why a number is no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cost must be a whole number, 0 to {MAX_COST}")]
pub(crate) struct CostError;

impl TryFrom<u64> for Cost {
    type Error = CostError;
    fn try_from(number: u64) -> Result<Self, CostError> {
        u32::try_from(number).ok().filter(|cost| *cost <= MAX_COST).map(Self).ok_or(CostError)
    }
}

impl FromStr for Cost {
    type Err = CostError;
    /// Takes digits and nothing else: no sign, which Rust's own numbers may have.
    fn from_str(text: &str) -> Result<Self, CostError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or(CostError)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_a_whole_number_within_bounds() {
        for good in ["0", "1", "007", "1000000"] {
            assert!(good.parse::<Cost>().is_ok(), "{good}");
        }
        for bad in ["", "-1", "+1", "1.0", "1e3", " 1", "1000001", "18446744073709551616", "x", "١"] {
            assert_eq!(bad.parse::<Cost>(), Err(CostError), "{bad}");
        }
    }
}
