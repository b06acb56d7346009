//! Slow verifiers, off the async threads, bounded, and remembered: once per key and process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Verifier;
use crate::import::ImportedScheme;

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
/// What is remembered is the stored verifier's own bytes with the digest that matched it, hashed under a key random to
/// this process: it survives a reload of the record, and a changed verifier or another digest is simply not found.
#[derive(Clone)]
pub(crate) struct SlowVerifiers {
    key: Hmac<Sha256>,
    matched: Cache<[u8; 32], ()>,
    running: Arc<Semaphore>,
    /// Those running and those waiting to.
    admitted: Arc<Semaphore>,
    /// How many slow checks have run.
    runs: Arc<AtomicU64>,
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
            runs: Arc::default(),
        })
    }

    /// Whether the key with this digest is the one `verifier` stands for. Dropping the future gives up the answer; a
    /// check already running finishes and is remembered.
    pub(crate) async fn matches(&self, verifier: &Verifier, digest: &[u8; 32]) -> Result<bool, Overloaded> {
        let (verifier, digest) = (verifier.clone(), *digest);
        self.check(self.place_of(&verifier, &digest), move || verifier.matches(&digest)).await
    }

    /// The same of the text of an imported key, which `matches` digests by its old scheme: `digest` stands for the text.
    pub(crate) async fn matches_imported(
        &self,
        verifier: &Verifier,
        digest: &[u8; 32],
        matches: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, Overloaded> {
        self.check(self.place_of(verifier, digest), matches).await
    }

    async fn check(
        &self,
        place: [u8; 32],
        matches: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, Overloaded> {
        // A read, which keeps what is in use from being evicted; looking whether it is there would not.
        if self.matched.get(&place).is_some() {
            return Ok(true);
        }
        let turn = self.turn().await?;
        let slow = self.clone();
        tokio::task::spawn_blocking(move || {
            let _held = turn;
            // One at a time for each verifier and digest: those who asked meanwhile find what the first has found.
            let matched = slow.matched.optionally_get_with(place, || {
                slow.runs.fetch_add(1, Ordering::Relaxed);
                matches().then_some(())
            });
            matched.is_some()
        })
        .await
        .map_err(|_| Overloaded)
    }

    /// Waits for a thread, unless too many wait already.
    async fn turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Overloaded> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Overloaded)?;
        Ok((admitted, running))
    }

    /// Makes a verifier by a slow scheme, within the same bounds, and remembers it.
    pub(crate) async fn make(
        &self,
        scheme: super::Scheme,
        digest: [u8; 32],
    ) -> Result<Result<Verifier, getrandom::Error>, Overloaded> {
        let turn = self.turn().await?;
        let made = tokio::task::spawn_blocking(move || {
            let _held = turn;
            Verifier::make(scheme, digest)
        })
        .await
        .map_err(|_| Overloaded)?;
        if let Ok(verifier) = &made {
            self.matched.insert(self.place_of(verifier, &digest), ());
        }
        Ok(made)
    }

    fn place_of(&self, verifier: &Verifier, presented: &[u8; 32]) -> [u8; 32] {
        match verifier {
            // Parts are of fixed width, so no two verifiers give the same input.
            Verifier::HmacSha256 { digest } => self.hash(&[b"h", digest, presented]),
            Verifier::Pbkdf2Sha256 { salt, iterations, output } => {
                self.hash(&[b"p", salt, &iterations.to_be_bytes(), output, presented])
            }
            // What is of no fixed width comes last.
            Verifier::Imported { scheme: ImportedScheme::Pbkdf2Sha256 { salt, iterations, length }, digest } => {
                self.hash(&[b"i", &[*length], &iterations.to_be_bytes(), digest, presented, salt])
            }
            Verifier::Imported { scheme, digest } => self.hash(&[b"j", &[scheme.label()], digest, presented]),
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
        let (remembered, runs) = (self.matched.entry_count(), self.runs.load(Ordering::Relaxed));
        f.debug_struct("SlowVerifiers").field("remembered", &remembered).field("runs", &runs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MIN_PBKDF2_ITERATIONS, Scheme};
    use super::*;

    const SCHEME: Scheme = Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS };
    const DIGEST: [u8; 32] = [7; 32];

    fn runs(slow: &SlowVerifiers) -> u64 {
        slow.runs.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_slow_check_runs_once_for_each_key_and_process() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = Verifier::make(SCHEME, DIGEST).unwrap();
        for _ in 0..3 {
            assert_eq!(slow.matches(&verifier, &DIGEST).await, Ok(true));
        }
        // A reloaded record is another value of the same bytes.
        assert_eq!(slow.matches(&verifier.clone(), &DIGEST).await, Ok(true));
        assert_eq!(runs(&slow), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_crowd_at_once_is_one_run() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = Verifier::make(SCHEME, DIGEST).unwrap();
        let crowd: Vec<_> = (0..16)
            .map(|_| {
                let (slow, verifier) = (slow.clone(), verifier.clone());
                tokio::spawn(async move { slow.matches(&verifier, &DIGEST).await })
            })
            .collect();
        for one in crowd {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert_eq!(runs(&slow), 1);
    }

    #[tokio::test]
    async fn one_who_made_the_key_need_not_check_it() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = slow.make(SCHEME, DIGEST).await.unwrap().unwrap();
        assert_eq!(slow.matches(&verifier, &DIGEST).await, Ok(true));
        assert_eq!(runs(&slow), 0);
    }

    #[tokio::test]
    async fn another_digest_and_another_verifier_never_match_from_memory() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = slow.make(SCHEME, DIGEST).await.unwrap().unwrap();
        assert_eq!(slow.matches(&verifier, &[8; 32]).await, Ok(false));
        let Verifier::Pbkdf2Sha256 { salt, iterations, mut output } = verifier.clone() else {
            panic!("a slow verifier")
        };
        output[31] ^= 1;
        let changed = Verifier::Pbkdf2Sha256 { salt, iterations, output };
        assert_eq!(slow.matches(&changed, &DIGEST).await, Ok(false));
        assert_eq!(slow.matches(&verifier, &DIGEST).await, Ok(true));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_answer_is_overloaded_and_not_a_queue() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = Verifier::make(SCHEME, DIGEST).unwrap();
        let all = slow.admitted.available_permits();
        let held = Arc::clone(&slow.admitted).try_acquire_many_owned(all as u32).unwrap();
        assert_eq!(slow.matches(&verifier, &DIGEST).await, Err(Overloaded));
        assert_eq!(slow.make(SCHEME, DIGEST).await.map(drop), Err(Overloaded));
        drop(held);
        assert_eq!(slow.matches(&verifier, &DIGEST).await, Ok(true));
    }

    #[tokio::test]
    async fn a_check_given_up_while_waiting_frees_its_place() {
        let slow = SlowVerifiers::new().unwrap();
        let verifier = Verifier::make(SCHEME, DIGEST).unwrap();
        let (all, threads) = (slow.admitted.available_permits(), slow.running.available_permits());
        let held = Arc::clone(&slow.running).try_acquire_many_owned(threads as u32).unwrap();
        {
            let mut waiting = std::pin::pin!(slow.matches(&verifier, &DIGEST));
            let first = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context))).await;
            assert!(first.is_pending());
            assert_eq!(slow.admitted.available_permits(), all - 1);
        }
        assert_eq!(slow.admitted.available_permits(), all);
        drop(held);
    }
}
