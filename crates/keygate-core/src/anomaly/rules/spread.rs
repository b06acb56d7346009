//! A key that is used from many networks within an hour, as one is that was published or is shared.
//!
//! It is unusual when there are so many (8) or more, three times as many as in any hour of the last two to four weeks, and
//! at least half of them are ones that the key was not used from before. So an application that thousands have in their
//! pockets is measured by its own busiest hours. It is counted at one instance: behind a balancer each sees most of them.

use crate::anomaly::finding::Measured;

/// How many times as many networks as in the busiest hour are unusual.
const TIMES: usize = 3;

/// What is unusual in so many networks in an hour, of which so many were new, if it is. `busiest` is how many there were at
/// most in an hour lately, `days` for how many days the key is learned.
#[must_use]
pub fn judge(networks: usize, new: usize, busiest: usize, days: u32, least: usize) -> Option<Measured> {
    let is_many = networks >= least && networks > TIMES * busiest && 2 * new >= networks;
    is_many.then_some(Measured { observed: networks as f64, expected: busiest as f64, sample_size: u64::from(days) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_many_for_who_is_used_from_few() {
        assert!(judge(8, 7, 1, 7, 8).is_some());
        assert_eq!(judge(7, 7, 1, 7, 8), None);
        assert_eq!(judge(9, 9, 3, 7, 8), None);
        assert_eq!(judge(8, 3, 1, 7, 8), None);
        assert!(judge(100, 90, 30, 7, 8).is_some());
    }
}
