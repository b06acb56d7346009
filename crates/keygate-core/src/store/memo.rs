//! What a store remembers under a name for a while: for those who must do a thing once, and agree on how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::StoreError;

/// The most bytes of a memo.
pub const MAX_MEMO_BYTES: usize = 256;
/// The longest a memo is remembered, some hundred years, in milliseconds.
const LONGEST_MILLIS: u64 = 36_525 * 24 * 60 * 60 * 1000;

/// What a memo is remembered under: a digest, so that a name says nothing of what it was made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoName([u8; 32]);

impl MemoName {
    /// The name for a purpose and what it concerns. Lists of parts that differ have different names, wherever one part
    /// ends and the next begins.
    #[must_use]
    pub fn of(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// Its thirty-two bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name of thirty-two bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for MemoName {
    /// In hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MemoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoName({self})")
    }
}

/// For stores: refuses a value that is too large to be remembered.
///
/// # Errors
/// When it has more than [`MAX_MEMO_BYTES`].
pub fn check_memo(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > MAX_MEMO_BYTES {
        let problem = format!("it has {} bytes, and may have {MAX_MEMO_BYTES}", value.len());
        return Err(StoreError::damaged("a memo to be written", problem));
    }
    Ok(())
}

/// For stores: how many milliseconds a memo is remembered. At least one, and at most a hundred years.
#[must_use]
pub fn memo_millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(LONGEST_MILLIS).clamp(1, LONGEST_MILLIS)
}

/// Memos in memory. What is over goes with the next that is remembered.
#[derive(Default)]
pub(super) struct Memos {
    held: BTreeMap<MemoName, Held>,
    ends: BTreeSet<(DateTime<Utc>, MemoName)>,
}

struct Held {
    value: Vec<u8>,
    /// From when on it is over.
    end: DateTime<Utc>,
}

impl Memos {
    pub(super) fn remember(
        &mut self,
        name: &MemoName,
        value: &[u8],
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Option<Vec<u8>> {
        self.sweep(now);
        let held = self.recall(name, now);
        if held.is_none() {
            let ttl = i64::try_from(memo_millis(ttl)).map_or(TimeDelta::MAX, TimeDelta::milliseconds);
            let end = now.checked_add_signed(ttl).unwrap_or(DateTime::<Utc>::MAX_UTC);
            self.held.insert(*name, Held { value: value.to_vec(), end });
            self.ends.insert((end, *name));
        }
        held
    }

    pub(super) fn recall(&self, name: &MemoName, now: DateTime<Utc>) -> Option<Vec<u8>> {
        self.held.get(name).filter(|held| held.end > now).map(|held| held.value.clone())
    }

    fn sweep(&mut self, now: DateTime<Utc>) {
        while let Some((end, _)) = self.ends.first()
            && *end <= now
            && let Some((_, name)) = self.ends.pop_first()
        {
            self.held.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_its_parts_and_of_where_they_end() {
        let name = |purpose: &str, parts: &[&str]| {
            MemoName::of(purpose, &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
        };
        let names = [
            name("p", &["ab", "c"]),
            name("p", &["a", "bc"]),
            name("p", &["abc"]),
            name("p", &["ab", "c", ""]),
            name("pa", &["b", "c"]),
        ];
        assert_eq!(BTreeSet::from(names).len(), names.len());
        assert_eq!(name("p", &["ab", "c"]), names[0]);
        assert_eq!(MemoName::from_bytes(*names[0].as_bytes()), names[0]);
        assert_eq!(MemoName::from_bytes([0xa0; 32]).to_string(), "a0".repeat(32));
    }

    #[test]
    fn a_time_is_at_least_a_millisecond_and_never_too_long_to_write_down() {
        for (ttl, millis) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(999), 1),
            (Duration::from_secs(60), 60_000),
            (Duration::MAX, LONGEST_MILLIS),
        ] {
            assert_eq!(memo_millis(ttl), millis);
        }
    }

    #[test]
    fn what_is_over_is_not_kept() {
        let mut memos = Memos::default();
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let name = |number: u8| MemoName::from_bytes([number; 32]);
        for number in 0..100 {
            let now = start + TimeDelta::seconds(number.into());
            assert_eq!(memos.remember(&name(number), &[number], Duration::from_secs(10), now), None);
            assert!(memos.held.len() <= 10 && memos.held.len() == memos.ends.len());
        }
        // At its very end it is over.
        let now = start + TimeDelta::seconds(109);
        assert_eq!(memos.recall(&name(99), now - TimeDelta::milliseconds(1)), Some(vec![99]));
        assert_eq!(memos.recall(&name(99), now), None);
        assert_eq!(memos.remember(&name(99), b"again", Duration::MAX, DateTime::<Utc>::MAX_UTC), None);
    }
}
