//! The front door: one cheap-to-clone [`ApiKeyManager`] that makes, checks and manages keys.
//!
//! ```
//! use keygate_core::actor::Operator;
//! use keygate_core::context::RequestContext;
//! use keygate_core::manager::{ApiKeyManager, NewKey};
//! use keygate_core::ring::{MasterSecret, SecretRing};
//! use keygate_core::store::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ring = SecretRing::new(&MasterSecret::generate()?);
//! let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! manager.open().await?;
//!
//! let operator = Operator::named("docs".parse()?).into();
//! let created = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?;
//!
//! let admission = manager.validate(created.text.expose(), &RequestContext::new()).await?;
//! assert_eq!(admission.user.as_str(), "ada");
//! # Ok(())
//! # }
//! ```

mod above;
mod act;
mod anomalies;
mod audit;
mod builder;
mod bulk;
mod create;
mod error;
mod events;
mod examine;
mod fingerprint;
mod import;
mod left;
mod list;
mod manage;
mod notices;
mod offboard;
mod once;
mod operator_key;
mod parents;
mod policy;
mod ready;
mod repair;
mod roles;
mod rotate;
mod schedule;
mod sensitive;
mod setup;
mod strength;
mod update;
mod usage;
mod users;
mod validate;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use anomalies::FindingPage;
pub use audit::{AuditCursor, AuditCursorError, AuditOrder, AuditPage, AuditQuery};
pub use builder::{BuildError, DEFAULT_CACHE_CAPACITY, DEFAULT_CACHE_TTL, ManagerBuilder};
pub use bulk::{BulkFailure, BulkKeys, BulkOperation, BulkOutcome, BulkPage, MAX_BULK};
pub use create::{CreatedKey, DEFAULT_EXPIRY_DAYS, Expiry, MAX_EXPIRY_DAYS, NewKey};
pub use error::ManageError;
pub use examine::examine_deployment;
pub use import::{ImportOutcome, ImportStatus, MAX_IMPORT, MAX_IMPORT_BYTES};
pub use list::{Cursor, KeyFilter, KeyPage, MAX_PAGE};
pub use manage::Revocation;
pub use notices::{CreatedWebhook, GivenUp, WebhookOnce, WebhookShown};
pub use once::{CreatedOnce, IdempotencyKey, OrganizationOnce, RotatedOnce};
pub use parents::{OrganizationUpdate, ProjectUpdate};
pub use policy::{PolicyLevel, PolicyViolation};
pub use ready::StoreState;
pub(crate) use repair::repair_all;
pub use roles::NewRole;
pub use rotate::{Overlapping, Rotation, RotationStatus};
pub use schedule::{ScheduleRun, ScheduleStatistics, Scheduler};
pub use sensitive::{DamagedFields, OpenedFields};
pub use setup::{SetupError, prepare_deployment};
pub use update::KeyUpdate;
pub use users::{ChangedUser, UserUpdate};
pub use validate::{Attempt, Pending};
pub use verify::{CheckReport, CheckVerdict, Explanation};

use self::notices::MetLimit;
use crate::actor::Operator;
use crate::anomaly::{AnomalyStatistics, Sentry};
use crate::audit::Keeper;
use crate::cache::Cache;
pub use crate::cache::CacheStatistics;
use crate::clock::Clock;
use crate::coherence::Coherence;
use crate::import::{Finder, ImportPolicy};
use crate::key::KeyId;
use crate::limiter::{Limiter, LimiterStatistics};
use crate::names::{Environment, Prefix};
use crate::notice::{NoticeStatistics, Post};
use crate::patience::at_most;
use crate::record::Quota;
use crate::ring::{EntryId, SecretRing};
use crate::store::Store;
use crate::usage::{Recorder, UsageStatistics};
use crate::verifier::SlowVerifiers;

/// How long one who leaves tells what was counted.
const LEAVING: Duration = Duration::from_secs(5);

/// Makes, checks and manages keys. Clones share everything. See the [module docs](self) for an example.
///
/// Its futures can be polled without a tokio runtime, where the store needs none. In one, the timers of the runtime must be
/// enabled, as they are by default.
#[derive(Debug, Clone)]
pub struct ApiKeyManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    ring: SecretRing,
    clock: Arc<dyn Clock>,
    prefix: Prefix,
    /// Of new keys, and the one requests must match.
    environment: Environment,
    quota: Quota,
    slow: SlowVerifiers,
    /// Of keys that were imported.
    finder: Finder,
    setup: setup::Setup,
    cache: Arc<Cache>,
    limiter: Arc<Limiter>,
    recorder: Arc<Recorder>,
    /// Whether requests are counted here.
    counts_usage: bool,
    sentry: Arc<Sentry>,
    post: Arc<Post>,
    audit: Arc<Keeper>,
    schedules: schedule::Counters,
    /// Which limits of which keys were told of lately.
    met: moka::sync::Cache<MetLimit, ()>,
    /// When the use of keys was last to be written to their records.
    writes: moka::sync::Cache<KeyId, DateTime<Utc>>,
}

impl ApiKeyManager {
    /// Begins a manager over a store, with the secrets its keys are made and checked under.
    pub fn builder(store: impl Store, ring: SecretRing) -> ManagerBuilder {
        ManagerBuilder::new(Arc::new(store), ring)
    }

    /// Like [`builder`](Self::builder), over a store that is shared already.
    pub fn builder_shared(store: Arc<dyn Store>, ring: SecretRing) -> ManagerBuilder {
        ManagerBuilder::new(store, ring)
    }

    /// Sets the deployment up on an empty store, or checks that the secret ring fits the one found. The first use of
    /// the manager does the same; to call it at start is to learn of a wrong secret at start.
    ///
    /// # Errors
    /// [`SetupError::Store`] when the store does not answer: the manager is usable and tries again by itself. Every
    /// other error is an operator's to mend, and every check is answered with 503 until it is.
    pub async fn open(&self) -> Result<(), SetupError> {
        self.inner.setup.open(&*self.inner.store, &self.inner.ring, self.inner.clock.now()).await
    }

    /// Before something is written for the deployment: that it still is the one this manager knows.
    async fn confirm_current(&self) -> Result<(), SetupError> {
        let Inner { setup, store, ring, clock, .. } = &*self.inner;
        setup.confirm_current(&**store, ring, clock.now()).await.map(drop)
    }

    /// Where the keys are kept, for people; without any password.
    #[must_use]
    pub fn describe_store(&self) -> String {
        self.inner.store.describe()
    }

    /// How this manager learns of changes to the keys it keeps.
    #[must_use]
    pub fn coherence(&self) -> Coherence {
        self.inner.store.coherence()
    }

    /// What this manager's cache has done.
    #[must_use]
    pub fn cache_statistics(&self) -> CacheStatistics {
        self.inner.cache.statistics()
    }

    /// What this manager's limiter has done.
    #[must_use]
    pub fn limiter_statistics(&self) -> LimiterStatistics {
        self.inner.limiter.statistics()
    }

    /// What this manager's recorder of usage has done.
    #[must_use]
    pub fn usage_statistics(&self) -> UsageStatistics {
        self.inner.recorder.statistics()
    }

    /// What this manager's search for anomalies has done.
    #[must_use]
    pub fn anomaly_statistics(&self) -> AnomalyStatistics {
        self.inner.sentry.statistics()
    }

    /// What this manager's runs of schedules have done.
    #[must_use]
    pub fn schedule_statistics(&self) -> ScheduleStatistics {
        self.inner.schedules.read()
    }

    /// What this manager has done about notices.
    #[must_use]
    pub fn notice_statistics(&self) -> NoticeStatistics {
        self.inner.post.statistics()
    }

    /// Gives back what this instance holds of limits, so that others can use it at once and not when it has run out, and
    /// tells the store what was counted, and seals what was written in the audit. For whoever stops serving: requests are still decided after it. It takes a round
    /// trip or two, and not longer than ten seconds; dropping the future leaves what is held to run out, and what was
    /// counted to be told by the task that does so each second. Where the last clone of a manager goes without it, a task of
    /// its own tells that and holds the store for as long, five seconds at most, if its runtime goes on: at the end of a
    /// program what was counted in the last second is lost.
    pub async fn leave(&self) {
        self.inner.limiter.leave().await;
        self.flush_usage(LEAVING).await;
        // What is not sealed now is by whoever writes there next.
        at_most(LEAVING, self.inner.audit.tidy_all()).await;
    }

    /// Tells the store all that was counted, for `within` at most, and says whether it has it. It happens each second by
    /// itself wherever there is a tokio runtime.
    pub async fn flush_usage(&self, within: Duration) -> bool {
        self.inner.recorder.finish(within).await
    }

    /// Gives back what was not used of limits for a while, asks for windows about to begin, tells the store what was
    /// counted, examines it for anomalies, and seals what was written in the audit. It happens each second by itself wherever there is a tokio runtime; this is for those whose time is their
    /// own, such as tests.
    pub async fn tend(&self) {
        self.inner.limiter.tend().await;
        self.inner.recorder.tick().await;
        self.inner.sentry.run().await;
        self.inner.audit.tidy_all().await;
    }

    /// The environment of new keys, and the one requests must match.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.inner.environment
    }

    /// Which texts may be those of imported keys.
    #[must_use]
    pub fn import_policy(&self) -> &ImportPolicy {
        self.inner.finder.policy()
    }

    /// How many usable keys, and webhooks, name each entry of the secret ring; and of keys that have ended or are revoked, those
    /// whose sensitive fields are under it, until they are erased. An entry may be dropped when none does, and no
    /// [seal of the audit](Self::audit_ring_usage). It reads every record of the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ring_usage(&self, _operator: &Operator) -> Result<BTreeMap<EntryId, u64>, ManageError> {
        let mut usage = self.inner.store.ring_usage().await?;
        for entry in self.inner.ring.entry_ids() {
            usage.entry(entry).or_insert(0);
        }
        Ok(usage)
    }

    /// How many seals and checkpoints of the audit name each entry of the secret ring.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn audit_ring_usage(&self, _operator: &Operator) -> Result<BTreeMap<EntryId, u64>, ManageError> {
        Ok(self.inner.store.audit_ring_usage().await?)
    }
}
