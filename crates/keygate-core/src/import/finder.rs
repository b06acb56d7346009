//! Finding the key that a text is, within bounds.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::policy::ImportPolicy;
use super::scheme::{HmacKey, ImportedScheme};
use crate::clock::Tick;
use crate::key::KeyId;
use crate::ring::{EntryId, RingEntry, SecretRing};
use crate::store::LookupToken;

/// How many texts are looked up at once, and how many more may wait for their turn.
const AT_ONCE: usize = 32;
const WAITING: usize = 512;
/// What stands before a lookup part where it is hashed; schemes have the numbers of their own.
const PART: u8 = 0x80;

/// More texts that may be imported keys are presented than are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more texts that may be imported keys are presented than are looked up")]
pub(crate) struct TooMany;

/// A turn to look a text up.
#[derive(Debug)]
pub(crate) struct Turn {
    _admitted: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

/// By what a key may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The digest of its text, by a scheme without a salt.
    Digest(ImportedScheme),
    /// This part of its text.
    Part(Vec<u8>),
}

/// A text's token of one kind, under one ring entry.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    kind: Kind,
    entry: EntryId,
    pub(crate) token: LookupToken,
}

/// Of a text's tokens, the one of the kind of `held` under another entry.
pub(crate) fn token_of_same_kind(candidates: &[Candidate], held: LookupToken, entry: EntryId) -> Option<LookupToken> {
    let kind = &candidates.iter().find(|candidate| candidate.token == held)?.kind;
    candidates.iter().find(|other| other.entry == entry && other.kind == *kind).map(|found| found.token)
}

/// What of the texts that may be imported keys is known in memory, and how the others are found.
///
/// Remembered are texts that were found to be keys, hashed under a key random to this process, with the ids of those keys:
/// what strangers present leaves nothing here.
pub(crate) struct Finder {
    policy: ImportPolicy,
    key: Hmac<Sha256>,
    known: Cache<[u8; 32], KeyId>,
    running: Arc<Semaphore>,
    /// Those running and those waiting to.
    admitted: Arc<Semaphore>,
    allowance: Mutex<Allowance>,
}

/// How many lookups may begin, refilled as time goes on.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Tick,
}

impl Finder {
    /// With room for the ids of so many keys.
    pub(crate) fn new(policy: ImportPolicy, capacity: usize) -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        let allowance = Mutex::new(Allowance { left: f64::from(policy.lookups_per_second), at: Tick::NEVER });
        Ok(Self {
            policy,
            key: Hmac::new(&key.into()),
            known: Cache::new(capacity as u64),
            running: Arc::new(Semaphore::new(AT_ONCE)),
            admitted: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            allowance,
        })
    }

    /// Whether a text may be that of an imported key. No text may where no pattern is declared.
    pub(crate) fn admits(&self, text: &[u8]) -> bool {
        self.policy.admits(text)
    }

    pub(crate) fn policy(&self) -> &ImportPolicy {
        &self.policy
    }

    pub(crate) fn hmac_keys(&self) -> &[HmacKey] {
        &self.policy.keys
    }

    /// The key that this text was found to be before.
    pub(crate) fn known(&self, text: &[u8]) -> Option<KeyId> {
        self.known.get(&self.place_of(text))
    }

    /// That a text is this key's.
    pub(crate) fn learn(&self, text: &[u8], id: KeyId) {
        self.known.insert(self.place_of(text), id);
    }

    /// That the key a text was found to be is not there any more.
    pub(crate) fn forget(&self, text: &[u8]) {
        self.known.invalidate(&self.place_of(text));
    }

    /// Waits for a turn to look a text up, unless too many wait already or too many came in this second.
    pub(crate) async fn turn(&self, now: Tick) -> Result<Turn, TooMany> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| TooMany)?;
        if !self.is_allowed(now) {
            return Err(TooMany);
        }
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| TooMany)?;
        Ok(Turn { _admitted: admitted, _running: running })
    }

    fn is_allowed(&self, now: Tick) -> bool {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let most = f64::from(self.policy.lookups_per_second);
        let passed = now.since(allowance.at).min(Duration::from_secs(1));
        allowance.left = (allowance.left + most * passed.as_secs_f64()).min(most);
        allowance.at = allowance.at.max(now);
        let allowed = allowance.left >= 1.0;
        if allowed {
            allowance.left -= 1.0;
        }
        allowed
    }

    /// Under what the key of this text may be found: by the current ring entry first, then by the retired ones.
    pub(crate) fn candidates(&self, text: &[u8], ring: &SecretRing) -> Vec<Candidate> {
        let mut hashed = Vec::new();
        let schemes = [ImportedScheme::Sha256, ImportedScheme::Sha512].into_iter();
        let keyed = self.policy.keys.iter().map(|key| ImportedScheme::HmacSha256 { key: key.shared_name() });
        for scheme in schemes.chain(keyed) {
            if let Some(digest) = scheme.digest(text, &self.policy.keys) {
                hashed.push((scheme.label(), digest, Kind::Digest(scheme)));
            }
        }
        let parts = self.policy.patterns.iter().filter(|pattern| pattern.matches(text));
        for part in parts.filter_map(|pattern| pattern.lookup_part(text)) {
            let part = zeroize::Zeroizing::new(part.to_vec());
            if !hashed.iter().any(|(label, known, _)| *label == PART && *known == part) {
                let kind = Kind::Part(part.to_vec());
                hashed.push((PART, part, kind));
            }
        }
        let under = |entry: &'_ RingEntry| {
            let entry = entry.clone();
            hashed.iter().map(move |(label, bytes, kind)| Candidate {
                kind: kind.clone(),
                entry: entry.id(),
                token: LookupToken::from_bytes(entry.lookup(*label, bytes)),
            })
        };
        ring.entries().flat_map(under).collect()
    }

    fn place_of(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = self.key.clone();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

/// The token of a digest by a scheme without a salt, under a ring entry.
pub(crate) fn token_of_digest(entry: &RingEntry, scheme: &ImportedScheme, digest: &[u8]) -> LookupToken {
    LookupToken::from_bytes(entry.lookup(scheme.label(), digest))
}

/// The token of a lookup part, under a ring entry.
pub(crate) fn token_of_part(entry: &RingEntry, part: &[u8]) -> LookupToken {
    LookupToken::from_bytes(entry.lookup(PART, part))
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.entry_count();
        f.debug_struct("Finder").field("policy", &self.policy).field("known", &known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::ImportPattern;
    use super::*;
    use crate::ring::MasterSecret;

    fn finder(lookups: u32) -> Finder {
        let pattern = ImportPattern::parse("legacy=sk_(?P<lookup>[a-z]{4})_[a-z0-9]{20}").unwrap();
        let policy = ImportPolicy::default().pattern(pattern).unwrap().lookups_per_second(lookups);
        Finder::new(policy, 100).unwrap()
    }

    fn text(nth: usize) -> Vec<u8> {
        format!("sk_abcd_{nth:020}").into_bytes()
    }

    #[test]
    fn without_a_pattern_no_text_is_looked_at() {
        let finder = Finder::new(ImportPolicy::default(), 100).unwrap();
        assert!(!finder.admits(&text(1)));
        assert!(self::finder(1).admits(&text(1)));
    }

    #[tokio::test]
    async fn so_many_are_looked_up_in_a_second_and_no_more() {
        let finder = finder(10);
        let start = Tick::from_nanos(1_000_000_000);
        for _ in 0..10 {
            drop(finder.turn(start).await.unwrap());
        }
        assert_eq!(finder.turn(start).await.map(drop), Err(TooMany));
        let later = start.after(Duration::from_millis(100));
        drop(finder.turn(later).await.unwrap());
        assert_eq!(finder.turn(later).await.map(drop), Err(TooMany));
        // However long nobody came, there is one second's allowance and no more.
        let much_later = later.after(Duration::from_secs(1_000));
        for _ in 0..10 {
            drop(finder.turn(much_later).await.unwrap());
        }
        assert_eq!(finder.turn(much_later).await.map(drop), Err(TooMany));
        // A clock that is behind gives nothing.
        assert_eq!(finder.turn(start).await.map(drop), Err(TooMany));
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let finder = finder(1_000_000);
        let now = Tick::from_nanos(1_000_000_000);
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(finder.turn(now).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(finder.turn(now))).collect();
        for one in &mut waiting {
            assert!((&mut *one).now_or_never().is_none());
        }
        assert_eq!(finder.turn(now).await.map(drop), Err(TooMany));
        drop(waiting);
        drop(held);
        drop(finder.turn(now).await.unwrap());
    }

    #[test]
    fn tokens_differ_by_text_kind_and_ring_entry() {
        let (old, new) = (MasterSecret::generate().unwrap(), MasterSecret::generate().unwrap());
        let (finder, ring) = (finder(1), SecretRing::with_retired(&new, &[old]).unwrap());
        let (one, other) = (finder.candidates(&text(1), &ring), finder.candidates(&text(2), &ring));
        assert_eq!(one.len(), 2 * 3);
        let mut tokens: Vec<_> = one.iter().chain(&other).map(|candidate| candidate.token).collect();
        tokens.sort();
        tokens.dedup();
        // They share the part they are looked up by, under each entry.
        assert_eq!(tokens.len(), 2 * one.len() - 2);
        let digest = ImportedScheme::Sha256.digest(&text(1), &[]).unwrap();
        assert_eq!(one[0].token, token_of_digest(ring.current(), &ImportedScheme::Sha256, &digest));
        assert_eq!(one[2].token, token_of_part(ring.current(), b"abcd"));
        assert_ne!(one[2].token, token_of_digest(ring.current(), &ImportedScheme::Sha256, b"abcd"));
        // What it was found by under the retired entry, under the current one.
        let retired = ring.entry_ids().nth(1).unwrap();
        for nth in 0..3 {
            assert_eq!(token_of_same_kind(&one, one[3 + nth].token, ring.current_id()), Some(one[nth].token));
            assert_eq!(token_of_same_kind(&one, one[nth].token, retired), Some(one[3 + nth].token));
        }
        assert_eq!(token_of_same_kind(&one, other[0].token, ring.current_id()), None);
    }

    #[test]
    fn what_is_learned_is_known_until_it_is_forgotten_and_takes_bounded_room() {
        let finder = finder(1);
        let id = KeyId::from_bytes([7; 16]);
        finder.learn(&text(1), id);
        assert_eq!(finder.known(&text(1)), Some(id));
        assert_eq!(finder.known(&text(2)), None);
        finder.forget(&text(1));
        assert_eq!(finder.known(&text(1)), None);
        for nth in 0..10_000 {
            finder.learn(&text(nth), id);
        }
        finder.known.run_pending_tasks();
        assert!(finder.known.entry_count() <= 100);
    }
}
