//! Slow verifiers, off the async threads, bounded, and remembered: once per key and process.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::Verifier;

/// How many keys' outcomes are remembered: 64 bytes each, and the cache's own cost.
const REMEMBERED: u64 = 100_000;
/// How many requests may wait for a thread, for each thread, before the answer is 503.
const WAITING_PER_THREAD: usize = 32;

/// Too many slow verifiers are being checked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many slow verifiers are being checked at once")]
pub(crate) struct Overloaded;

/// Runs slow verifiers, at most one a core, and remembers those that matched.
///
/// What is remembered is found by the stored verifier's own bytes, hashed under a key random to this process: it
/// survives a reload of the record, and a changed verifier is simply not found.
#[derive(Clone)]
pub(crate) struct SlowVerifiers {
    key: Hmac<Sha256>,
    matched: Cache<[u8; 32], [u8; 32]>,
    running: Arc<Semaphore>,
    /// Those running and those waiting to.
    admitted: Arc<Semaphore>,
}

impl SlowVerifiers {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            key: Hmac::new(&key.into()),
            matched: Cache::new(REMEMBERED),
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads * (1 + WAITING_PER_THREAD))),
        })
    }

    /// Whether the key with this digest is the one `verifier` stands for. Dropping the future gives up the answer; a
    /// check already running finishes and is remembered.
    pub(crate) async fn matches(&self, verifier: &Verifier, digest: &[u8; 32]) -> Result<bool, Overloaded> {
        let place = self.place_of(verifier);
        let presented = self.hash(&[digest]);
        if let Some(matched) = self.matched.get(&place)
            && matched.ct_eq(&presented).into()
        {
            return Ok(true);
        }
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Overloaded)?;
        let (verifier, digest, memory) = (verifier.clone(), *digest, self.matched.clone());
        tokio::task::spawn_blocking(move || {
            let _held = (admitted, running);
            // Somebody may have found it while this one waited.
            if memory.get(&place) == Some(presented) {
                return true;
            }
            let matches = verifier.matches(&digest);
            if matches {
                memory.insert(place, presented);
            }
            matches
        })
        .await
        .map_err(|_| Overloaded)
    }

    /// Makes a verifier by a slow scheme, within the same bounds, and remembers it.
    pub(crate) async fn make(
        &self,
        scheme: super::Scheme,
        digest: [u8; 32],
    ) -> Result<Result<Verifier, getrandom::Error>, Overloaded> {
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Overloaded)?;
        let made = tokio::task::spawn_blocking(move || {
            let _held = running;
            Verifier::make(scheme, digest)
        })
        .await
        .map_err(|_| Overloaded)?;
        if let Ok(verifier) = &made {
            self.matched.insert(self.place_of(verifier), self.hash(&[&digest]));
        }
        Ok(made)
    }

    fn place_of(&self, verifier: &Verifier) -> [u8; 32] {
        match verifier {
            // All parts are of fixed width, so no two verifiers give the same input.
            Verifier::HmacSha256 { digest } => self.hash(&[b"h", digest]),
            Verifier::Pbkdf2Sha256 { salt, iterations, output } => {
                self.hash(&[b"p", salt, &iterations.to_be_bytes(), output])
            }
        }
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.key.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SlowVerifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowVerifiers").field("remembered", &self.matched.entry_count()).finish_non_exhaustive()
    }
}
