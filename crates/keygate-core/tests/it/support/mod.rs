//! What the tests of this crate share: a deployment in one hand, and the ways to look at it.

#![allow(unreachable_pub)]

pub mod fateful_store;
pub mod hooked_store;
pub mod over_memory;
pub mod simulated_store;
pub mod still_clock;
pub mod wire;
pub mod yielding_store;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::actor::{Actor, Operator, TenantAdmin};
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, ManageError, ManagerBuilder, NewKey};
use keygate_core::names::{OrganizationId, PrincipalId, UserId};
use keygate_core::record::{KeyRecord, Quota};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::{FaultyStore, HeldClock};
use proptest::test_runner::Config as ProptestConfig;

/// A quota no test reaches by accident.
pub const ROOMY: Quota = Quota { per_organization: 1_000_000, per_user: 1_000_000 };

/// One instance over a store that others may share, with the time, the store and its faults in the test's hand.
pub struct Instance {
    pub clock: HeldClock,
    /// The store itself.
    pub memory: MemoryStore,
    /// What stands before it: counts, and fails when told to.
    pub store: FaultyStore,
    pub manager: ApiKeyManager,
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Instance {
    /// An instance over an empty store.
    pub fn new() -> Self {
        Self::under(SecretRing::new(&secret(1)))
    }

    /// The same, under this ring.
    pub fn under(ring: SecretRing) -> Self {
        Self::built(ring, |builder| builder)
    }

    /// The same, with settings of the test's own.
    pub fn built(ring: SecretRing, settings: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Self {
        let clock = HeldClock::new();
        let memory = MemoryStore::with_clock(clock.clone());
        Self::over(clock, memory, ring, settings)
    }

    /// Another instance of the same deployment.
    pub fn beside(&self, ring: SecretRing) -> Self {
        self.beside_built(ring, |builder| builder)
    }

    /// The same, with settings of the test's own.
    pub fn beside_built(&self, ring: SecretRing, settings: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Self {
        Self::over(self.clock.clone(), self.memory.clone(), ring, settings)
    }

    fn over(
        clock: HeldClock,
        memory: MemoryStore,
        ring: SecretRing,
        settings: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Self {
        let store = FaultyStore::new(memory.clone());
        let builder = ApiKeyManager::builder(store.clone(), ring).clock(clock.clone()).quota(ROOMY);
        let manager = settings(builder).build().unwrap();
        Self { clock, memory, store, manager }
    }

    /// Loses everything the store has, which ends what it vouched for.
    pub fn wipe(&self) {
        self.memory.wipe();
        self.store.renew_lease();
    }

    /// Makes a key as the operator.
    pub async fn create(&self, new: NewKey) -> CreatedKey {
        self.manager.create(&operator(), new).await.unwrap()
    }

    /// Checks a key for a request that says nothing.
    pub async fn validate(&self, text: &str) -> Result<Admission, Denial> {
        self.manager.validate(text, &RequestContext::new()).await
    }

    /// Why a key is refused.
    pub async fn refusal(&self, text: &str) -> DenialReason {
        self.validate(text).await.expect_err("the key is refused").reason()
    }

    /// What the store holds of a key.
    pub async fn record(&self, id: KeyId) -> KeyRecord {
        self.memory.record(id).await.unwrap().expect("the record is there")
    }

    /// Validates again and again until the answer is as asked. The one clock that cannot be held is that of the
    /// pause after a store's failure.
    pub async fn wait_until_admitted(&self, text: &str) {
        let patience = Instant::now() + Duration::from_secs(30);
        while let Err(denial) = self.validate(text).await {
            assert_eq!(denial.reason(), DenialReason::StoreUnavailable);
            assert!(Instant::now() < patience, "still refused: {denial}");
            tokio::task::yield_now().await;
        }
    }
}

/// A master secret for each seed.
pub fn secret(seed: u8) -> MasterSecret {
    MasterSecret::from_bytes(std::array::from_fn(|place| seed.wrapping_mul(31) ^ place as u8)).unwrap()
}

/// A ring of secrets by their seeds, the current one first.
pub fn ring(seeds: &[u8]) -> SecretRing {
    let secrets: Vec<_> = seeds.iter().copied().map(secret).collect();
    SecretRing::with_retired(&secrets[0], &secrets[1..]).unwrap()
}

pub fn operator() -> Actor {
    the_operator().into()
}

pub fn the_operator() -> Operator {
    Operator::named(PrincipalId::new("operator").unwrap())
}

/// An administrator of an organization who may grant these.
pub fn tenant(organization: &str, grantable: &[&str]) -> Actor {
    TenantAdmin::new(
        PrincipalId::new(format!("admin-of-{organization}")).unwrap(),
        org(organization),
        scopes(grantable),
    )
    .into()
}

pub fn org(name: &str) -> OrganizationId {
    OrganizationId::new(name).unwrap()
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

pub fn scopes(texts: &[&str]) -> ScopeSet {
    ScopeSet::parse(texts).unwrap()
}

/// A key for ada of acme, with every default.
pub fn new_key() -> NewKey {
    NewKey::new(org("acme"), user("ada"))
}

/// The same, with more.
pub fn new_key_with(more: impl FnOnce(&mut NewKey)) -> NewKey {
    let mut new = new_key();
    more(&mut new);
    new
}

/// A key that nothing limits, for what is said of reading keys and keeping them: limits have calls of their own.
pub fn unlimited_key() -> NewKey {
    unlimited_key_with(|_| {})
}

/// The same, with more.
pub fn unlimited_key_with(more: impl FnOnce(&mut NewKey)) -> NewKey {
    new_key_with(|new| {
        new.limits = Some(Limits::UNLIMITED);
        more(new);
    })
}

/// Runs a future to its end, for properties, which are not async.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The word of a management error, for comparing.
pub fn word(error: &ManageError) -> &'static str {
    match error {
        ManageError::NotFound => "not found",
        ManageError::ParentNotFound => "parent not found",
        ManageError::Invalid(_) => "invalid",
        ManageError::NotGrantable { .. } => "not grantable",
        ManageError::Refused(_) => "refused",
        ManageError::Conflict { .. } => "conflict",
        ManageError::Revoked => "revoked",
        ManageError::InUse => "in use",
        ManageError::Busy => "busy",
        ManageError::Random(_) => "random",
        ManageError::Setup(_) => "setup",
        ManageError::Store(_) => "store",
        _ => "another",
    }
}

/// A store behind a shared pointer, for managers over stores of a test's own making.
pub fn manager_over(store: Arc<dyn Store>, ring: SecretRing, clock: &HeldClock) -> ApiKeyManager {
    ApiKeyManager::builder_shared(store, ring).clock(clock.clone()).quota(ROOMY).build().unwrap()
}

/// How properties are run. A failure prints its smallest case; put that case in a test of its own.
pub fn property() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}
