//! A network, a place or a scope that the key was not used with before.
//!
//! Keys are learned for so many days (7) first, on at least three of which they were used. After that the first use of
//! something is a finding, unless the key takes up such things anyway: a telephone changes networks, a traveller countries.
//! So it is none when, in the last four weeks and the first day of all aside, the key took up more than so many others of
//! the kind: no other network, one other place, one other scope. By the estimate of Good and Turing the probability that the
//! next thing is new is the share of things that were new lately; what is not improbable is not unusual (Good, "The
//! Population Frequencies of Species and the Estimation of Population Parameters", 1953).

use crate::anomaly::finding::Measured;

/// On how many days a key must have been used before something is new to it.
pub const USED_DAYS: usize = 3;

/// What is known when something is seen for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquaintance {
    /// For how many days the key is learned.
    pub days: u32,
    /// On how many days it was used before today.
    pub used_days: usize,
    /// How many others of the kind are known.
    pub known: usize,
    /// How many others it took up lately.
    pub lately: usize,
}

/// How many others a key may have taken up lately, so that the next is still unusual: networks, and all else.
#[must_use]
pub fn tolerated(is_network: bool) -> usize {
    if is_network { 0 } else { 1 }
}

/// What is unusual in it, if it is.
#[must_use]
pub fn judge(acquaintance: Acquaintance, tolerated: usize, learning_days: u32) -> Option<Measured> {
    let Acquaintance { days, used_days, known: _, lately } = acquaintance;
    let is_known = days >= learning_days && used_days >= USED_DAYS;
    (is_known && lately <= tolerated).then_some(Measured {
        observed: lately as f64 + 1.0,
        expected: lately as f64,
        sample_size: u64::from(days),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_new_to_who_is_known_and_takes_up_little() {
        let known = Acquaintance { days: 7, used_days: 3, known: 1, lately: 0 };
        assert!(judge(known, 0, 7).is_some());
        assert_eq!(judge(Acquaintance { days: 6, ..known }, 0, 7), None);
        assert_eq!(judge(Acquaintance { used_days: 2, ..known }, 0, 7), None);
        assert_eq!(judge(Acquaintance { lately: 1, ..known }, tolerated(true), 7), None);
        assert!(judge(Acquaintance { lately: 1, ..known }, tolerated(false), 7).is_some());
        assert_eq!(judge(Acquaintance { lately: 2, ..known }, tolerated(false), 7), None);
    }
}
