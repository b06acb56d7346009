//! Putting a manager together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as MokaCache;

use super::anomalies::Suspender;
use super::notices::limit_notices;
use super::schedule::Counters;
use super::setup::Setup;
use super::{ApiKeyManager, Inner};
use crate::anomaly::{AnomalyPolicy, Finding, Sentry};
use crate::audit::{AuditPolicy, Keeper};
use crate::cache::{Cache, Policy};
use crate::clock::{Clock, SystemClock};
use crate::governance::PermissionAuthority;
use crate::import::{Finder, ImportPolicy};
use crate::limiter::Limiter;
use crate::names::{Environment, Prefix};
use crate::notice::{NoticePolicy, Notifier, Post, WebhookSender};
use crate::record::Quota;
use crate::ring::SecretRing;
use crate::store::Store;
use crate::usage::Recorder;
use crate::verifier::SlowVerifiers;

/// For how many keys it is remembered that their use was to be written to their records.
const WRITES_REMEMBERED: u64 = 10_000;

/// Why a manager cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Nobody counts what keys are used for.
    #[error(
        "notices of keys that are not used need what keys are used for to be counted: turn one on, or the other off"
    )]
    UnusedIsNotCounted,
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
    policy: Policy,
    counts_usage: bool,
    anomalies: AnomalyPolicy,
    imports: ImportPolicy,
    on_finding: Option<Hook>,
    authority: Option<Arc<dyn PermissionAuthority>>,
    notices: NoticePolicy,
    notifiers: Vec<Arc<dyn Notifier>>,
    webhooks: Option<Arc<dyn WebhookSender>>,
    audit: AuditPolicy,
}

/// What is told of findings.
struct Hook(Arc<dyn Fn(&Finding) + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

/// How many keys a manager keeps in memory by default.
pub const DEFAULT_CACHE_CAPACITY: usize = 100_000;
/// How long a manager keeps a key by default. It is told of changes, so this is a bound for what nobody thought of.
pub const DEFAULT_CACHE_TTL: Duration = Duration::from_secs(300);

impl ManagerBuilder {
    pub(super) fn new(store: Arc<dyn Store>, ring: SecretRing) -> Self {
        Self {
            store,
            ring,
            clock: Arc::new(SystemClock),
            prefix: Prefix::default(),
            environment: Environment::dev(),
            quota: Quota::default(),
            policy: Policy { capacity: DEFAULT_CACHE_CAPACITY, ttl: DEFAULT_CACHE_TTL, stale: Duration::ZERO },
            counts_usage: true,
            anomalies: AnomalyPolicy::default(),
            imports: ImportPolicy::default(),
            on_finding: None,
            authority: None,
            notices: NoticePolicy::default(),
            notifiers: Vec::new(),
            webhooks: None,
            audit: AuditPolicy::default(),
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

    /// How many keys are kept in memory, some 4.7 kB each with their limits and what is counted of them.
    /// [`DEFAULT_CACHE_CAPACITY`] if never called; 0 keeps none, and every request reads the store.
    pub fn cache_capacity(mut self, keys: usize) -> Self {
        self.policy.capacity = keys;
        self
    }

    /// How long a key is kept without being read again, though nobody said that it changed. [`DEFAULT_CACHE_TTL`] if never
    /// called. It is no bound on how long a revoked key is accepted, which is the store's
    /// [lease](crate::coherence).
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = ttl;
        self
    }

    /// While the store fails, goes on deciding from what is kept, for so long after the store last vouched for it. Never,
    /// if never called: requests are answered 503.
    ///
    /// It trades safety for availability, knowingly: a key that is revoked elsewhere while this instance does not reach
    /// the store is accepted here for so long beyond the lease. A store that registers its instances' bounds refuses one
    /// above the deployment's maximum.
    pub fn stale_if_error(mut self, longest: Duration) -> Self {
        self.policy.stale = longest;
        self
    }

    /// Whether it is counted what keys are used for. It is if this is never called. What is not counted is not watched for
    /// [anomalies](crate::anomaly) either.
    pub fn counts_usage(mut self, counts: bool) -> Self {
        self.counts_usage = counts;
        self
    }

    /// Which [anomalies](crate::anomaly) are looked for, and what comes of them. The default policy if never called: all of
    /// them, and a finding is recorded and written in the log.
    pub fn anomalies(mut self, policy: AnomalyPolicy) -> Self {
        self.anomalies = policy;
        self
    }

    /// Which texts may be those of [imported](crate::import) keys. None if never called. All instances of a deployment need
    /// the same, and so does whoever imports.
    pub fn imports(mut self, policy: ImportPolicy) -> Self {
        self.imports = policy;
        self
    }

    /// Is called with each finding that this instance has recorded: of all instances one. It is called in the background, and
    /// must neither wait nor panic; to send something, hand it to a channel. The last of several calls counts.
    pub fn on_finding(mut self, hook: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        self.on_finding = Some(Hook(Arc::new(hook)));
        self
    }

    /// Asks an [authority](crate::governance) what the owners of keys may do, in the place of the roles that are kept in the
    /// store. A change there is seen when its answer has reached its age, and not within the bound of a revocation.
    pub fn authority(mut self, authority: impl PermissionAuthority) -> Self {
        self.authority = Some(Arc::new(authority));
        self
    }

    /// Of what [notices](crate::notice) tell that comes with time. The default policy if never called: 7 days and 1 day before
    /// a key ends, and when it has.
    pub fn notices(mut self, policy: NoticePolicy) -> Self {
        self.notices = policy;
        self
    }

    /// Brings [notices](crate::notice) to somebody. Several have different names; of two with one name the last counts. They
    /// are brought by instances that run a [scheduler](ApiKeyManager::start_scheduler), and all instances are to have the same.
    pub fn notifier(mut self, notifier: impl Notifier) -> Self {
        self.notifiers.push(Arc::new(notifier));
        self
    }

    /// Sends [notices](crate::notice) to the webhooks of organizations. Without one, webhooks cannot be made here.
    pub fn webhooks(mut self, sender: impl WebhookSender) -> Self {
        self.webhooks = Some(Arc::new(sender));
        self
    }

    /// How much of the [audit](crate::audit) is kept. The default policy if never called: 400 days, the newest million entries of
    /// an organization. [`AuditPolicy::off`] writes nothing down.
    pub fn audit(mut self, policy: AuditPolicy) -> Self {
        self.audit = policy;
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
    /// When the operating system gives no random bytes, or the settings contradict each other.
    pub fn build(self) -> Result<ApiKeyManager, BuildError> {
        let Self {
            store,
            ring,
            clock,
            prefix,
            environment,
            quota,
            policy,
            counts_usage,
            anomalies,
            imports,
            on_finding,
            authority,
            notices,
            notifiers,
            webhooks,
            audit,
        } = self;
        if notices.asks_for_use() && !counts_usage {
            return Err(BuildError::UnusedIsNotCounted);
        }
        let slow = SlowVerifiers::new()?;
        let finder = Finder::new(imports, policy.capacity)?;
        let setup = Setup::new();
        let writes = MokaCache::new(WRITES_REMEMBERED);
        let hook = on_finding.map(|Hook(hook)| hook);
        let (held, time) = (Arc::clone(&store), Arc::clone(&clock));
        let post = Arc::new(Post::new(held, ring.clone(), time, notices, notifiers, webhooks));
        let audit = Keeper::new(Arc::clone(&store), ring.clone(), Arc::clone(&clock), audit);
        let sentry = Sentry::new(Arc::clone(&store), Arc::clone(&clock), anomalies, hook);
        let recorder = Recorder::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&sentry));
        let counting = counts_usage.then(|| Arc::clone(&recorder));
        let cache = Cache::new(Arc::clone(&store), Arc::clone(&clock), policy, counting, authority);
        let limiter = Limiter::new(Arc::clone(&store), Arc::clone(&clock));
        let inner = Arc::new(Inner {
            store,
            ring,
            clock,
            prefix,
            environment,
            quota,
            slow,
            finder,
            setup,
            cache,
            limiter,
            recorder,
            counts_usage,
            sentry,
            post,
            audit,
            schedules: Counters::default(),
            met: limit_notices(),
            writes,
        });
        Suspender::attach(&inner);
        Ok(ApiKeyManager { inner })
    }
}
