//! Putting a manager together.

use std::sync::Arc;

use moka::sync::Cache;

use super::setup::Setup;
use super::{ApiKeyManager, Inner};
use crate::clock::{Clock, SystemClock};
use crate::names::{Environment, Prefix};
use crate::record::Quota;
use crate::ring::SecretRing;
use crate::store::Store;
use crate::verifier::SlowVerifiers;

/// For how many keys it is remembered that they were to be moved to the current ring entry.
const MOVES_REMEMBERED: u64 = 10_000;

/// Why a manager cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What a manager is made of. See [`ApiKeyManager::builder`].
#[derive(Debug)]
#[must_use]
pub struct ManagerBuilder {
    store: Arc<dyn Store>,
    ring: SecretRing,
    clock: Arc<dyn Clock>,
    prefix: Prefix,
    environment: Environment,
    quota: Quota,
}

impl ManagerBuilder {
    pub(super) fn new(store: Arc<dyn Store>, ring: SecretRing) -> Self {
        Self {
            store,
            ring,
            clock: Arc::new(SystemClock),
            prefix: Prefix::default(),
            environment: Environment::dev(),
            quota: Quota::default(),
        }
    }

    /// The environment of new keys, and the one requests must match. `dev` if never called.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The first word of new keys. `mcp` if never called. Keys made under another prefix stay valid.
    pub fn prefix(mut self, prefix: Prefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// How many keys organizations and users may have where their own records do not say.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    /// Where the time comes from. The operating system's clock if never called.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The manager. It does not touch the store yet; [`ApiKeyManager::open`] does.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn build(self) -> Result<ApiKeyManager, BuildError> {
        let Self { store, ring, clock, prefix, environment, quota } = self;
        let slow = SlowVerifiers::new()?;
        let setup = Setup::new();
        let moves = Cache::new(MOVES_REMEMBERED);
        let inner = Inner { store, ring, clock, prefix, environment, quota, slow, setup, moves };
        Ok(ApiKeyManager { inner: Arc::new(inner) })
    }
}
