//! What the tests of limits and of usage stand on: a manager whose time stands still.

#[cfg(feature = "maxmind")]
pub(crate) mod mmdb;

use std::time::Duration;

use keygate_core::actor::{Actor, Operator};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, Attempt, NewKey, OrganizationUpdate};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::ScopeSet;
use keygate_core::store::MemoryStore;
use keygate_core::usage::report::{UsageQuery, UsageReport};
use keygate_http::gate::{Asked, Gate, Verdict};
use keygate_testkit::HeldClock;

pub(crate) struct Deployment {
    pub(crate) manager: ApiKeyManager,
    pub(crate) clock: HeldClock,
    operator: Operator,
}

impl Deployment {
    pub(crate) async fn start() -> Self {
        // It shows the first moment of 2026, in which every window begins.
        let clock = HeldClock::new().holding_ticks();
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let store = MemoryStore::with_clock(clock.clone());
        let manager = ApiKeyManager::builder(store, ring).clock(clock.clone()).build().unwrap();
        manager.open().await.unwrap();
        Self { manager, clock, operator: Operator::named("tests".parse().unwrap()) }
    }

    /// The text of a new key of ada at acme, for the scope `a`, with these limits.
    pub(crate) async fn key(&self, limits: Limits) -> String {
        let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
        new.scopes = Some(ScopeSet::parse(["a"]).unwrap());
        new.limits = Some(limits);
        let created = self.manager.create(&Actor::from(self.operator.clone()), new).await.unwrap();
        created.text.expose().to_owned()
    }

    /// What a key was used for until now.
    pub(crate) async fn usage(&self, key: KeyId) -> UsageReport {
        assert!(self.manager.flush_usage(Duration::from_secs(60)).await);
        self.manager.key_usage(&Actor::from(self.operator.clone()), key, UsageQuery::default()).await.unwrap()
    }

    /// Gives acme these limits, which all its keys share.
    pub(crate) async fn limit_organization(&self, limits: Limits) {
        let mut update = OrganizationUpdate::default();
        update.limits = Some(Some(limits));
        let organization = "acme".parse().unwrap();
        self.manager.update_organization(&self.operator, &organization, &update, None).await.unwrap();
    }
}

pub(crate) const GET: Asked<'static> = Asked::new("GET", "/", None);

/// What an adapter does with a request, without the framework.
pub(crate) async fn ask(gate: &Gate, asked: Asked<'_>, key: &str) -> Result<Admission, Denial> {
    decide(gate.judge(asked, &[("X-API-Key", key)][..], None)).await
}

pub(crate) async fn decide(verdict: Verdict) -> Result<Admission, Denial> {
    match verdict {
        Verdict::Attempt(Attempt::Decided(decision)) => decision,
        Verdict::Attempt(Attempt::Pending(pending)) => pending.resolve().await,
        Verdict::Pass(why) => panic!("passed without a key: {why:?}"),
    }
}
