//! What a key is usually used with: the networks, places and scopes it was seen with, and in how many networks at most in an
//! hour.
//!
//! All instances learn it together: who sees something that it does not know reads what the store has, adds to it, and puts
//! it back if nobody else did meanwhile. So what is new is new to one of them. What was not seen for 60 days is forgotten,
//! and the whole of it when a key is not used for 90.
//!
//! Nothing can be read out of it but whether something is in it: values are kept as 32 bits of a digest that is another for
//! each key. That two of the 64 values of a key have the same is so for one key in two million.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::key::KeyId;
use crate::usage::period::Day;

/// The most bytes of what is kept of one key's habits.
pub const MAX_HABITS_BYTES: usize = 3_072;
/// For how many days they are kept after they were last written: that happens every week while a key is used.
pub const HABITS_KEPT_DAYS: u32 = 90;

/// How many values of a kind are known.
const MOST: usize = 64;
/// How many values of a kind are taken up in a day. So a key that is used from everywhere for a day still knows what it was
/// used with before.
const MOST_A_DAY: usize = 16;
/// After how many days a value that was not seen is forgotten.
const FORGOTTEN: u32 = 60;
/// From how many days ago a value makes room for a new one, when there are too many.
const MAKES_ROOM: u32 = 28;
/// How old the last day is that is written of a value, before it is written anew.
const REFRESHED: u32 = 7;
/// The days that are one period of the busiest hours.
const FORTNIGHT: u32 = 14;

const VERSION: u8 = 1;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Network,
    Location,
    Scope,
}

impl Kind {
    #[cfg(test)]
    const ALL: [Self; 3] = [Self::Network, Self::Location, Self::Scope];

    /// What a value is kept as.
    pub(super) fn digest(self, key: KeyId, value: &str) -> u32 {
        let mut digest = Sha256::new();
        digest.update(key.as_bytes());
        digest.update([self as u8]);
        digest.update(value);
        let digest: [u8; 32] = digest.finalize().into();
        let [a, b, c, d, ..] = digest;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// A value, by its digest, and the days it was first and last seen on; the last may be a week behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    digest: u32,
    first: Day,
    last: Day,
}

/// What a key is usually used with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Habits {
    /// Since when each kind is learned: since its first value. Who is told where requests come from for the first time, or
    /// begins to ask for scopes, has not found something unusual of every key.
    since: [Option<Day>; 3],
    known: [Vec<Known>; 3],
    /// The latest fortnight there is, and the most networks in an hour of it and of the one before.
    fortnight: u32,
    busiest: [u32; 2],
}

/// Whether a value was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    Known,
    New {
        /// For how many days the kind is learned.
        days: u32,
        /// How many values of the kind were taken up in the last four weeks before it, the first day of all aside.
        lately: usize,
        /// How many are known besides.
        known: usize,
    },
    /// There are too many to know.
    Untold,
}

impl Habits {
    pub(super) fn new(today: Day) -> Self {
        Self { since: [None; 3], known: Default::default(), fortnight: today.0 / FORTNIGHT, busiest: [0; 2] }
    }

    /// For how many days a kind has been learned.
    pub(super) fn days(&self, kind: Kind, today: Day) -> u32 {
        self.since[kind as usize].map_or(0, |since| today.0.saturating_sub(since.0))
    }

    /// Whether a value is known, and its day need not be written.
    pub(super) fn is_fresh(&self, kind: Kind, digest: u32, today: Day) -> bool {
        let known = self.known[kind as usize].iter().find(|known| known.digest == digest);
        known.is_some_and(|known| today.0.saturating_sub(known.last.0) < REFRESHED)
    }

    /// Whether a value is known.
    pub(super) fn is_known(&self, kind: Kind, digest: u32) -> bool {
        self.known[kind as usize].iter().any(|known| known.digest == digest)
    }

    /// Whether a new value of this kind would not be learned today.
    pub(super) fn is_full(&self, kind: Kind, today: Day) -> bool {
        let known = &self.known[kind as usize];
        let makes_room = |known: &Known| today.0.saturating_sub(known.last.0) >= MAKES_ROOM;
        known.iter().filter(|known| known.first == today).count() >= MOST_A_DAY
            || (known.len() >= MOST && !known.iter().any(makes_room))
    }

    /// Sees a value today.
    pub(super) fn see(&mut self, kind: Kind, digest: u32, today: Day) -> Learned {
        let values = &mut self.known[kind as usize];
        values.retain(|known| today.0.saturating_sub(known.last.0) < FORGOTTEN);
        let since = &mut self.since[kind as usize];
        if values.is_empty() {
            *since = Some(today);
        }
        let since = since.unwrap_or(today);
        if let Some(known) = values.iter_mut().find(|known| known.digest == digest) {
            if today.0.saturating_sub(known.last.0) >= REFRESHED {
                known.last = today;
            }
            return Learned::Known;
        }
        if self.is_full(kind, today) {
            return Learned::Untold;
        }
        let values = &mut self.known[kind as usize];
        let is_lately = |known: &&Known| known.first > since && today.0.saturating_sub(known.first.0) < MAKES_ROOM;
        let (lately, known) = (values.iter().filter(is_lately).count(), values.len());
        if values.len() >= MOST
            && let Some(oldest) = (0..values.len()).min_by_key(|place| values[*place].last)
        {
            values.swap_remove(oldest);
        }
        values.push(Known { digest, first: today, last: today });
        Learned::New { days: today.0.saturating_sub(since.0), lately, known }
    }

    /// In how many networks at most it was used in an hour, of the last two to four weeks.
    pub(super) fn busiest(&self, today: Day) -> usize {
        let busiest = match (today.0 / FORTNIGHT).saturating_sub(self.fortnight) {
            0 => self.busiest[0].max(self.busiest[1]),
            1 => self.busiest[0],
            _ => 0,
        };
        busiest as usize
    }

    /// Was used in so many networks in an hour. Says whether that is worth writing down.
    pub(super) fn was_busy(&mut self, networks: usize, today: Day) -> bool {
        let passed = (today.0 / FORTNIGHT).saturating_sub(self.fortnight);
        if passed > 0 {
            self.busiest = [0, if passed == 1 { self.busiest[0] } else { 0 }];
            self.fortnight += passed;
        }
        let networks = u32::try_from(networks).unwrap_or(u32::MAX);
        let is_more = networks > self.busiest[0].saturating_add(self.busiest[0] / 4);
        if is_more {
            self.busiest[0] = networks;
        }
        is_more
    }

    /// Adds what another instance has learned.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, other) in self.since.iter_mut().zip(other.since) {
            *mine = (*mine).into_iter().chain(other).min();
        }
        for (mine, others) in self.known.iter_mut().zip(&other.known) {
            for other in others {
                let has_room = mine.len() < MOST;
                match mine.iter_mut().find(|known| known.digest == other.digest) {
                    Some(known) => {
                        (known.first, known.last) = (known.first.min(other.first), known.last.max(other.last));
                    }
                    None if has_room => mine.push(*other),
                    None => {}
                }
            }
        }
        match self.fortnight.cmp(&other.fortnight) {
            std::cmp::Ordering::Less => (self.fortnight, self.busiest) = (other.fortnight, other.busiest),
            std::cmp::Ordering::Equal => {
                let pairs = self.busiest.iter_mut().zip(other.busiest);
                pairs.for_each(|(mine, other)| *mine = (*mine).max(other));
            }
            std::cmp::Ordering::Greater => {}
        }
    }

    /// Written down, in at most [`MAX_HABITS_BYTES`].
    pub(super) fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to be written; and what is not read back is learned anew.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Read back; `None` where they were written by no version that is known.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        postcard::from_bytes(rest).ok()
    }

    /// How many bytes they take in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.known.iter().map(|known| known.capacity() * size_of::<Known>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Learned = Learned::New { days: 0, lately: 0, known: 0 };

    /// What version 1 wrote.
    const GOLDEN_V1: &str = include_str!("../../tests/golden/habits_v1.hex");

    #[test]
    fn habits_of_version_1_are_readable_for_ever_and_written_the_same() {
        let mut habits = Habits::new(Day(20_000));
        habits.see(Kind::Network, 7, Day(20_000));
        habits.see(Kind::Location, u32::MAX, Day(20_001));
        assert!(habits.was_busy(300, Day(20_001)));
        let hex: String = habits.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_V1.trim_end());
        let golden = GOLDEN_V1.trim_end();
        let bytes = (0..golden.len() / 2).map(|byte| u8::from_str_radix(&golden[2 * byte..2 * byte + 2], 16).unwrap());
        assert_eq!(Habits::decode(&bytes.collect::<Vec<_>>()), Some(habits));
    }

    #[test]
    fn a_value_is_new_once_until_it_was_not_seen_for_long() {
        let mut habits = Habits::new(Day(1_000));
        assert_eq!(habits.see(Kind::Network, 7, Day(1_000)), NEW);
        assert_eq!(habits.see(Kind::Location, 7, Day(1_000)), NEW);
        for day in 1_000..1_200 {
            assert_eq!(habits.see(Kind::Network, 7, Day(day)), Learned::Known);
        }
        assert_eq!(habits.see(Kind::Location, 7, Day(1_060)), NEW);
        assert_eq!(habits.see(Kind::Network, 8, Day(1_200)), Learned::New { days: 200, lately: 0, known: 1 });
        assert_eq!(habits.see(Kind::Network, 9, Day(1_227)), Learned::New { days: 227, lately: 1, known: 2 });
        assert_eq!(habits.see(Kind::Network, 10, Day(1_228)), Learned::New { days: 228, lately: 1, known: 3 });
    }

    #[test]
    fn what_is_known_is_bounded_and_fits() {
        let mut habits = Habits::new(Day(u32::MAX));
        for day in (0..10).map(|day| Day(u32::MAX - 9 + day)) {
            for kind in Kind::ALL {
                for digest in 0..100 {
                    habits.see(kind, u32::MAX - (day.0 % 64) * 100 - digest, day);
                }
            }
            habits.was_busy(usize::MAX, day);
        }
        assert!(habits.known.iter().all(|known| known.len() == MOST));
        assert!(habits.encode().len() <= MAX_HABITS_BYTES, "{}", habits.encode().len());
        assert_eq!(Habits::decode(&habits.encode()), Some(habits));
        assert_eq!(Habits::decode(&[]), None);
        assert_eq!(Habits::decode(&[2, 0]), None);
    }

    #[test]
    fn what_two_have_learned_is_what_both_know() {
        let (mut one, mut other) = (Habits::new(Day(1_000)), Habits::new(Day(1_003)));
        one.see(Kind::Scope, 1, Day(1_000));
        other.see(Kind::Scope, 1, Day(1_020));
        other.see(Kind::Scope, 2, Day(1_020));
        other.was_busy(5, Day(1_020));
        one.merge(&other);
        assert_eq!((one.days(Kind::Scope, Day(1_020)), one.days(Kind::Network, Day(1_020))), (20, 0));
        assert!(one.is_fresh(Kind::Scope, 1, Day(1_026)) && one.is_fresh(Kind::Scope, 2, Day(1_026)));
        assert_eq!(one.busiest(Day(1_020)), 5);
        assert_eq!(one.busiest(Day(1_034)), 5);
        assert_eq!(one.busiest(Day(1_048)), 0);
    }
}
